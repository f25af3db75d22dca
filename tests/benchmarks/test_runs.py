"""A run of a sink is followed until it has landed all, has ended, or was killed: with a sink of ten lines, no Kafka."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.peers import runs
from benchmarks.peers.peer import Count, Job

SINK = """
import sys, time
from pathlib import Path
place, events, until = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
have = len(place.read_text().splitlines()) if place.exists() else 0
with place.open("a", buffering=1) as out:
    for number in range(have, min(events, until)):
        out.write(f"{number}\\n")
        time.sleep(0.02)
if until < events:
    sys.exit("ERROR: cannot parse JSON")
"""


class Lines:
    """Lands numbers as lines, one after the other, and goes on where it was; stops with an error after `until`."""

    name, died = "lines", ""

    def __init__(self, until: int = 1000) -> None:
        self.until = until

    def missing(self) -> str | None:
        """Nothing."""

    def prepare(self, job: Job) -> None:
        """Nothing."""

    def command(self, job: Job) -> list[str]:
        """The lines above."""
        return [sys.executable, "-c", SINK, str(job.folder / "rows"), str(job.events), str(self.until)]

    def group(self, job: Job) -> str | None:
        """None: it ends by itself."""

    def landed(self, job: Job) -> int:
        """Its lines."""
        return self.count(job).rows

    def size(self, job: Job) -> int:
        """Of its lines."""
        return (job.folder / "rows").stat().st_size

    def count(self, job: Job) -> Count:
        """Its lines, and how many of them differ."""
        place = job.folder / "rows"
        lines = place.read_text().splitlines() if place.exists() else []
        return Count(rows=len(lines), ids=len(set(lines)))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Fifty events: a second of that sink."""
    return Job("run", "nowhere:9092", "topic", 50, tmp_path)


def test_a_run_ends_when_all_has_landed(job: Job) -> None:
    """Its CPU is that of the process, not of the wait: a second of sleep costs less."""
    assert 0 < runs.full(Lines(), job) < 1.0


def test_a_sink_that_lands_less_is_a_failure_with_its_last_words(job: Job) -> None:
    """Its figure would be one of less work."""
    with pytest.raises(runs.Failed, match=r"lines landed 20 of 50:\s+ERROR: cannot parse JSON"):
        runs.full(Lines(until=20), job)


def test_a_sink_that_dies_of_a_broken_event_has_stopped(job: Job) -> None:
    """What it landed before is counted, and what it said."""
    found = runs.spoiled(Lines(until=20), job, bad=1)

    assert (found.stopped, found.found.rows, found.complaints) == (True, 20, 1)


def test_a_sink_that_goes_on_has_not_stopped(job: Job) -> None:
    """An end in peace is none in error."""
    found = runs.spoiled(Lines(), job, bad=1)

    assert (found.stopped, found.found.rows, found.complaints) == (False, 50, 0)


def test_a_killed_sink_goes_on_where_it_was(job: Job) -> None:
    """The kill comes between the first line and the last, and each line is there once."""
    found = runs.killed(Lines(), job)

    assert 0 < found.before < 50
    assert found.found == Count(rows=50, ids=50)
