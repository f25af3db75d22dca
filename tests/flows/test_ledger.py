"""The ledger: who serves is a fold over rows that cannot be changed unseen."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake

from flows import ledger
from flows.seal import Seal
from schemas.errors import LedgerBroken, LedgerConflict, LedgerError, UsageError
from schemas.events import Candidate, Decision
from schemas.records import make_candidate
from schemas.signing import Signer, Trust
from streams.lake import Lake
from streams.lake.append import append, to_rows

APP = "support-bot"
_KEY = Signer("B" * 43)
SEAL = Seal(_KEY, Trust([_KEY.public_key]), Path(tempfile.mkdtemp()))
NOW = datetime(2026, 1, 5, 9, 0, 0, 123456, tzinfo=UTC)

EVIDENCE = dict.fromkeys(ledger.EVIDENCE, "hash")


def model(name: str) -> Candidate:
    return make_candidate(name, "http://127.0.0.1:1/v1", parameters={"temperature": 0.1})


def promote(lake: Lake, candidate: Candidate, against: Candidate, **fields: Any) -> Decision:
    name = ledger.decision_id("test", candidate.id, against.id)
    values = {"id": name, "verdict": "promote", "evidence": EVIDENCE, **fields}
    return ledger.append(lake, APP, "promoted", candidate, time=NOW, expected_champion=against.id, **values)


@pytest.fixture
def three(lake: Lake) -> Lake:
    """A ledger with a first champion `a`, a candidate `b`, and its promotion."""
    ledger.bootstrap(lake, APP, model("a"), "it is what we have", time=NOW, seal=SEAL)
    ledger.register(lake, APP, model("b"), time=NOW, seal=SEAL)
    promote(lake, model("b"), model("a"), reasons=["+5 points"], seal=SEAL)
    return lake


def test_an_empty_ledger_has_nobody(lake: Lake) -> None:
    """Before the first decision there is no champion, no candidate, and nothing to verify."""
    registry = ledger.fold(lake, APP)

    assert (registry.champion, registry.candidates, registry.decisions) == (None, {}, ())
    assert ledger.verify(lake, APP) == 0


def test_the_champion_is_who_was_promoted_last(three: Lake) -> None:
    """The registry follows promotions and rollbacks, and each row says who serves after it."""
    registry = ledger.fold(three, APP)

    assert registry.champion == model("b")
    assert registry.former == (model("a"),)
    assert [d.champion and d.champion.model for d in registry.decisions] == ["a", "a", "b"]

    ledger.append(
        three, APP, "rolled_back", model("b"), id=ledger.decision_id("r"), time=NOW, expected_champion=model("b").id
    )

    assert ledger.fold(three, APP).champion == model("a")
    assert ledger.verify(three, APP) == 4


def test_each_row_says_whom_the_champion_is_compared_with(three: Lake) -> None:
    """The former champion from a promotion on, whatever else is decided meanwhile; nobody after a rollback."""
    ledger.register(three, APP, model("c"), time=NOW)
    promote(three, model("c"), model("b"))
    ledger.append(three, APP, "held", model("d"), id=ledger.decision_id("h"), time=NOW, expected_champion=model("c").id)
    ledger.append(
        three, APP, "rolled_back", model("c"), id=ledger.decision_id("r"), time=NOW, expected_champion=model("c").id
    )
    ledger.register(three, APP, model("e"), time=NOW)
    promote(three, model("e"), model("b"))

    told = [row.former and row.former.model for row in ledger.rows(three, APP)]
    assert told == [None, None, "a", "a", "b", "b", None, None, "b"]
    assert ledger.verify(three, APP) == 9


def test_rows_of_before_there_was_a_former_champion_stay_whole(three: Lake) -> None:
    """A ledger that was written without the column is verified as it is, and the next row tells of one."""
    chain: list[dict[str, Any]] = []
    for row in ledger.rows(three, APP):
        old = msgspec.structs.replace(row, former=None, hash="", previous_hash=chain[-1]["hash"] if chain else "")
        chain.append(ledger._row(msgspec.structs.replace(old, hash=ledger.chain_hash(old))))
    stored = to_rows("ledger", chain).drop_columns(["former"])
    write_deltalake(three.uri("ledger"), stored, mode="overwrite", schema_mode="overwrite")
    assert ledger.verify(three, APP) == 3

    assert ledger.register(three, APP, model("c"), time=NOW).former == model("a")
    assert ledger.verify(three, APP) == 4


def test_the_same_decision_twice_is_one_row(three: Lake) -> None:
    """A flow that is started again after a kill finds its row instead of adding another."""
    first = ledger.fold(three, APP).decisions[-1]

    assert promote(three, model("b"), model("a")) == first
    assert ledger.register(three, APP, model("b"), time=NOW).sequence == 1
    assert ledger.verify(three, APP) == 3


class Scheduled(datetime):
    """A moment as Prefect gives it: a subclass of datetime, and not in UTC."""


def test_a_scheduled_time_is_a_time_like_any_other(lake: Lake) -> None:
    """Subclasses that no encoder knows become Python's own datetime in UTC, to the microsecond."""
    there = Scheduled(2026, 1, 5, 10, 0, 0, 123456, timezone(timedelta(hours=1)))
    row = ledger.bootstrap(lake, APP, model("a"), "first", time=there)

    assert (type(row.time), row.time) == (datetime, NOW)
    assert ledger.verify(lake, APP) == 1


