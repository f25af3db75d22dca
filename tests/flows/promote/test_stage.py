"""Promotion: no evidence, no promotion; one decision an evaluation; told to everyone, in the end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from flows import ledger
from flows.announce import announce_pending
from flows.promote.rollback import roll_back
from flows.promote.stage import Approval, after, approval_of, gather, promote, slack
from flows.testing.events import event_id
from schemas.errors import LedgerConflict, LedgerError, UsageError
from schemas.events import Candidate, Decision
from schemas.records import Comparison, Difference, Sampled, make_candidate
from schemas.settings import GateSettings
from streams.lake import Lake
from streams.lake.append import append, to_rows
from tests.support.promotion import APP, BETTER, LEVEL, NEW, NOW, OLD, SEAL, SETTINGS, WORSE, Told, eval_set, evaluated


@pytest.fixture
def ready(lake: Lake) -> Lake:
    """A champion, a registered candidate and an eval set."""
    ledger.bootstrap(lake, APP, OLD, "what we have", time=NOW, seal=SEAL)
    ledger.register(lake, APP, NEW, time=NOW, seal=SEAL)
    eval_set(lake, "set-1")
    return lake


@pytest.mark.parametrize(
    ("pairs", "verdict", "action", "serves"),
    [
        (BETTER, "promote", "promoted", NEW),
        (WORSE, "block", "held", OLD),
        (LEVEL, "inconclusive", "held", OLD),
        ([], "inconclusive", "held", OLD),
    ],
)
def test_a_verdict_becomes_a_ledger_row_and_an_announcement(
    ready: Lake, pairs: Any, verdict: str, action: str, serves: Candidate
) -> None:
    """Every verdict is recorded with its reasons and evidence; only `promote` moves the champion."""
    told = Told()
    summary = promote(ready, SETTINGS, NOW, evaluated(ready, "e1", pairs), told)

    assert (summary.verdict, summary.action) == (verdict, action)
    assert summary.champion == serves
    row = ledger.fold(ready, APP).decisions[-1]
    assert (row.action, row.verdict, tuple(row.reasons)) == (action, verdict, summary.reasons)
    assert row.evidence["evaluation_id"] == "e1"
    assert all(row.evidence[name] for name in ("comparison", "scores", "dataset_version", "policy", "code"))
    assert [decision.action for decision in told] == ["promoted", "registered", action]
    assert ledger.verify(ready, APP) == 3


@pytest.mark.parametrize(
    ("requests", "next_look", "action"),
    [(200, 100, "awaiting_reviews"), (5, 100, "awaiting_traffic"), (200, None, "held")],
)
def test_what_reviews_or_traffic_would_decide_waits(
    ready: Lake, requests: int, next_look: int | None, action: str
) -> None:
    """Nothing is recorded or told while more would decide it; after the last look it is held."""
    told = Told()
    some = Sampled(requests=requests, differ=40, reviewed=50, look=50, next_look=next_look)

    summary = promote(ready, SETTINGS, NOW, evaluated(ready, "e1", LEVEL, sampled=some), told)

    rows = ledger.fold(ready, APP).decisions
    assert (summary.verdict, summary.action) == ("inconclusive", action)
    assert [row.action for row in rows] == ["promoted", "registered", "held"][: 3 if action == "held" else 2]
    assert bool(told) == (action == "held")


def test_the_same_evaluation_is_decided_once(ready: Lake) -> None:
    """A second start adds no row and gives the same answer, also after the champion has moved by it."""
    name = evaluated(ready, "e1", BETTER)
    first = promote(ready, SETTINGS, NOW, name, Told())
    again = promote(ready, SETTINGS, NOW + timedelta(hours=1), name, Told())

    assert again == first
    assert len(ledger.fold(ready, APP).decisions) == 3


def test_an_evaluation_that_did_not_finish_is_no_evidence(ready: Lake) -> None:
    """Rows of a run that was killed before its end do not exist for the gate."""
    with pytest.raises(UsageError, match="no finished evaluation"):
        promote(ready, SETTINGS, NOW, evaluated(ready, "e1", BETTER, finished=False), Told())


def test_evidence_must_be_about_the_present(ready: Lake) -> None:
    """Another champion, another eval set, an unknown candidate: held, with the reason."""
    stranger = make_candidate("stranger", "http://127.0.0.1:3/v1")
    cases = {
        evaluated(ready, "e1", BETTER, champion=stranger): "against champion",
        evaluated(ready, "e2", BETTER, dataset="set-0"): "all@set-1 decides now",
        evaluated(ready, "e3", BETTER, candidate=stranger): "never registered",
        evaluated(ready, "e4", BETTER, candidate=OLD): "is the champion",
    }
    for name, reason in cases.items():
        summary = promote(ready, SETTINGS, NOW, name, Told())

        assert (summary.verdict, summary.action) == ("inconclusive", "held")
        assert reason in summary.reasons[0]
    assert ledger.fold(ready, APP).champion == OLD


def test_a_newer_eval_set_makes_evidence_old(ready: Lake) -> None:
    """Evidence holds for the newest eval set of its name; where that was withdrawn, no older one takes its place."""
    eval_set(ready, "set-2", created=NOW + timedelta(days=1))
    newer = promote(ready, SETTINGS, NOW, evaluated(ready, "e1", BETTER), Told())
    eval_set(ready, "set-2", created=NOW + timedelta(days=2), status="withdrawn", status_reason="holds rows")
    withdrawn = promote(ready, SETTINGS, NOW, evaluated(ready, "e2", BETTER), Told())
    eval_set(ready, "set-1", created=NOW + timedelta(days=3))
    built_again = promote(ready, SETTINGS, NOW, evaluated(ready, "e3", BETTER), Told())

    assert [found.action for found in (newer, withdrawn, built_again)] == ["held", "held", "promoted"]
    assert "all@set-2 decides now" in newer.reasons[0]
    assert "all@set-2 was withdrawn (holds rows): `flywheel dataset build all` makes" in withdrawn.reasons[0]


def test_a_candidate_evaluated_against_a_former_champion_is_held(ready: Lake) -> None:
    """Two candidates beat the same champion: the first is promoted, the second must meet the new one."""
    other = make_candidate("other", "http://127.0.0.1:3/v1")
    ledger.register(ready, APP, other, time=NOW, seal=SEAL)
    names = [evaluated(ready, "e1", BETTER), evaluated(ready, "e2", BETTER, candidate=other)]
    first, second = (promote(ready, SETTINGS, NOW, name, Told()) for name in names)

    assert (first.action, second.action) == ("promoted", "held")
    assert "evaluate again" in second.reasons[0]


def test_what_listeners_missed_is_told_again_until_it_is_archived(ready: Lake) -> None:
    """Kafka down at the moment of decision costs nothing: the next one to look announces it."""

    def broken(_: Decision) -> None:
        raise ConnectionError

    name = evaluated(ready, "e1", BETTER)
    with pytest.raises(ConnectionError):
        promote(ready, SETTINGS, NOW, name, broken)
    told = Told()
    assert announce_pending(ready, APP, told, SEAL) == 3
    assert told[-1].action == "promoted"

    place = {"event_version": 1, "kafka_partition": 0, "ingested_at": NOW, "ingest_date": NOW.date()}
    rows = [{**ledger._row(d), **place, "kafka_offset": n} for n, d in enumerate(told)]
    append(ready, "decisions", to_rows("decisions", rows), {"archiver": 3})
    assert announce_pending(ready, APP, told, SEAL) == 0


def test_a_person_may_have_the_last_word(ready: Lake) -> None:
    """With approval asked for, nothing is recorded before somebody says so; who, when and why are."""
    settings = msgspec.structs.replace(SETTINGS, gate=GateSettings(approval=True))
    name = evaluated(ready, "e1", BETTER)
    waiting = promote(ready, settings, NOW, name, Told())
    assert (waiting.action, len(ledger.fold(ready, APP).decisions)) == ("awaiting_approval", 2)

    done = promote(ready, settings, NOW, name, Told(), Approval("promote", "alice", "tried it"))

    assert (done.action, done.reasons[0]) == ("promoted", "approved by alice: tried it")
    assert ledger.fold(ready, APP).decisions[-1].decided_by == "alice"


def test_a_rejection_holds_and_an_approval_overrules_nothing(ready: Lake) -> None:
    """A person can stop a promotion, but cannot make one that the gate blocks; nobody cannot approve."""
    settings = msgspec.structs.replace(SETTINGS, gate=GateSettings(approval=True))
    rejected = promote(
        ready, settings, NOW, evaluated(ready, "e1", BETTER), Told(), Approval("reject", "bob", "too chatty")
    )
    blocked = promote(ready, settings, NOW, evaluated(ready, "e2", WORSE), Told(), Approval("promote", "bob"))

    assert (rejected.verdict, rejected.action) == ("block", "held")
    assert (blocked.verdict, blocked.action) == ("block", "held")
    with pytest.raises(UsageError, match="reviewer"):
        promote(ready, settings, NOW, evaluated(ready, "e3", BETTER), Told(), Approval("promote", " "))


def test_a_form_without_a_name_promotes_nobody() -> None:
    """Who approves has to say who they are."""
    assert approval_of("promote", "  ", "go").decision == "reject"
    assert approval_of("promote", "alice", "go") == Approval("promote", "alice", "go")


def test_a_rollback_puts_the_champion_before_back(ready: Lake) -> None:
    """Once for the same evidence; never past the first champion; never of one that does not serve."""
    told = Told()
    promote(ready, SETTINGS, NOW, evaluated(ready, "e1", BETTER), told)
    alert = {"alert": "a1"}
    first = roll_back(ready, APP, NEW.id, "failure rate rose", alert, NOW, told, SEAL)
    again = roll_back(ready, APP, NEW.id, "failure rate rose", dict(alert), NOW + timedelta(hours=1), told, SEAL)

    assert first == again
    assert (first.champion, first.reasons, first.evidence) == (OLD, ["failure rate rose"], alert)
    assert told[-1].action == "rolled_back"
    with pytest.raises(LedgerConflict):
        roll_back(ready, APP, NEW.id, "once more", {"alert": "a2"}, NOW, told, SEAL)
    with pytest.raises(LedgerError, match="no earlier champion"):
        roll_back(ready, APP, OLD.id, "and him too", {"alert": "a3"}, NOW, told, SEAL)


def test_a_rolled_back_candidate_does_not_return_on_old_evidence(ready: Lake) -> None:
    """The evaluation that promoted it was decided on; a new one is needed."""
    name = evaluated(ready, "e1", BETTER)
    promote(ready, SETTINGS, NOW, name, Told())
    roll_back(ready, APP, NEW.id, "worse in life", {"alert": "a1"}, NOW, Told(), SEAL)

    assert promote(ready, SETTINGS, NOW, name, Told()).champion == OLD
    assert ledger.fold(ready, APP).champion == OLD


def test_a_later_candidate_on_the_same_items_pays_for_it(lake: Lake) -> None:
    """The first is decided at alpha, a second one on items of the first at a third of it; the ledger says so."""
    ledger.bootstrap(lake, APP, OLD, "the first", time=NOW, seal=SEAL)
    other = make_candidate("other", "http://127.0.0.1:3/v1")
    for candidate in (NEW, other):
        ledger.register(lake, APP, candidate, time=NOW, seal=SEAL)
    eval_set(lake, "set-1")
    promote(lake, SETTINGS, NOW, evaluated(lake, "e1", LEVEL), Told())
    just = [(0, 1)] * 15 + [(1, 0)] * 5 + [(1, 1)] * 80
    second = evaluated(lake, "e2", just, candidate=other)

    assert gather(lake, SETTINGS, "e1").used == 0
    assert gather(lake, SETTINGS, second).used == 1
    assert after(1, SETTINGS.gate).alpha == pytest.approx(SETTINGS.gate.alpha / 3)
    assert promote(lake, SETTINGS, NOW, second, Told()).verdict == "inconclusive"
    assert ledger.rows(lake, APP)[-1].evidence["used"] == "1"


def test_small_losses_of_candidates_as_good_do_not_add_up(lake: Lake) -> None:
    """Each may lose a little; together they may lose the margin, not more, until one has certainly won."""
    chain = [make_candidate(f"m{n}", "http://127.0.0.1:3/v1") for n in range(4)]
    registry = ledger.Registry(application=APP)
    comparisons = {}
    decisions = []
    for n, (low, action) in enumerate([(-0.02, "promoted"), (-0.005, "promoted"), (0.01, "promoted")]):
        decisions.append(Decision(id=event_id(n), time=NOW, application=APP, action=action, candidate=chain[n],
                                  evidence={"evaluation_id": f"e{n}"}))  # fmt: skip
        overall = Difference(slice="", low=low)
        comparisons[f"e{n}"] = Comparison(
            evaluation_id=f"e{n}", candidate=chain[n], champion=OLD, dataset_version="set-1", overall=overall
        )

    def left(count: int, *more: Decision) -> float:
        known = msgspec.structs.replace(registry, decisions=(*decisions[:count], *more))
        return slack(known, comparisons, 0.03)

    rollback = Decision(id=event_id(9), time=NOW, application=APP, action="rolled_back", candidate=chain[0])
    assert [left(n) for n in range(4)] == pytest.approx([0.03, 0.01, 0.005, 0.015])
    assert left(1, rollback) == pytest.approx(0.03)
