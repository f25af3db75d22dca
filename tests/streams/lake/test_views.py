"""What the names of the query layer mean: standing feedback, the forgotten, the unit, finished runs."""

from __future__ import annotations

import itertools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.run import begin, finish
from flows.testing.events import START, event_id, feedback, happened, interaction
from schemas.events import Erasure, Feedback, Interaction, Kind
from schemas.kinds import KINDS, says
from schemas.unit import unit_of
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.engine import duck
from streams.lake.forget import forget, wished_rows
from streams.lake.query import UNIT, query, rows
from streams.triage.rates import Seen, observe

RAW = ("interactions", "feedback", "erasures")
NOW = datetime(2026, 1, 10, tzinfo=UTC)
Policy = Literal["accept", "refuse"]
_numbers = itertools.count(7_000_000)


def standing(lake: Lake, after_erasure: Policy = "accept") -> list[dict[str, Any]]:
    sql = "SELECT * FROM standing_feedback ORDER BY id"
    return list(query(lake, sql, lake.versions(RAW), after_erasure=after_erasure).to_pylist())


def remembered(lake: Lake, after_erasure: Policy = "accept") -> set[str]:
    sql = "SELECT id FROM interactions WHERE id NOT IN (SELECT id FROM forgotten_interactions)"
    return set(query(lake, sql, lake.versions(RAW), after_erasure=after_erasure)["id"].to_pylist())


def wish(subject: str, time: datetime, application: str | None = None) -> Erasure:
    return Erasure(id=event_id(next(_numbers)), time=time, subject=subject, application=application)


def test_only_who_said_it_may_take_it_back(lake: Lake) -> None:
    """Another person, source, application or interaction takes nothing back; nor does somebody unknown."""
    about, other = interaction(1, user_id="alice"), interaction(2, user_id="alice")
    down = feedback(1, about)
    strangers: list[dict[str, Any]] = [
        {"user_id": "mallory"},
        {"user_id": None},
        {"source": "judge:x"},
        {"application": "other"},
        {"interaction_id": other.id},
        {"user_id": None, "conversation_id": "user:alice"},
    ]
    happened(lake, about, other, down)
    for n, change in enumerate(strangers):
        happened(lake, feedback(10 + n, about, "copy", retracts=down.id, **change))
        happened(lake, feedback(20 + n, about, "copy", supersedes=down.id, **change))

    assert down.id in {row["id"] for row in standing(lake)}
    happened(lake, feedback(40, about, retracts=down.id))
    assert down.id not in {row["id"] for row in standing(lake)}


def test_what_was_taken_back_stays_so(lake: Lake) -> None:
    """A retraction of the retraction brings nothing back, and a retraction itself says nothing."""
    about = interaction(1)
    down = feedback(1, about)
    undone = feedback(2, about, retracts=down.id)

    happened(lake, about, down, undone, feedback(3, about, retracts=undone.id))

    assert standing(lake) == []


@pytest.mark.parametrize("kind", get_args(Kind))
def test_sql_and_python_hear_the_same(lake: Lake, kind: str) -> None:
    """The column `good` is `schemas.kinds.says`, for every kind and value; `voice` is the table's."""
    about = interaction(1)
    values = [0.0, 1.0] if kind == "thumb" else [0.0, 0.25, 0.5, 0.5000001, 1.0]
    said = [feedback(n, about, kind, value=v, text="so", label="x") for n, v in enumerate(values)]
    happened(lake, about, *said)

    found = standing(lake)

    assert [row["good"] for row in found] == [says(kind, value, "x") for value in values]
    assert {row["voice"] for row in found} == {KINDS[kind].voice}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(max_size=4), st.text(max_size=4)), max_size=20))
