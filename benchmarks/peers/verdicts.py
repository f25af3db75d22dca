"""What a run with broken events, or with a kill, showed, in a few words: pure, from counts alone."""

from __future__ import annotations

import re

import msgspec

from benchmarks.peers.peer import Count

COMPLAINT = re.compile(
    r"\b(?:WARN|ERROR)\w*\b.*(?:deseriali[sz]|pars|convert|json|malformed|invalid|skipped)", re.IGNORECASE
)
"""A line of a log that says of an event that it could not be read."""


class Spoiled(msgspec.Struct, frozen=True):
    """A run over a topic of which some events are broken."""

    events: int
    bad: int
    found: Count
    complaints: int
    """Lines of its log that say so."""
    stopped: bool
    """It ended with an error, or said that it sinks no more."""


class Killed(msgspec.Struct, frozen=True):
    """A run that was killed between two commits and started again."""

    events: int
    before: int
    """Rows that had landed when it was killed."""
    pause_s: float
    """From the second start to the first new rows."""
    found: Count


def complaints(log: str) -> int:
    """How many lines say that an event could not be read."""
    return sum(COMPLAINT.search(line) is not None for line in log.splitlines())


def of_spoiled(run: Spoiled) -> str:
    """What became of the broken events, and of the others."""
    return _of_stopped(run) if run.stopped else _of_one_that_went_on(run)


def _of_stopped(run: Spoiled) -> str:
    good, found = run.events - run.bad, run.found
    landed = f"{found.rows - found.blank:,} of {good:,} rows landed" if found.rows else "nothing landed"
    return f"it stops, {landed}" + (f", {found.dead} dead letters" if found.dead else "")


def _of_one_that_went_on(run: Spoiled) -> str:
    good, found = run.events - run.bad, run.found
    told = "in its log" if run.complaints >= run.bad else "not in its log"
    if not good <= found.rows <= run.events:
        return f"{found.rows:,} rows of {good:,} good events"
    if found.rows == good:
        return "dead letters" if found.dead >= run.bad else f"dropped, {told}"
    if found.blank >= run.bad:
        return f"rows of NULLs, {told}"
    return f"NULL in its place, {told}" if found.untyped >= run.bad else "landed as it is"


def of_killed(run: Killed) -> str:
    """Whether every event is there once."""
    if run.before >= run.events:
        return "not tried: all had landed before the kill"
    lost, twice = run.events - run.found.ids, run.found.rows - run.found.ids
    if lost or twice:
        words = [f"{lost:,} lost"] * bool(lost) + [f"{twice:,} twice"] * bool(twice)
        return f"{', '.join(words)}, after {run.pause_s:.0f} s"
    return f"all once, after {run.pause_s:.0f} s"
