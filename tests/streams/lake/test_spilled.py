"""Rows that lie on disk meanwhile: whole, in order, for their owner alone, and gone with whoever needed them."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from streams.lake.rows import BATCH
from streams.lake.spilled import SPILLS, Spilled

SCHEMA = pa.schema([("n", pa.int64()), ("texts", pa.list_(pa.string()))])
KILLED = """
import os, pyarrow as pa
from streams.lake.spilled import Spilled
kept = Spilled(pa.schema([("n", pa.int64())]))
if os.fork() == 0:
    raise SystemExit  # what a fork sees on its way out is its parent's
os.wait()
kept.add(pa.table({"n": [1]}))
print(len(kept.table()))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def rows(first: int, count: int) -> pa.Table:
    return pa.Table.from_pylist([{"n": n, "texts": [f"é {n}", None]} for n in range(first, first + count)], SCHEMA)


def test_rows_come_back_in_order_as_often_as_one_likes(folder: Path) -> None:
    """Three lots, one of them empty, one larger than a batch."""
    kept = Spilled(SCHEMA)
    for first, count in ((0, 3), (3, 0), (3, BATCH + 5)):
        kept.add(rows(first, count))

    assert kept.count == BATCH + 8
    for _ in range(2):
        batches = list(kept.batches())
        assert max(map(len, batches)) <= BATCH
        assert pa.Table.from_batches(batches).equals(rows(0, BATCH + 8))
    assert [len(table) for table in kept.tables(BATCH)] == [BATCH + 3, 5]


def test_nothing_is_nothing(folder: Path) -> None:
    """No lot, and a lot without rows."""
    kept = Spilled(SCHEMA)
    kept.add(rows(0, 0))

    assert (kept.count, len(kept.table()), list(kept.tables(5))) == (0, 0, [])


def test_rows_behind_those_that_were_read_are_refused(folder: Path) -> None:
    """Whoever reads has read all."""
    kept = Spilled(SCHEMA)
    kept.add(rows(0, 2))
    kept.table()

    with pytest.raises(ValueError, match="closed"):
        kept.add(rows(2, 2))


def test_they_are_their_owners_alone_and_go_with_the_object(folder: Path) -> None:
    """Nobody else reads the folder; it goes with the last who knows of it."""
    kept = Spilled(SCHEMA)
    kept.add(rows(0, 2))
    (place,) = folder.glob(f"{SPILLS}*")
    assert stat.S_IMODE(place.stat().st_mode) == stat.S_IRWXU

    del kept
    gc.collect()

    assert not list(folder.iterdir())


def test_they_go_with_the_process_and_not_with_a_fork_of_it(folder: Path) -> None:
    """A child that ends takes nothing of its parent's along."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, check=True
    )

    assert done.stdout == b"1\n"
    assert not list(folder.iterdir())