@example([("e\u0301\0b", ""), (None, " \0é "), ("\0", "\0"), (" a\0", "b")])
def test_the_unit_is_one_in_sql_and_python(pairs: list[tuple[str | None, str]]) -> None:
    """Whatever people and conversations are called, the column `unit` is `unit_of`."""
    users, conversations = (pa.array([pair[n] for pair in pairs], pa.string()) for n in (0, 1))
    with duck() as session:
        session.put("named", pa.table({"user_id": users, "conversation_id": conversations}))
        found = session.ask(f"SELECT {UNIT} AS unit FROM named", {}).table()["unit"].to_pylist()

    assert found == [unit_of(*pair) for pair in pairs]


PEOPLE = st.sampled_from(["ann", "bob", None])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["thumb", "rating", "copy", "correction", "comment", "label", "judge"]),
        st.integers(0, 2),  # the interaction
        PEOPLE,
        st.sampled_from(["user", "judge:a"]),
        st.sampled_from(["support-bot", "other"]),
        st.sampled_from(["", "supersedes", "retracts"]),
        st.integers(0, 30),  # which earlier event it takes back
        st.sampled_from([0.0, 0.5, 1.0]),
    ),
    max_size=12,
)
ASKED = [interaction(n, user_id=["ann", "bob", None][n], conversation_id=f"c{n % 2}") for n in range(3)]


def told(steps: list[tuple[Any, ...]]) -> list[Feedback]:
    found: list[Feedback] = []
    for n, (kind, about, user, source, application, way, which, value) in enumerate(steps):
        more = {way: found[which % len(found)].id} if way and found else {}
        fields = {"user_id": user, "source": source, "application": application, "text": "so"}
        fields["value"] = float(round(value)) if kind == "thumb" else value
        found.append(feedback(n, ASKED[about], kind, label="wrong", **fields, **more))
    return found


@settings(max_examples=40, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_triage_and_the_lake_agree_on_what_stands(steps: list[tuple[Any, ...]], rng: Any) -> None:
    """After any events in any order the same feedback stands live and in the lake, and says the same."""
    said = told(steps)
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        happened(lake, *ASKED, *said)
        in_lake = {row["id"]: row["good"] for row in standing(lake) if row["application"] == "support-bot"}
    live: dict[str, bool | None] = {}
    for about in ASKED:
        events: list[Interaction | Feedback] = [about, *(event for event in said if event.interaction_id == about.id)]
        rng.shuffle(events)
        seen = Seen(0)
        for event in events:
            seen, _ = observe(seen, event)
        live |= {name: signal.good for name, signal in seen.standing().items()}
    retractions = {event.id for event in said if event.retracts}

    assert {name: good for name, good in live.items() if name not in retractions} == in_lake


@pytest.mark.parametrize("policy", ["accept", "refuse"])
def test_an_erasure_forgets_alike_everywhere(lake: Lake, policy: Policy) -> None:
    """What the person did and what was said of it: up to the wish, or for ever where the policy refuses a new start."""
    before, after, other = (interaction(n, user_id=u) for n, u in ((1, "ann"), (100, "ann"), (2, "bob")))
    said = [
        feedback(1, before, user_id="bob"),
        feedback(2, other, user_id="ann"),
        feedback(3, after),
        feedback(4, other),
    ]
    happened(lake, before, after, other, *said, wish("ann", START + timedelta(seconds=50)))

    gone = {before.id} if policy == "accept" else {before.id, after.id}
    assert remembered(lake, policy) == {before.id, after.id, other.id} - gone
    new_start = {said[2].id} if policy == "accept" else set()
    assert {row["id"] for row in standing(lake, policy)} == {said[3].id} | new_start


WISHES = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.integers(-1, 60), st.sampled_from([None, "support-bot", "other"])),
    max_size=3,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, WISHES, st.sampled_from(["accept", "refuse"]), st.lists(st.integers(0, 2), max_size=3))