def test_applications_have_ledgers_of_their_own(three: Lake) -> None:
    """A decision about one application changes nothing in another."""
    ledger.bootstrap(three, "other/app ü", model("z"), "first", time=NOW)

    assert ledger.fold(three, "other/app ü").champion == model("z")
    assert ledger.fold(three, APP).champion == model("b")
    assert ledger.applications(three) == ["other/app ü", APP]
    assert [ledger.verify(three, name) for name in ledger.applications(three)] == [1, 3]


@pytest.mark.parametrize("verdict", ["", "block", "inconclusive"])
def test_no_evidence_no_promotion(three: Lake, verdict: str) -> None:
    """The ledger itself refuses a promotion without the verdict `promote`."""
    with pytest.raises(LedgerError, match="no promotion without"):
        promote(three, model("c"), model("b"), verdict=verdict)


@pytest.mark.parametrize("name", ledger.EVIDENCE)
def test_a_verdict_alone_is_no_evidence(three: Lake, name: str) -> None:
    """A promotion names the comparison, the items and the answers that it stands on."""
    evidence = {key: value for key, value in EVIDENCE.items() if key != name}
    with pytest.raises(LedgerError, match=name):
        promote(three, model("c"), model("b"), evidence=evidence)


def test_a_first_champion_needs_a_reason_and_an_empty_seat(lake: Lake, three: Lake) -> None:
    """A bootstrap is a person's word: it needs a reason, and is no way round the gate later."""
    with pytest.raises(LedgerError, match="serves by now"):
        ledger.bootstrap(three, APP, model("c"), "I say so", time=NOW)
    with pytest.raises(LedgerError, match="needs a reason"):
        ledger.bootstrap(lake, "empty", model("c"), " ", time=NOW)


def test_a_decision_against_a_former_champion_is_told(three: Lake) -> None:
    """Who decided against a champion that no longer serves must look again."""
    with pytest.raises(LedgerConflict, match="serves by now"):
        promote(three, model("c"), model("a"))


def test_there_is_no_rollback_to_nobody(lake: Lake) -> None:
    """A first champion has nobody behind it."""
    ledger.bootstrap(lake, APP, model("a"), "first", time=NOW)

    with pytest.raises(LedgerError, match="no earlier champion"):
        ledger.append(
            lake, APP, "rolled_back", model("a"), id=ledger.decision_id("r"), time=NOW, expected_champion=model("a").id
        )


