"""Opens a version with `datasets` before anybody sees it: what a reader will be given is what was written.

The library decides by the card's front matter, the file names and the Parquet schema what a folder holds; a slip in any
of them would be found by whoever trains. Costs 5 CPU-microseconds a row beside the 8 that writing it takes, and for a
while the disk space of its largest config uncompressed. Go on to `folder.py`, which calls this last.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import FlywheelError

BATCH = 10_000
"""Rows that are compared at a time."""


def opens(folder: Path, manifest: dict[str, Any], scratch: Path) -> None:
    """Load every config that the manifest names, and compare its rows with the files, value by value.

    `scratch` takes the library's cache and is gone afterwards; nothing is asked of a network. Raises FlywheelError
    naming config and cause.
    """
    import datasets  # noqa: PLC0415 lazy: half a second of import that most commands do not need

    with _quiet(datasets):
        for part, rows in manifest["rows"].items():
            config, split = part.split("/")
            if not rows:  # the library opens no config without rows
                continue
            try:
                read = _load(datasets, folder, config, split, scratch)
                wrong = _differs(folder, config, split, read)
            except Exception as error:  # whatever the library makes of a folder that it cannot read
                raise FlywheelError(f"`datasets` {datasets.__version__} cannot open {part} of it: {error}") from error
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            if wrong:
                raise FlywheelError(
                    f"`datasets` {datasets.__version__} reads {part} other than it was written: {wrong}"
                )


def _load(datasets: Any, folder: Path, config: str, split: str, scratch: Path) -> pa.Table:
    offline = datasets.DownloadConfig(local_files_only=True)
    loaded = datasets.load_dataset(
        str(folder), config, split=split, cache_dir=str(scratch), download_config=offline, token=False
    )
    table: pa.Table = loaded.data.table
    return table


def _differs(folder: Path, config: str, split: str, read: pa.Table) -> str | None:
    """The first difference between what was read and the files; None where there is none."""
    files = [pq.ParquetFile(path) for path in sorted((folder / "data").glob(f"{config}-{split}-*.parquet"))]
    rows, start = sum(file.metadata.num_rows for file in files), 0
    if read.num_rows != rows:
        return f"{read.num_rows} rows of {rows}"
    if read.column_names != files[0].schema_arrow.names:
        return f"the columns {', '.join(read.column_names)}"
    for batch in chain.from_iterable(file.iter_batches(BATCH) for file in files):
        written = pa.Table.from_batches([batch])
        same = read.slice(start, len(batch)).cast(written.schema)
        for name in written.column_names:
            if not same[name].equals(written[name]):
                return f"column {name!r} in rows {start} to {start + len(batch) - 1}"
        start += len(batch)
    return None


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the library's progress bars, which would stand between ours."""
    were_on = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_on:
            datasets.enable_progress_bars()
