"""Examples that are kept: only what changed is made again, memory gives what making anew would, and people leave it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.curate import kept as memory
from flows.curate.stage import TABLES, curate
from flows.erase import carry_out
from flows.run import begin, latest
from flows.testing.events import START, event_id, feedback, interaction
from flows.testing.world import AS_OF, World
from schemas.errors import LakeError
from schemas.events import Erasure
from streams.lake.query import read
from tests.support.examples import questions

TURNS = [
    [{"role": "user", "content": "where is my parcel, I am ann@example.org"}],
    [{"role": "user", "content": "where is my parcel, I am ann@example.org"},
     {"role": "assistant", "content": "answer 0"}, {"role": "user", "content": "and when will it come then"}],
]  # fmt: skip


def erasure(n: int, subject: str, time: datetime) -> Erasure:
    """A wish to be forgotten."""
    return Erasure(id=event_id(10**6 + n), time=time, subject=subject)


def remembered(world: World) -> memory.Kept:
    """What a build would read now."""
    judged = latest(world.lake, "cluster", "support-bot")
    assert judged is not None
    run = begin(world.lake, "curate", "support-bot", AS_OF, TABLES, world.settings.curate)
    return memory.kept(world.lake, run, world.settings, judged.run_id)


def test_what_has_not_changed_is_not_made_again(world: World) -> None:
    """A second look makes nothing; a correction makes its conversation; all say the same as before."""
    events = questions(world, 30)
    world.judged({e.id: "ok" for e in events})
    first = remembered(world)
    assert (first.made, len(first.found.examples)) == (30, 30)
    assert remembered(world) == msgspec.structs.replace(first, made=0)

    world.happened(feedback(1, events[4], "correction", text="better"))
    second = remembered(world)

    assert second.made == 1
    changed = [a.interaction_id for a, b in zip(first.found.examples, second.found.examples, strict=True) if a != b]
    assert changed == [events[4].id]


def test_a_turn_that_failed_changes_what_its_conversation_teaches(world: World) -> None:
    """The later turn is made again when the earlier one is judged otherwise, and only that conversation."""
    chat = [interaction(n, user_id="ann", conversation_id="c-1", input_messages=asked,
                        output_messages=[{"role": "assistant", "content": f"answer {n}"}])
            for n, asked in enumerate(TURNS)]  # fmt: skip
    world.happened(*chat)
    others = [interaction(n, user_id=f"u-{n}") for n in range(10, 15)]
    world.happened(*others)
    outcomes = {e.id: "ok" for e in [*chat, *others]}
    world.judged(outcomes)
    before = remembered(world)
    world.judged({**outcomes, chat[0].id: "failed"}, as_of=AS_OF + timedelta(hours=1))

    after = remembered(world)

    ids = {event.id for event in chat}
    (first, second), (_, later) = (
        [e for e in one.found.examples if e.interaction_id in ids] for one in (before, after)
    )
    assert after.made == 1
    assert (first.origin, second.begins, later.begins) == ("accepted", 0, 2)
    assert before.redacted["email"] == 2


def test_nothing_is_kept_that_nobody_redacted(world: World) -> None:
    """The memory holds placeholders, and no name but a keyed hash."""
    world.happened(event := interaction(1, user_id="ann@example.org", input_messages=TURNS[0]))
    world.judged({event.id: "ok"})
    curate(world.lake, world.settings, AS_OF)

    content = b"".join(path.read_bytes() for path in Path(world.lake.uri("examples")).rglob("*.parquet"))
    assert "<EMAIL_1>" in str(read(world.lake, "examples").to_pylist())
    assert "ann@example.org" not in str(read(world.lake, "examples").to_pylist())
    assert b"ann@example.org" not in content


def test_an_erased_person_leaves_the_memory(make_world: Callable[..., World]) -> None:
    """By command and by a wish that arrives as an event: their rows go, those of others stay and are not made again."""
    for how in ("command", "wish"):
        world = make_world()
        events = questions(world, 20)
        world.judged({e.id: "ok" for e in events})
        curate(world.lake, world.settings, AS_OF)
        assert events[3].id in read(world.lake, "examples")["interaction_id"].to_pylist()

        if how == "command":
            carry_out(world.lake, world.settings, "user-3", AS_OF)
        else:
            world.happened(erasure(1, "user-3", time=AS_OF))
            curate(world.lake, world.settings, AS_OF + timedelta(hours=1))

        left = read(world.lake, "examples")
        said = [row for row in left.to_pylist() if row["example"]]
        assert events[3].id not in {row["interaction_id"] for row in said}
        assert len(said) == 19
        assert str(events[3].input_messages) not in str(said)


@contextmanager
def unreadable(world: World) -> Iterator[None]:
    """Meanwhile the memory's files are away."""
    files = list(Path(world.lake.uri("examples")).rglob("*.parquet"))
    for path in files:
        path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        for path in files:
            path.with_suffix(".away").rename(path)


