"""Runs: finished once, in one order, at a logical time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from deltalake import write_deltalake

from flows.run import Run, begin, finish, finished, latest, moment, runs
from schemas.events import to_json
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.maintain import compact
from streams.lake.query import read

NOW = datetime(2026, 1, 10, tzinfo=UTC)


def run(lake: Lake, name: str, as_of: datetime = NOW, stage: str = "cluster") -> Run:
    return begin(lake, stage, "app", as_of, (), name)


def old_row(run: Run, versions: dict[str, int]) -> dict[str, Any]:
    """A row as it was before there was a sequence."""
    return {**msgspec.to_builtins(run), "as_of": run.as_of, "versions": to_json(versions), "summary": "{}"}


def test_runs_are_in_the_order_in_which_they_finished(lake: Lake) -> None:
    """Of one instant, whatever table versions they read and however the table was compacted; later instants later."""
    begun = [run(lake, name) for name in "abcdef"]
    early = run(lake, "early", NOW - timedelta(hours=1))
    order = [begun[n] for n in (3, 0, 5, 1, 4, 2)]
    for one in (*order, early):
        finish(lake, one, {})
    compact(lake, "runs", 2**20)

    found = runs(lake, "cluster", "app")

    assert [one.run_id for one in found] == [one.run_id for one in (early, *order)]
    assert [one.sequence for one in found] == [7, 1, 2, 3, 4, 5, 6]
    assert runs(lake, "cluster", "other") == runs(lake, "curate", "app") == []


def test_runs_that_finish_at_one_moment_have_an_order_all_the_same(lake: Lake) -> None:
    """Twelve at once get twelve numbers, none twice, and each is there once."""
    begun = [run(lake, str(n), stage=("cluster", "curate")[n % 2]) for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: finish(lake, one, {"by": "any"}), begun))

    assert sorted(read(lake, "runs")["sequence"].to_pylist()) == list(range(1, 13))
    assert {one.run_id for one in begun} == set(read(lake, "runs")["run_id"].to_pylist())


def test_a_run_is_finished_once(lake: Lake) -> None:
    """A second finish changes nothing; before the first there is no summary."""
    one = run(lake, "a")
    assert finished(lake, one, dict) is None
    finish(lake, one, {"n": 1})
    finish(lake, one, {"n": 2})

    assert finished(lake, one, dict) == {"n": 1}
    assert read(lake, "runs").num_rows == 1


def test_runs_from_before_the_sequence_still_read(lake: Lake) -> None:
    """A table without the column: its runs come first of their instant, by what they read, and new ones behind them."""
    names = [field.name for field in TABLES["runs"].schema if field.name != "sequence"]
    before = [run(lake, name) for name in "ab"]
    reads = [{"feedback": 9, "interactions": 2}, {"feedback": 2, "interactions": 3}]
    rows = to_rows("runs", [old_row(one, versions) for one, versions in zip(before, reads, strict=True)])
    write_deltalake(lake.uri("runs"), rows.select(names))

    assert latest(lake, "cluster", "app") == runs(lake, "cluster", "app")[-1]
    after = run(lake, "c")
    finish(lake, after, {})

    assert [one.run_id for one in runs(lake, "cluster", "app")] == [before[1].run_id, before[0].run_id, after.run_id]
    assert finished(lake, before[0], dict) == {}


@pytest.mark.parametrize("as_of", ["2026-01-10T01:00:00+01:00", "2026-01-10T00:00:00Z", None])
def test_the_moment_of_a_run_is_what_was_asked_for_or_its_schedule(as_of: str | None) -> None:
    """In UTC, as Python's own datetime, whatever zone it was given in."""
    found = moment(as_of, NOW.astimezone(timezone(timedelta(hours=5))))

    assert (found, found.tzinfo, type(found)) == (NOW, UTC, datetime)


def test_a_run_that_published_and_was_killed_is_not_there(lake: Lake) -> None:
    """Its number is given to whoever finishes."""
    killed, done = run(lake, "killed"), run(lake, "done")
    publish(lake, "cluster_events", to_rows("cluster_events", []), killed.run_id)
    finish(lake, done, {})

    assert [one.sequence for one in runs(lake, "cluster", "app")] == [1]
