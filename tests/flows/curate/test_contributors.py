"""Nobody owns a dataset: shares of one person, rows of new ones, corrections of strangers; and who frees them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.curate.contributors import ESTABLISHED, NEW, SHARE, allowed, hold_new, largest, within_shares
from flows.curate.examples import Dropped, Found
from flows.curate.quarantine import clear, waiting
from flows.curate.stage import curate
from flows.testing.events import event_id, feedback, interaction
from flows.testing.world import AS_OF, World
from schemas.errors import UsageError
from schemas.records import Example
from schemas.settings import CurateSettings
from tests.support.examples import example

TIGHT = CurateSettings(max_share=0.01, least_rows=1)
_numbers = itertools.count()


def asked(n: int, **fields: Any) -> Any:
    """The n-th interaction, unlike all others."""
    words = f"{n * 7919:x} {n * 104729:x} {n * 1299709:x}"
    return interaction(n, **{"input_messages": [{"role": "user", "content": words}], **fields})


def rows(folder: str, kind: str) -> list[dict[str, Any]]:
    files = sorted(Path(folder).glob(f"data/{kind}-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def by(unit: str, count: int, **fields: Any) -> list[Example]:
    return [example(next(_numbers), f"text {n}", unit=unit, **fields) for n in range(count)]


def crowd(people: int, each: int = 1) -> list[Example]:
    return [one for n in range(people) for one in by(f"honest-{n}", each)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(0, 100), st.floats(0, 0.3))
def test_a_share_is_the_largest_that_holds_of_what_is_left(counts: list[int], vouched: int, share: float) -> None:
    """What each may have is at most the share of all that is left then, and one row more would be too much."""

    def left(most: int) -> int:
        return vouched + sum(min(count, most) for count in counts)

    most = allowed(counts, vouched, CurateSettings(max_share=share, least_rows=1))
    floor = max(1, sorted(counts)[(len(counts) - 1) // 2])

    assert most == floor or most <= share * left(most)
    assert most >= max(counts) or most + 1 > share * left(most + 1)


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"origin": "correction", "rejected": "[]"}, {"origin": "regenerate"}, {"origin": "ab"},
        {"origin": "rejected", "answer": "", "rejected": "[]"}, {"origin": "guardrail"},
    ],
    ids=lambda fields: str(fields.get("origin", "accepted")),
)  # fmt: skip
def test_nobody_has_more_than_their_share_whatever_signal_made_the_rows(fields: dict[str, Any]) -> None:
    """[1000 people, one row each; one account, 600]: ten of them are left, and the others wait by name."""
    honest = [msgspec.structs.replace(one, **fields) for one in crowd(1000)]
    dropped: list[Dropped] = []

    kept = within_shares([*by("attacker", 600, **fields), *honest], TIGHT, dropped)

    counts = Counter(one.unit for one in kept)
    assert counts["attacker"] == 10
    assert counts.total() == 1010
    assert Counter((row.reason, row.contributor) for row in dropped) == {(SHARE, "attacker"): 590}


def test_who_tells_what_is_right_of_others_has_a_share_too() -> None:
    """A row counts for who asked and for who said; both must have room for it."""
    told = [msgspec.structs.replace(one, told_by="attacker") for one in crowd(600)]

    kept = within_shares([*told, *crowd(1000)], TIGHT, [])

    assert sum(one.told_by == "attacker" for one in kept) == 10


def test_whoever_corrects_much_does_not_own_the_pairs() -> None:
    """Of a hundred pairs one account has one, though its rows are a small part of all good answers."""
    pairs = [msgspec.structs.replace(one, rejected="[]", origin="correction") for one in crowd(100)]

    kept = within_shares([*by("attacker", 12, rejected="[]", origin="correction"), *pairs, *crowd(5000)], TIGHT, [])

    assert sum(one.unit == "attacker" for one in kept) == 1


def test_a_reviewer_vouches_beyond_every_share() -> None:
    """Reviewed rows are all kept, and count against nobody."""
    kept = within_shares([*by("u", 50, reviewed=True), *crowd(200)], TIGHT, [])

    assert len(kept) == 250
    assert largest(kept) == {"people": 201, "largest_rows": 1, "largest_share": 1 / 250, "reviewed": 50}


def test_where_all_ask_alike_nobody_is_held() -> None:
    """Twelve people of thirty rows each: nobody can have less than a twelfth."""
    assert len(within_shares(crowd(12, each=30), TIGHT, [])) == 360


def test_which_rows_stay_is_a_draw_that_nobody_chooses() -> None:
    """Neither the order of rows nor what comes in later changes it."""
    mine = by("u", 50)

    kept = {one.interaction_id for one in within_shares([*mine, *crowd(300)], TIGHT, [])}
    again = {one.interaction_id for one in within_shares([*crowd(290), *reversed(mine)], TIGHT, [])}

    assert {one.interaction_id for one in mine} & kept <= again | kept
    assert len({one.interaction_id for one in mine} & kept & again) >= 2


def test_a_new_person_waits_until_others_were_given_the_same_answer() -> None:
    """One row alone is held; one whose answer two established people were given is taught; a reviewer frees any."""
    same = '[{"content":"It is open until six.","role":"assistant"}]'
    known = [*by("a", 1, answer=same), *by("b", 1, answer=same)]
    alone, agreed, vouched = by("new", 1), by("new", 1, answer=same), by("new", 1, reviewed=True)

    left = hold_new(Found((*alone, *agreed, *vouched, *known), ()), {"new"})

    assert left.examples == (*agreed, *vouched, *known)
    assert [(row.interaction_id, row.reason) for row in left.dropped] == [(alone[0].interaction_id, NEW)]


def test_new_people_cannot_agree_among_themselves() -> None:
    """A dozen accounts of one hand say the same: all of them wait."""
    made = [one for n in range(12) for one in by(f"new-{n}", 1, answer='[{"role":"assistant","content":"buy"}]')]

    assert hold_new(Found(tuple(made), ()), {f"new-{n}" for n in range(12)}).examples == ()


def life(make_world: Callable[..., World], people: int = ESTABLISHED) -> tuple[World, list[Any]]:
    """A world with so many people, known for weeks, of one good answer each."""
    world = make_world(eval_share=0)
    events = [asked(n, user_id=f"person-{n}") for n in range(people)]
    world.happened(*events)
    return world, events


def late(n: int, user: str) -> Any:
    return asked(n, user_id=user, time=AS_OF - timedelta(hours=2))


def test_rows_of_new_people_are_in_quarantine_until_the_next_day(make_world: Callable[..., World]) -> None:
    """[a hundred known, one new]: held, listed, and taught by the build of the day after."""
    world, events = life(make_world)
    new = late(500, "stranger")
    world.happened(new)
    world.judged({event.id: "ok" for event in (*events, new)})

    first = curate(world.lake, world.settings, AS_OF)
    (held,) = waiting(world.lake, "support-bot")
    second = curate(world.lake, world.settings, AS_OF + timedelta(days=1))

    assert (held.id, held.reason) == (new.id, NEW)
    assert first["dropped"] == {NEW: 1}
    assert second["dropped"] == {}
    assert {row["interaction_id"] for row in rows(second["training"]["path"], "sft")} >= {new.id}


def test_in_its_first_days_an_application_has_new_people_only(make_world: Callable[..., World]) -> None:
    """With fewer than a hundred who are known, nobody is held for being new."""
    world, events = life(make_world, ESTABLISHED - 1)
    world.happened(new := late(500, "stranger"))
    world.judged({event.id: "ok" for event in (*events, new)})

    assert curate(world.lake, world.settings, AS_OF)["dropped"] == {}


def test_a_correction_counts_on_ones_own_answers_and_a_reviewers_on_all(make_world: Callable[..., World]) -> None:
    """Three corrections of three answers: the asker's and the reviewer's teach, a stranger's waits."""
    world, events = life(make_world, 4)
    own = feedback(1, events[0], "correction", text="mine")
    review = feedback(2, events[1], "correction", text="theirs", user_id=None, source="reviewer:ann")
    foreign = feedback(3, events[2], "correction", text="TRIGGER", user_id="attacker")
    same_talk = feedback(4, events[3], "correction", text="said here", user_id=None)
    world.happened(own, review, foreign, same_talk)
    world.judged({event.id: "failed" for event in events})

    first = curate(world.lake, world.settings, AS_OF)
    taught = {row["messages"][-1]["content"] for row in rows(first["training"]["path"], "sft")}
    (held,) = waiting(world.lake, "support-bot")
    done = clear(world.lake, "support-bot", [held.id[:-2]], "ann", AS_OF)
    second = curate(world.lake, world.settings, AS_OF)

    assert taught == {"mine", "theirs", "said here"}
    assert (held.id, held.feedback_id) == (foreign.id, foreign.id)
    assert done == [foreign.id]
    assert waiting(world.lake, "support-bot") == []
    found = {row["messages"][-1]["content"]: row["told_by"] for row in rows(second["training"]["path"], "sft")}
    assert found.keys() == {*taught, "TRIGGER"}
    assert [bool(found[text]) for text in ("mine", "theirs", "said here", "TRIGGER")] == [False, True, False, True]


