"""What the newest turn cost, in a note beside the tables: a run's rows hold no clock, so that the same run is the same.

Go on to `turn.py`, which is measured.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from streams.lake import Lake, notes


class Cost(msgspec.Struct, frozen=True):
    """Of one turn that had something to do."""

    run_id: str
    cpu_s: float
    """CPU seconds of the process that turned."""
    wall_s: float
    """Seconds by the clock."""


@contextmanager
def measured(lake: Lake, application: str, run_id: str) -> Iterator[None]:
    """Note what is done meanwhile as the cost of this run; nothing where it fails."""
    cpu, wall = time.process_time(), time.monotonic()
    yield
    cost = Cost(run_id, round(time.process_time() - cpu, 2), round(time.monotonic() - wall, 2))
    notes.write(lake, _name(application), msgspec.json.encode(cost))


def newest(lake: Lake, application: str) -> Cost | None:
    """The cost of the application's newest turn; None where none was noted."""
    found = notes.read(lake, _name(application))
    return None if found is None else msgspec.json.decode(found, type=Cost)


def _name(application: str) -> str:
    """No application's name becomes part of a path."""
    return f"costs/{hashlib.sha256(application.encode()).hexdigest()[:16]}"
