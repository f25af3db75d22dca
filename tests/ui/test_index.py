"""The index: a fold over commits that equals what is made anew, forgets whom it should, and agrees with the lake."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.testing.events import START, event_id, feedback, happened, interaction
from schemas.events import Erasure, Event
from schemas.kinds import RANDOM
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.maintain import compact, delete_rows
from streams.lake.query import query
from tests.support.clusters import World
from tests.support.index import fold, held
from ui.agreeing import agreeing
from ui.index.fold import FILE, Folder
from ui.index.lists import people, usage
from ui.index.rows import MOST_TOKENS, bucket, id_of, key_of, middle
from ui.index.store import reader


def some() -> list[Event]:
    asked = [
        interaction(
            n,
            time=START + timedelta(hours=2 * n),
            duration_ms=100.0 + n % 3,
            input_tokens=n % 3 or None,
            cost_usd=n % 2 or None,
        )
        for n in range(12)
    ]
    said = [feedback(n, one, value=n % 2) for n, one in enumerate(asked[:8])]
    taken = feedback(50, asked[0], supersedes=event_id(1_000_000), value=1)
    stolen = feedback(51, asked[1], supersedes=event_id(1_000_001), value=1, user_id="somebody-else")
    back = feedback(52, asked[2], retracts=event_id(1_000_002))
    return [*asked, *said, taken, stolen, back]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(some()), cuts=st.sets(st.integers(1, 20), max_size=6))
def test_any_order_of_commits_folds_to_the_same(tmp_path_factory: Any, order: list[Event], cuts: set[int]) -> None:
    """Events in any order, in any commits, folded after each: the index is the one made anew of all of them."""
    home = tmp_path_factory.mktemp("fold")
    lake, ends = Lake(home / "lake"), [0, *sorted(cuts), len(order)]
    for first, last in itertools.pairwise(ends):
        happened(lake, *order[first:last])
        step = fold(home / "steps", lake)

    assert step == fold(home / "anew", lake)
    assert len(step["interaction"]) == 12


def test_what_stands_is_what_the_lake_says(tmp_path: Path) -> None:
    """The index and `standing_feedback` agree: only the same speaker takes something back."""
    lake = Lake(tmp_path / "lake")
    happened(lake, *some())
    versions = {name: lake.version(name) for name in ("interactions", "feedback", "erasures")}
    told = query(lake, "SELECT id FROM standing_feedback ORDER BY id", versions, after_erasure="accept")

    standing = [row[0] for row in fold(tmp_path, lake)["feedback"] if row[-1]]
    assert standing == [id_.replace("-", "").upper() for id_ in told["id"].to_pylist()]


def test_a_lake_that_was_compacted_is_the_same_lake(tmp_path: Path) -> None:
    """Files that were joined between two looks bring nothing twice and lose nothing."""
    lake = Lake(tmp_path / "lake")
    asked = [interaction(n) for n in range(9)]
    happened(lake, *asked[:3])
    fold(tmp_path / "steps", lake)
    happened(lake, *asked[3:6])
    happened(lake, *asked[6:])
    compact(lake, "interactions", 2**27)

    assert fold(tmp_path / "steps", lake) == fold(tmp_path / "anew", lake)


def test_rows_that_left_the_lake_leave_the_index(tmp_path: Path) -> None:
    """Days that a commit rewrote are read anew."""
    lake = Lake(tmp_path / "lake")
    happened(lake, *some())
    before = fold(tmp_path / "steps", lake)
    delete_rows(lake, "interactions", pc.field("id") == event_id(3))
    after = fold(tmp_path / "steps", lake)

    assert len(after["interaction"]) == len(before["interaction"]) - 1
    assert after == fold(tmp_path / "anew", lake)


@pytest.mark.parametrize("later", [False, True])
def test_whoever_is_erased_leaves_with_the_next_commit(tmp_path: Path, later: bool) -> None:
    """Their interactions, all feedback on these, their words: gone from every byte of the file; others stay."""
    lake = Lake(tmp_path / "lake")
    theirs = [
        interaction(n, user_id="zoe", input_messages=[{"role": "user", "content": f"xylophone {n}"}]) for n in (0, 1)
    ]
    others = [interaction(n) for n in range(2, 30)]
    wish = Erasure(id=event_id(9_000_000), time=START + timedelta(days=1), subject="zoe")
    events: list[Event] = [*theirs, *others, feedback(1, theirs[0]), feedback(2, others[0], user_id="zoe")]
    happened(lake, *events)
    if later:
        fold(tmp_path, lake)
    happened(lake, wish)
    found = fold(tmp_path, lake)

    assert len(found["interaction"]) == 28
    assert found["feedback"] == []
    files = [path.read_bytes() for path in (tmp_path / "ui").iterdir()]
    assert not [1 for each in files if b"xylophone" in each or b"zoe" in each or theirs[0].id.encode() in each]


def test_what_others_say_of_whom_is_erased_leaves_too(tmp_path: Path) -> None:
    """Said before the erasure, and after it: whenever the index looked, it holds no word and counts no reviewer."""
    lake = Lake(tmp_path / "lake")
    theirs = interaction(0, user_id="zoe")
    word: dict[str, Any] = {
        "kind": "reviewer", "source": "reviewer:ann", "user_id": None, "label": RANDOM, "value": 1.0,
        "text": "xylophone",
    }  # fmt: skip
    happened(lake, theirs, interaction(5, user_id="someone"), feedback(1, theirs, **word))
    fold(tmp_path / "steps", lake)
    happened(lake, Erasure(id=event_id(9_000_000), time=START + timedelta(days=1), subject="zoe"))
    steps, anew = fold(tmp_path / "steps", lake), fold(tmp_path / "anew", lake)
    files = [path.read_bytes() for name in ("steps", "anew") for path in (tmp_path / name / "ui").iterdir()]
    assert steps == anew
    assert not [each for each in files if b"xylophone" in each]

    happened(lake, feedback(2, theirs, **word), feedback(3, theirs, **word | {"source": "reviewer:bob"}))
    fold(tmp_path / "steps", lake)

    with reader(tmp_path / "steps" / FILE) as sql:
        assert people(sql, 0) == []
        assert agreeing(sql, {}).everybody.items == 0


def test_what_they_do_after_an_erasure_is_a_new_start(tmp_path: Path) -> None:
    """Unless `archive.after_erasure` is `refuse`."""
    lake = Lake(tmp_path / "lake")
    happened(lake, Erasure(id=event_id(9_000_000), time=START + timedelta(seconds=5), subject="zoe"))
    happened(lake, *[interaction(n, user_id="zoe") for n in (1, 9)])

    assert [row[9] for row in fold(tmp_path, lake)["interaction"]] == ["question 9"]


def test_what_is_sent_under_anothers_id_takes_nothing_from_them(tmp_path: Path) -> None:
    """A row in the name of a forgotten person is left out; the row that has its id, and what was said of it, stay."""
    lake = Lake(tmp_path / "lake")
    one = interaction(1, user_id="ann")
    happened(lake, one, feedback(1, one))
    happened(lake, Erasure(id=event_id(9_000_000), time=START + timedelta(days=1), subject="zoe"))
    fold(tmp_path / "steps", lake)
    happened(lake, interaction(1, user_id="zoe"))

    found = fold(tmp_path / "steps", lake)
    assert len(found["feedback"]) == 1
    assert found == fold(tmp_path / "anew", lake)


def test_no_amount_stops_the_index(tmp_path: Path) -> None:
    """Events with the most that the contract takes: their sums are bounded, and the others' are there."""
    lake = Lake(tmp_path / "lake")
    most: dict[str, Any] = {"input_tokens": 2**53, "output_tokens": 2**53, "cost_usd": 1e15, "duration_ms": 1e15}
    happened(lake, *[interaction(n, **most) for n in range(1100)], interaction(2000, input_tokens=5))
    fold(tmp_path / "steps", lake)
    happened(lake, interaction(2001, **most))

    assert fold(tmp_path / "steps", lake) == fold(tmp_path / "anew", lake)
    with reader(tmp_path / "steps" / FILE) as sql:
        (day,) = usage(sql, 0, 2**31)
    assert (day.served, day.tokens_in) == (1102, 1101 * MOST_TOKENS + 5)


