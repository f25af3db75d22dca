"""Whose run is cut off, and whose is only somewhere else."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from flows.serve import STARTS_WITHIN, is_gone
from streams.lake.lease import host_name

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
DEAD = 2**22 + 1
"""Beyond what Linux gives to a process by default."""


@pytest.mark.parametrize(
    ("process", "ago", "gone"),
    [
        (f"{host_name()} {DEAD}", timedelta(0), True),
        (f"{host_name()} {os.getpid()}", timedelta(days=1), False),
        (f"another machine {DEAD}", timedelta(days=1), False),
        (None, timedelta(seconds=5), False),
        (None, STARTS_WITHIN + timedelta(seconds=1), True),
    ],
    ids=["dead", "alive", "elsewhere", "starting", "never started"],  # a process's number differs between workers
)
def test_only_a_run_whose_process_is_known_to_be_gone_is_cut_off(
    process: str | None, ago: timedelta, gone: bool
) -> None:
    """A run of another machine is that machine's; one that is just being started has no process yet."""
    assert is_gone(process, NOW - ago, NOW) is gone