def test_the_memory_is_looked_through_once_for_each_wish(world: World) -> None:
    """[a wish: looked, none since: not, after_erasure changed: looked, another wish: looked], and who asked is gone."""
    events = questions(world, 20)
    world.judged({e.id: "ok" for e in events})
    curate(world.lake, world.settings, AS_OF)
    world.happened(erasure(1, "user-3", time=AS_OF))
    with unreadable(world), pytest.raises(OSError, match="No such file"):
        memory.forget_wished(world.lake, world.settings)

    curate(world.lake, world.settings, AS_OF + timedelta(hours=1))

    with unreadable(world):
        memory.forget_wished(world.lake, world.settings)
    refuse = msgspec.structs.replace(world.settings.archive, after_erasure="refuse")
    stricter = msgspec.structs.replace(world.settings, archive=refuse)
    with unreadable(world), pytest.raises(OSError, match="No such file"):
        memory.forget_wished(world.lake, stricter)
    world.happened(erasure(2, "user-5", time=AS_OF))
    memory.forget_wished(world.lake, world.settings)
    left = {row["interaction_id"] for row in read(world.lake, "examples").to_pylist() if row["example"]}
    assert left == {e.id for n, e in enumerate(events) if n not in {3, 5}}


def test_who_comes_back_after_a_wish_takes_no_row_of_others_along(world: World) -> None:
    """Bob asked to be forgotten, came back and praised one of Ann's two answers: her other one is still remembered."""
    chat = [interaction(n, user_id="ann", conversation_id="c-1", input_messages=asked,
                        output_messages=[{"role": "assistant", "content": f"answer {n}"}])
            for n, asked in enumerate(TURNS)]  # fmt: skip
    world.happened(*chat, erasure(1, "bob", time=START + timedelta(days=1)))
    world.judged({event.id: "ok" for event in chat})
    praise = feedback(1, chat[1], "thumb", value=1.0, user_id="bob", time=START + timedelta(days=2))
    world.happened(praise)
    before = remembered(world)
    assert [example.told_by != "" for example in before.found.examples] == [False, True]

    memory.forget_wished(world.lake, world.settings)

    assert remembered(world).found.examples == before.found.examples


def test_what_another_build_lets_go_of_meanwhile_is_not_left_out_in_silence(world: World) -> None:
    """A build with other settings that ends between making and recalling: an error, and no data set with a hole."""
    events = questions(world, 3)
    world.judged({e.id: "ok" for e in events})
    remembered(world)
    how = memory.how_made(world.settings.curate)

    with pytest.raises(LakeError, match="1 conversations left the memory"):
        memory._recalled(world.lake, "support-bot", how, {"gone"}, {}, 0)


def test_other_redaction_is_another_memory(make_world: Callable[..., World]) -> None:
    """What was kept without a pattern is made again with it; what no build wants any more goes in the end."""
    world = make_world()
    world.happened(
        event := interaction(1, user_id="u", input_messages=[{"role": "user", "content": "badge AB-12 lost"}])
    )
    world.judged({event.id: "ok"})
    assert "AB-12" in remembered(world).found.examples[0].text
    changed = msgspec.structs.replace(world.settings.curate, recognisers={"badge": "AB-[0-9]+"})
    world.settings = msgspec.structs.replace(world.settings, curate=changed)

    assert remembered(world).found.examples[0].text == "badge <BADGE_1> lost"
    assert remembered(world).found.examples[0].text == "badge <BADGE_1> lost"


STEPS = st.lists(st.integers(0, 2**16), min_size=1, max_size=4)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_memory_gives_what_making_anew_gives(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    """After any sequence of events, judgements and builds the examples are those of a lake that had no memory."""
    events = [
        interaction(n, user_id=f"u-{n % 5}", conversation_id=f"c-{n % 7}", input_messages=TURNS[n % 2])
        for n in range(14)
    ]
    worlds = [World(tmp_path_factory.mktemp("world")) for _ in range(2)]
    story: list[Callable[[World], Any]] = []
    for number, seed in enumerate(steps):
        rng = random.Random(seed)
        kinds = ("correction", "thumb")
        told = [feedback(number * 100 + n, rng.choice(events), rng.choice(kinds), value=1.0, text="so")
                for n in range(rng.randrange(3))]  # fmt: skip
        outcomes = {e.id: rng.choice(["ok", "failed", "unknown"]) for e in events}
        gone = [erasure(number, f"u-{rng.randrange(5)}", time=START + timedelta(days=40))] if rng.random() < 0.3 else []
        story.append(lambda w, t=told, g=gone: w.happened(*t, *g))
        story.append(lambda w, o=outcomes, n=number: w.judged(o, as_of=AS_OF + timedelta(hours=n)))
    for world in worlds:
        world.happened(*events)
    for step in story:
        step(worlds[0])
        if latest(worlds[0].lake, "cluster", "support-bot"):
            remembered(worlds[0])
    for step in story:
        step(worlds[1])

    old, new = remembered(worlds[0]), remembered(worlds[1])

    assert old.found.examples == new.found.examples
    assert sorted(map(repr, old.found.dropped)) == sorted(map(repr, new.found.dropped))
    assert old.redacted == new.redacted