def test_readers_see_the_same_once_the_rows_are_gone(
    steps: list[tuple[Any, ...]], wishes: list[tuple[str, int, str | None]], policy: Policy, copies: list[int]
) -> None:
    """Forgotten rows say nothing before they are removed, and their removal, copies and all, changes no answer."""
    again = [msgspec.structs.replace(ASKED[n], user_id="ann", time=START + timedelta(seconds=40)) for n in copies]
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        happened(lake, *ASKED, *told(steps))
        happened(lake, *again, *[wish(who, START + timedelta(seconds=s), app) for who, s, app in wishes])
        happened(lake, *told(steps)[:2])
        answers = standing(lake, policy), remembered(lake, policy)

        forget(lake, wished_rows(lake, policy), {}, NOW)

        assert ([{**row} for row in standing(lake, policy)], remembered(lake, policy)) == answers
        assert wished_rows(lake, policy) == []


def test_a_stranger_cannot_have_an_id_forgotten(lake: Lake) -> None:
    """Whoever sends a copy of somebody's event under their own name, and asks for erasure, removes the copy alone."""
    theirs = interaction(1, user_id="bob")
    happened(lake, theirs)
    happened(lake, msgspec.structs.replace(theirs, user_id="mallory"), wish("mallory", NOW))
    happened(lake, feedback(1, theirs))

    forget(lake, wished_rows(lake, "accept"), {"1": "mallory"}, NOW)

    assert remembered(lake) == {theirs.id}
    assert wished_rows(lake, "accept") == []
    assert len(standing(lake)) == 1


def outcomes(run_id: str, count: int) -> list[dict[str, Any]]:
    row = {"run_id": run_id, "application": "a", "time": NOW, "conversation_id": "c", "request_model": "m",
           "outcome": "ok"}  # fmt: skip
    return [row | {"interaction_id": event_id(n)} for n in range(count)]


def test_only_finished_runs_are_visible(lake: Lake) -> None:
    """A run's rows are there once its own row is; until then they are only in the table as it is stored."""
    run = begin(lake, "cluster", "a", NOW, [], None)
    publish(lake, "outcomes", to_rows("outcomes", outcomes(run.run_id, 3)), run.run_id)
    publish(lake, "outcomes", to_rows("outcomes", outcomes("killed", 2)), "killed")
    counts = "SELECT (SELECT count(*) FROM outcomes) AS seen, (SELECT count(*) FROM stored_outcomes) AS stored"

    assert query(lake, counts, lake.versions(["outcomes"])).to_pylist() == [{"seen": 0, "stored": 5}]
    assert rows(lake, "outcomes") == []
    finish(lake, run, {})
    assert query(lake, counts, lake.versions(["outcomes"])).to_pylist() == [{"seen": 3, "stored": 5}]
    assert len(rows(lake, "outcomes")) == 3
    assert rows(lake, "outcomes", run_id="killed") == []


def test_rows_are_found_by_their_values(lake: Lake) -> None:
    """Equal to one value or to one of several, of a version, as they are stored; raw events each once."""
    run = begin(lake, "cluster", "a", NOW, [], None)
    finish(lake, run, {})
    publish(lake, "outcomes", to_rows("outcomes", outcomes(run.run_id, 5)), run.run_id)
    ids = [event_id(n) for n in range(5)]
    happened(lake, interaction(1), interaction(2))
    happened(lake, interaction(1))

    assert [row["interaction_id"] for row in rows(lake, "outcomes")] == ids
    two = rows(lake, "outcomes", interaction_id={ids[3], ids[1]})
    assert [row["interaction_id"] for row in two] == [ids[1], ids[3]]
    assert rows(lake, "outcomes", interaction_id=ids[2], outcome="failed") == []
    assert rows(lake, "outcomes", interaction_id=[]) == []
    assert len(rows(lake, "outcomes", variant=None)) == 5
    assert rows(lake, "outcomes", version=-1) == []
    assert rows(lake, "clusters", run_id="r") == []
    assert [row["id"] for row in rows(lake, "interactions", id=event_id(1))] == [event_id(1)]
    assert len(rows(lake, "interactions", application="support-bot", id=[event_id(1), event_id(2), event_id(3)])) == 2
    assert rows(lake, "interactions", version=0, id=event_id(3)) == []
