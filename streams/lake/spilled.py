"""Rows that lie on disk while a process needs them: written as they come, then read in batches, as often as needed."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

import pyarrow as pa

from streams.lake.rows import BATCH, Rows

SPILLS = "llm-flywheel-"
"""How the folders below TMPDIR begin in which something lies meanwhile."""


def folder_of(owner: object) -> str:
    """A new folder, for whoever runs this process alone to read; gone with the owner, or with the process."""
    folder = tempfile.mkdtemp(prefix=SPILLS)
    weakref.finalize(owner, _remove, folder, os.getpid())
    return folder


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # a fork leaves its parent's
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left there; whoever calls it knows that none uses the folder now."""
    for left in folder.glob(f"{SPILLS}*"):
        shutil.rmtree(left, ignore_errors=True)


class Spilled(Rows):
    """They lie where an engine's spilled rows do, for their owner alone, and go with this object or its process."""

    def __init__(self, schema: pa.Schema) -> None:
        path = Path(folder_of(self)) / "rows.arrow"
        writer = pa.ipc.new_stream(path, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))

        def read(_: int) -> pa.RecordBatchReader:
            writer.close()
            return pa.ipc.open_stream(pa.OSFile(str(path)))

        super().__init__(read)
        self._writer = writer
        self.count = 0
        """Rows so far."""

    def add(self, rows: pa.Table) -> None:
        """Write rows of the schema behind those that are there; not after they were read. Raises ValueError."""
        self._writer.write_table(rows, max_chunksize=BATCH)
        self.count += len(rows)