class Slow(Folder):
    """Takes so long for what was asked that more comes meanwhile."""

    meanwhile: Callable[[], object]

    def _rows(self, name: str, first: bool) -> set[int]:
        days = super()._rows(name, first)
        if name == "interactions":
            self.meanwhile()
        return days


def test_what_a_run_says_while_the_index_is_made_is_heard_later(tmp_path: Path) -> None:
    """A run over rows that came after those that are being taken in waits for the next fold, which has these."""
    world = World(tmp_path / "home", min_size=5)
    world.failures(0, "card", 5)
    world.run(days=1)
    folder = Slow(world.lake, Settings(home=str(tmp_path / "steps")))
    folder.meanwhile = lambda: (world.failures(100, "card", 20), world.run(days=2))
    folder.fold()
    folder.meanwhile = lambda: None
    folder.fold()
    folder.close()

    found = held(tmp_path / "steps")
    assert [row[7] for row in found["interaction"]] == [2] * 25
    assert found == fold(tmp_path / "anew", world.lake)


def test_a_cluster_run_brings_outcomes_homes_and_counts(world: World, tmp_path: Path) -> None:
    """The index says of each interaction what the run says, and its summaries count them."""
    found = fold(tmp_path, world.lake)
    said = {row["interaction_id"].replace("-", "").upper(): row["outcome"] for row in world.outcomes().values()}
    homes = {id_.replace("-", "").upper(): home for id_, home in world.homes().items() if home}

    assert {row[0]: ("unknown", "ok", "failed")[row[7]] for row in found["interaction"]} == said
    assert {row[0]: row[8] for row in found["interaction"] if row[8]} == homes
    assert sum(row[-1] for row in found["hour"]) == sum(outcome == "failed" for outcome in said.values())
    assert sum(row[-1] for row in found["cluster_hour"]) == len(homes)