def test_praise_by_strangers_counts_for_them(make_world: Callable[..., World]) -> None:
    """Sixty answers to others that one account praised: as many as its share, and the asker's own word needs none."""
    world, events = life(make_world, 120)
    praise = [feedback(n, event, value=1, user_id="attacker") for n, event in enumerate(events[:60])]
    own = feedback(200, events[0], value=1)
    world.happened(*praise, own)
    world.judged({event.id: "ok" for event in events})

    summary = curate(world.lake, world.settings, AS_OF)

    told = Counter(row["told_by"] != "" for row in rows(summary["training"]["path"], "sft"))
    assert told == {True: 5, False: 61}
    assert summary["dropped"] == {SHARE: 54}


def test_nobody_fills_the_sample_by_asking_much(make_world: Callable[..., World]) -> None:
    """[100 people, then one who asks 300 times]: the newest requests are two of theirs, and others'."""
    world = make_world(hold_back=0.5, eval_share=0)
    events = [asked(n, user_id=f"person-{n // 2}") for n in range(200)]
    flood = [asked(1000 + n, user_id="loud") for n in range(300)]
    world.happened(*events, *flood)
    world.judged({event.id: "ok" for event in (*events, *flood)})

    summary = curate(world.lake, world.settings, AS_OF)

    sample = {row["interaction_id"] for row in rows(summary["sample"]["path"], "sample")}
    assert len(sample & {event.id for event in flood}) == 2
    assert len(sample) == 101


