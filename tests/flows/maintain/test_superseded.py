"""What was said anew: it goes, no reader sees a difference, and who reads an older version still can."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from msgspec.structs import replace

from flows.cluster.stage import judged_of
from flows.maintain.stage import maintain
from flows.maintain.superseded import remove_superseded
from flows.run import begin, finish
from streams.lake.append import publish, to_rows
from streams.lake.maintain import compact, files, rewrite_together
from streams.lake.query import query, read
from tests.support.clusters import START, World, asked, said

LATE = START + timedelta(days=300)
SEEN = "SELECT * EXCLUDE (revision) FROM outcomes ORDER BY interaction_id"
ROWS = [asked(n) for n in range(10)]
NOTHING = {"outcomes": 0, "voices": 0, "clusters": 0}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Ten interactions, judged, and then half of them once more: somebody spoke late."""
    made = World(tmp_path)
    made.happened(*ROWS)
    made.judge(2)
    made.happened(*[said(row) for row in ROWS[:5]])
    made.judge(3)
    return made


def seen(world: World, version: int | None = None) -> list[dict[str, Any]]:
    at = world.lake.version("outcomes") if version is None else version
    return list(query(world.lake, SEEN, {"outcomes": at}).to_pylist())


def revisions(world: World) -> list[int]:
    return sorted(read(world.lake, "outcomes")["revision"].to_pylist())


def test_superseded_outcomes_go_and_nobody_sees_it(world: World) -> None:
    """One row an interaction stays; the same is read as before, in the version before too, and the next run goes on."""
    before, version = seen(world), world.lake.version("outcomes")
    assert len(read(world.lake, "outcomes")) == 15

    assert remove_superseded(world.lake, LATE) == {"outcomes": 5, "voices": 1, "clusters": 0}

    assert revisions(world) == [0] * 10
    assert seen(world) == seen(world, version) == before
    assert remove_superseded(world.lake, LATE) == NOTHING
    assert world.judge(4).rows.count == 0
    world.happened(*[said(row, value=1.0) for row in ROWS[5:7]])
    assert world.judge(5).rows.count == 2
    whole = judged_of(world.lake, world.settings).outcomes
    assert [row["outcome"] for row in seen(world)] == [row.outcome for row in whole]


def test_a_version_that_somebody_rests_on_is_still_read_after_a_night(world: World) -> None:
    """What a dataset's build has read stays, superseded rows and all, through any number of nights."""
    build = begin(world.lake, "curate", "support-bot", START + timedelta(days=3), ("outcomes",), None)
    finish(world.lake, build, {})
    before, version = seen(world), build.versions["outcomes"]
    archive = replace(world.settings.archive, vacuum_hours=0)

    summary = maintain(world.lake, replace(world.settings, archive=archive), LATE, hashes=False)

    assert summary["superseded"] == {"outcomes": 5, "voices": 1, "clusters": 0}
    assert revisions(world) == [0] * 10
    assert len(read(world.lake, "outcomes", version)) == 15
    assert seen(world) == seen(world, version) == before
    maintain(world.lake, replace(world.settings, archive=archive), LATE, hashes=False)
    assert seen(world, version) == before


def test_few_superseded_rows_stay_until_there_are_more(world: World) -> None:
    """A night does not write a hundred rows anew to be rid of one."""
    remove_superseded(world.lake, LATE)
    world.happened(*[asked(n) for n in range(100, 200)])
    world.judge(4)
    assert compact(world.lake, "outcomes", 2**20)
    world.happened(said(asked(100)))
    world.judge(5)

    assert remove_superseded(world.lake, LATE)["outcomes"] == 0
    assert len(read(world.lake, "outcomes")) == 111
    world.happened(*[said(asked(n)) for n in range(101, 120)])
    world.judge(6)
    assert remove_superseded(world.lake, LATE)["outcomes"] == 20


def test_what_an_unfinished_run_wrote_is_left_until_it_is_over(world: World) -> None:
    """A killed run may still be finished, and then its rows hold; the night after the next cleans up behind it."""
    remove_superseded(world.lake, LATE)
    world.happened(*[said(row, value=1.0, kind="reviewer") for row in ROWS[5:]])
    world.judge(4, killed=True)
    before = seen(world)
    assert remove_superseded(world.lake, LATE) == NOTHING
    assert (len(read(world.lake, "outcomes")), seen(world)) == (15, before)

    world.judge(4)
    after = seen(world)
    assert after != before
    assert remove_superseded(world.lake, LATE)["outcomes"] == 5
    assert (revisions(world), seen(world)) == ([0] * 10, after)


def test_a_night_that_is_cut_off_or_overtaken_leaves_a_whole_table(world: World) -> None:
    """Files that are written and not committed are nobody's; where another rewrote one of the files, all stay."""
    before, listed = seen(world), files(world.lake.open("outcomes"))

    def killed(rows: pa.Table) -> pa.Table:
        if len(rows) == 5:  # the second file
            raise KeyboardInterrupt
        return rows.slice(0, 1)

    with pytest.raises(KeyboardInterrupt):
        rewrite_together(world.lake, "outcomes", listed, killed, "superseded")
    assert seen(world) == before
    assert compact(world.lake, "outcomes", 2**20)
    assert not rewrite_together(world.lake, "outcomes", listed, lambda rows: rows.slice(0, 0), "superseded")
    assert seen(world) == before
    assert remove_superseded(world.lake, LATE)["outcomes"] == 5
    assert seen(world) == before


def test_of_old_lists_of_clusters_each_days_last_stays(world: World) -> None:
    """Those of the last week stay all."""
    for run_id in _runs(world):
        row = dict.fromkeys(read(world.lake, "clusters").schema.names)
        row |= {"run_id": run_id, "application": "support-bot", "cluster_id": "c1", "name": "n", "size": 1}
        publish(world.lake, "clusters", to_rows("clusters", [row | {"size_total": 1, "status": "new"}]), run_id)

    assert remove_superseded(world.lake, START + timedelta(days=12))["clusters"] == 4

    left = {row["run_id"] for row in read(world.lake, "clusters").to_pylist()}
    order = read(world.lake, "runs").sort_by("as_of").to_pylist()
    kept = [row["as_of"] - START for row in order if row["run_id"] in left]
    assert kept == [timedelta(days=day, hours=hour) for day, hour in ((10, 2), (11, 2), (12, 0), (12, 1), (12, 2))]


def _runs(world: World) -> Iterator[str]:
    for day in (10, 11, 12):
        for hour in range(3):
            as_of = START + timedelta(days=day, hours=hour)
            run = begin(world.lake, "cluster", "support-bot", as_of, (), None)
            finish(world.lake, run, {})
            yield run.run_id
