"""Who may be at work on a lake at one time, wherever they run."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from streams.lake import Lake, notes
from streams.lake import lease as leases
from streams.lake.lease import FOLDER, Lease, held
from streams.logs import WithIds, about
from tests.support.waiting import eventually

HOLD = """
import sys, time
from streams.lake import Lake
from streams.lake.lease import held

with held(Lake(sys.argv[1]), sys.argv[2]):
    print("holds", flush=True)
    time.sleep(600)
"""
"""A process that holds the lake until it is killed."""


Holder = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def holder(lake: Lake) -> Iterator[Holder]:
    """Starts a process that holds the lake, and gives it once it does."""
    started: list[subprocess.Popen[str]] = []

    def start(kind: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", HOLD, lake.root, kind], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_many_are_at_work_at_once_and_one_alone_is_not(lake: Lake) -> None:
    """Whoever wants to be alone waits for the many, and the many for it."""
    at_work: list[str] = []
    seen: list[list[str]] = []

    def work(kind: str, pause: float) -> None:
        time.sleep(pause)
        with held(lake, kind):  # type: ignore[arg-type]
            at_work.append(kind)
            seen.append(sorted(at_work))
            time.sleep(0.15)
            seen.append(sorted(at_work))
            at_work.remove(kind)

    kinds = ["many", "alone", "many", "alone", "many", "alone"] * 2
    with ThreadPoolExecutor(len(kinds)) as pool:
        list(pool.map(work, kinds, [0.02 * n for n in range(len(kinds))]))

    assert len(seen) == 2 * len(kinds)
    assert all(group == ["alone"] for group in seen if "alone" in group)
    assert notes.names(lake, FOLDER) == []


def test_many_in_other_processes_are_no_hindrance_to_one_another(lake: Lake, holder: Holder) -> None:
    """Two builds run side by side."""
    holder("many")

    with held(lake, "many"):
        assert len(notes.names(lake, FOLDER)) == 2


@pytest.mark.parametrize(("theirs", "ours"), [("alone", "many"), ("many", "alone"), ("alone", "alone")])
def test_a_holder_that_was_killed_is_gone_at_once(lake: Lake, holder: Holder, theirs: str, ours: str) -> None:
    """A kill -9 of an erasure or a build holds nobody up: its process is no more."""
    process = holder(theirs)
    with ThreadPoolExecutor(1) as pool:

        def wait() -> float:
            with held(lake, ours):  # type: ignore[arg-type]
                return time.monotonic()

        waiting = pool.submit(wait)
        time.sleep(0.5)
        assert not waiting.done()
        killed = time.monotonic()
        process.kill()
        process.wait()
        assert waiting.result(timeout=60) >= killed


def test_a_holder_of_another_machine_counts_until_it_has_said_nothing_for_long(lake: Lake) -> None:
    """Its process cannot be seen; its word can."""
    lease = Lease("alone", "another machine", 1, time.time() + 1)
    notes.write(lake, f"{FOLDER}/theirs", msgspec.json.encode(lease))

    with held(lake, "many"):
        assert time.time() >= lease.until
        assert f"{FOLDER}/theirs" not in notes.names(lake, FOLDER)


def test_a_lease_that_is_not_renewed_says_for_which_run(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is renewed beside the run, and its lines carry the run's ids all the same."""
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    caplog.handler.setFormatter(WithIds(logging.Formatter("%(message)s")))

    with about(turn="1"), held(lake, "many"):
        place = next(Path(lake.root).rglob(FOLDER))
        place.rename(place.with_name("aside"))
        place.write_text("in the way")
        eventually(lambda: "could not be renewed" in caplog.text, 30)
        place.unlink()

    assert all(line.endswith("[turn=1]") for line in caplog.text.splitlines() if "could not be renewed" in line)


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b'{"kind": "alone"}', b"\xff"])
def test_what_a_power_cut_left_of_a_lease_is_nobodys(lake: Lake, content: bytes) -> None:
    """A name without its content would stop every run after it, for good."""
    notes.write(lake, f"{FOLDER}/theirs", content)

    with held(lake, "alone"):
        assert len(notes.names(lake, FOLDER)) == 1


def test_notes_are_written_read_and_removed_in_a_store_as_in_a_folder(lake: Lake, store: Lake) -> None:
    """Nothing where there is nothing; the last word counts."""
    for place in (lake, store):
        assert notes.names(place, "some") == []
        assert notes.read(place, "some/one") is None
        notes.write(place, "some/one", b"1")
        notes.write(place, "some/one", b"2")
        assert (notes.names(place, "some"), notes.read(place, "some/one")) == (["some/one"], b"2")
        notes.remove(place, "some/one")
        notes.remove(place, "some/one")
        assert notes.names(place, "some") == []