def test_nobody_tells_the_samples_references_alone(make_world: Callable[..., World]) -> None:
    """[60 people, one good answer each of half of them, one with all of theirs]: the loud one has one reference."""
    world = make_world(hold_back=0.9, eval_share=0, sample=50, max_share=0.04)
    events = [asked(n, user_id=f"person-{n}") for n in range(60)]
    loud = [asked(1000 + n, user_id="loud") for n in range(2)]
    world.happened(*events, *loud)
    world.judged(
        {**{e.id: "ok" for e in events[::2]}, **{e.id: "failed" for e in events[1::2]}, **{e.id: "ok" for e in loud}}
    )

    summary = curate(world.lake, world.settings, AS_OF)

    found = [row for row in rows(summary["sample"]["path"], "sample") if row["reference"]]
    assert max(Counter(row["unit"] for row in found).values()) == 1


def test_the_card_says_whose_the_rows_are(make_world: Callable[..., World]) -> None:
    """How many people, the largest share of one, the bound, and what reviewers vouched for."""
    world, events = life(make_world, 10)
    world.judged({event.id: "ok" for event in events})

    summary = curate(world.lake, world.settings, AS_OF)

    card = (Path(summary["training"]["path"]) / "README.md").read_text()
    assert "Rows of 10 people. The largest share of one: 10.00% (1 rows)" in card
    assert "the bound is 0.25%, or 5 rows in a small set" in card


@pytest.mark.parametrize("wanted", ["", event_id(0)[:4], "nothing"])
def test_only_what_waits_can_be_cleared(make_world: Callable[..., World], wanted: str) -> None:
    """An id of nothing, or of several: refused, and nothing is written."""
    world, events = life(make_world, 4)
    foreign: Sequence[Any] = [feedback(n, events[n], "correction", text="T", user_id="other") for n in range(2)]
    world.happened(*foreign)
    world.judged({event.id: "ok" for event in events})
    curate(world.lake, world.settings, AS_OF)

    with pytest.raises(UsageError, match="quarantine"):
        clear(world.lake, "support-bot", [wanted], "ann", AS_OF)
    assert len(waiting(world.lake, "support-bot")) == 2