def test_an_unknown_candidate_is_named_with_the_known(three: Lake) -> None:
    """A wrong id is answered with the ids that there are."""
    with pytest.raises(UsageError, match=model("a").id):
        ledger.fold(three, APP).candidate("nobody")


def test_of_promotions_at_once_one_wins_and_the_others_are_told(three: Lake) -> None:
    """Eight promotions decided against the same champion: one row, seven LedgerConflicts."""

    def race(n: int) -> str:
        try:
            return promote(Lake(three.root), model(f"c{n}"), model("b")).candidate.model
        except LedgerConflict:
            return "told"

    with ThreadPoolExecutor(8) as pool:
        results = sorted(pool.map(race, range(8)))

    assert results.count("told") == 7
    assert ledger.fold(three, APP).champion == model(results[0])
    assert ledger.verify(three, APP) == 4


def test_registrations_at_once_all_arrive(lake: Lake) -> None:
    """Registrations take nothing from each other: all of them get a row, in one chain."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: ledger.register(Lake(lake.root), APP, model(f"m{n}"), time=NOW), range(6)))

    assert len(ledger.fold(lake, APP).candidates) == 6
    assert ledger.verify(lake, APP) == 6


def edit(column: str, value: Any, row: int = 1) -> Any:
    def tamper(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        values[row] = value
        return table.set_column(
            table.schema.get_field_index(column), column, pa.array(values, table.schema.field(column).type)
        )

    return tamper


TAMPERS = {
    "a reason": edit("reasons", ["-5 points"], row=2),
    "a verdict": edit("verdict", "promote", row=1),
    "who decided": edit("decided_by", "somebody", row=0),
    "the time": edit("time", NOW.replace(year=2025)),
    "the evidence": edit("evidence", '{"dataset":"d2"}', row=2),
    "the candidate": edit("candidate", '{"id":"x","model":"x","endpoint":"x"}'),
    "an unknown field in the candidate": edit("candidate", '{"id":"x","model":"x","endpoint":"x","y":1}', row=2),
    "the champion": edit("champion", '{"id":"x","model":"x","endpoint":"x"}', row=2),
    "the former champion": edit("former", '{"id":"x","model":"x","endpoint":"x"}', row=2),
    "the former champion taken out": edit("former", None, row=2),
    "the hash": edit("hash", "0" * 64, row=2),
    "the link": edit("previous_hash", "0" * 64),
    "the id": edit("id", ledger.decision_id("another")),
    "broken JSON": edit("candidate", "{"),
    "first row removed": lambda t: t.filter(pc.field("sequence") != 0),
    "middle row removed": lambda t: t.filter(pc.field("sequence") != 1),
    "last row removed": lambda t: t.filter(pc.field("sequence") != 2),
    "all rows removed": lambda t: t.slice(0, 0),
    "a row doubled": lambda t: pa.concat_tables([t, t.slice(1, 1)]),
    "two rows exchanged": lambda t: edit("sequence", 1, row=0)(edit("sequence", 0, row=1)(t)),
}


@pytest.mark.parametrize("tamper", TAMPERS.values(), ids=TAMPERS.keys())
def test_every_change_of_the_ledger_is_found(three: Lake, tamper: Any) -> None:
    """Any row edited, removed, doubled or moved breaks the chain, the tail included."""
    table = three.open("ledger").to_pyarrow_table().sort_by("sequence")
    write_deltalake(three.uri("ledger"), tamper(table), mode="overwrite")

    with pytest.raises(LedgerBroken):
        ledger.verify(three, APP)


def announce(lake: Lake, decisions: tuple[Decision, ...]) -> None:
    """Archive decisions as the archiver does with what it reads from Kafka."""
    place = {"event_version": 1, "kafka_partition": 0, "ingested_at": NOW, "ingest_date": NOW.date()}
    rows = [{**ledger._row(d), **place, "kafka_offset": n} for n, d in enumerate(decisions)]
    append(lake, "decisions", to_rows("decisions", rows), {"archiver": len(rows)})


def test_a_ledger_rewritten_as_a_whole_is_found_by_what_was_announced(three: Lake, tmp_path: Path) -> None:
    """Someone who recomputes every hash still cannot change what listeners were told."""
    forged = Lake(tmp_path / "forged")
    ledger.bootstrap(forged, APP, model("evil"), "it was always so", time=NOW)
    assert ledger.verify(forged, APP) == 1

    announce(forged, ledger.fold(three, APP).decisions)

    with pytest.raises(LedgerBroken, match="was announced"):
        ledger.verify(forged, APP)


def test_what_was_not_announced_is_found_until_it_is_archived(three: Lake) -> None:
    """The outbox holds each row until it has been seen to arrive."""
    decisions = ledger.fold(three, APP).decisions
    assert tuple(ledger.unannounced(three, APP, SEAL)) == decisions

    announce(three, decisions[:2])

    assert tuple(ledger.unannounced(three, APP, SEAL)) == decisions[2:]
    assert ledger.verify(three, APP) == 3


def test_rollbacks_go_back_step_by_step(three: Lake) -> None:
    """[a, b, c], rolled back twice: c gave way to b and b to a, each the last one before; then there is nobody."""
    promote(three, model("c"), model("b"))

    for leaves, returns in (("c", "b"), ("b", "a")):
        decision = ledger.append(
            three, APP, "rolled_back", model(leaves), id=ledger.decision_id("r", leaves), time=NOW,
            expected_champion=model(leaves).id,
        )  # fmt: skip
        assert decision.champion == ledger.fold(three, APP).champion == model(returns)
    assert ledger.fold(three, APP).former == ()
    assert ledger.verify(three, APP) == 6


def test_a_persons_word_unseats_nobody(three: Lake) -> None:
    """Evidence that says `bootstrap` is for an empty seat, even where it names the champion that sits there."""
    with pytest.raises(LedgerError, match="serves already"):
        promote(three, model("c"), model("b"), evidence={ledger.BOOTSTRAP: "I say so"})


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (edit("previous_hash", "0" * 64), "does not follow the row before it"),
        (edit("reasons", ["-5 points"], row=2), "was edited"),
        (lambda t: t.filter(pc.field("sequence") != 1), "one is missing or doubled"),
        (lambda t: t.filter(pc.field("sequence") != 2), "row 2 was the last committed"),
        (edit("candidate", "{"), "no.* a decision|not a decision"),
    ],
)
def test_what_was_done_to_the_ledger_is_said(three: Lake, tamper: Any, said: str) -> None:
    """A link, a content, a gap, a cut end and what is no decision are five things to whoever looks for the cause."""
    table = three.open("ledger").to_pyarrow_table().sort_by("sequence")
    write_deltalake(three.uri("ledger"), tamper(table), mode="overwrite")

    with pytest.raises(LedgerBroken, match=said):
        ledger.verify(three, APP)


def test_who_waits_is_who_was_registered_and_not_decided_about_since(three: Lake) -> None:
    """In the order of registration; whoever was held waits again once registered for another eval set."""

    def waiting() -> list[str]:
        return [candidate.model for candidate in ledger.fold(three, APP).waiting]

    for name in "cd":
        ledger.register(three, APP, model(name), time=NOW)
    assert waiting() == ["c", "d"]
    held = {"id": ledger.decision_id("held"), "time": NOW, "expected_champion": model("b").id}
    ledger.append(three, APP, "held", model("c"), verdict="block", **held)
    assert waiting() == ["d"]
    ledger.register(three, APP, model("c"), time=NOW, eval_set="holdout")
    ledger.register(three, APP, model("b"), time=NOW, eval_set="holdout")

    assert waiting() == ["d", "c"]
    status = {name: ledger.fold(three, APP).status(model(name).id) for name in "abcd"}
    assert status == {"a": "former champion", "b": "champion", "c": "waiting", "d": "waiting"}
    with pytest.raises(UsageError, match="no candidate 'nobody'"):
        ledger.fold(three, APP).status("nobody")