def test_another_version_of_the_index_is_made_anew(tmp_path: Path) -> None:
    """A file of another form or application is thrown away, never misread."""
    lake = Lake(tmp_path / "lake")
    happened(lake, interaction(1), interaction(2, application="other"))
    first = fold(tmp_path, lake)
    other = Folder(lake, Settings(home=str(tmp_path), application="other"))
    other.fold()
    other.close()

    assert [row[9] for row in first["interaction"]] == ["question 1"]
    assert [row[9] for row in held(tmp_path)["interaction"]] == ["question 2"]


def test_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold reads the files that came since the last one, and no other."""
    lake = Lake(tmp_path / "lake")
    happened(lake, *[interaction(n) for n in range(5)])
    fold(tmp_path, lake)
    happened(lake, interaction(7))
    read: list[str] = []
    folder = Folder(lake, Settings(home=str(tmp_path)))
    real = folder._put_interactions
    monkeypatch.setattr(
        folder, "_put_interactions", lambda batch, first: read.extend(batch["id"].to_pylist()) or real(batch, first)
    )
    folder.fold()
    folder.fold()

    assert read == [event_id(7)]


def test_a_fold_costs_what_is_new(tmp_path: Path) -> None:
    """Ten more on a day that has ten, or two thousand, failures and all: as many steps of SQLite, but for the depth."""

    def steps(home: Path, before: int) -> int:
        lake = Lake(home / "lake")
        happened(lake, *[interaction(n) for n in range(before)])
        folder = Folder(lake, Settings(home=str(home)))
        folder.fold()
        folder._sql.execute("INSERT INTO cluster (n, id) VALUES (1, 'c1')")
        folder._sql.execute("INSERT INTO home (n, cluster) SELECT n, 1 FROM interaction")
        folder._sql.execute("UPDATE interaction SET outcome = 2")
        happened(lake, *[interaction(n) for n in range(before, before + 10)])
        counted: list[int] = []
        folder._sql.set_progress_handler(lambda: counted.append(1) or 0, 10)
        folder.fold()
        folder.close()
        return len(counted)

    assert steps(tmp_path / "many", 2000) < 1.2 * steps(tmp_path / "few", 10)


def test_numbers_of_rows() -> None:
    """Ids are 16 bytes, names are 63 bits, a bucket is within a tenth of what is in it."""
    assert id_of("not an id") is None
    assert len(id_of(event_id(1)) or b"") == 16
    assert 0 <= key_of("user:ana") < 2**63 != key_of("user:ben")
    for value in (1.0, 37.0, 120.0, 4100.0):
        assert abs(middle(bucket(value) or 0) / value - 1) < 0.1
