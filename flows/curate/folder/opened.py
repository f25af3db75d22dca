"""Opens a version with `datasets` before anybody sees it: what a reader will be given is what was written.

The library decides by the card's front matter, the file names and the Parquet schema what a folder holds; a slip in any
of them would be found by whoever trains. The library streams: memory for some rows, and no copy of them on disk. Go on
to `disk.py`, which calls this last.
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

    `scratch` is where the library may keep what it must, and is gone afterwards; nothing is asked of a network. Raises
    FlywheelError naming config and cause.
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


def shards(folder: Path, config: str, split: str = "train") -> list[Path]:
    """The files of a version that hold a config's rows, in order."""
    return sorted((folder / "data").glob(f"{config}-{split}-*.parquet"))


def _load(datasets: Any, folder: Path, config: str, split: str, scratch: Path) -> Iterator[pa.Table]:
    """The config as the library reads it, some rows at a time: neither memory nor a copy on disk for all of them."""
    offline = datasets.DownloadConfig(local_files_only=True)
    loaded = datasets.load_dataset(
        str(folder), config, split=split, streaming=True, cache_dir=str(scratch), download_config=offline, token=False
    )
    tables: Iterator[pa.Table] = loaded.with_format("arrow").iter(BATCH)
    return tables


def _differs(folder: Path, config: str, split: str, tables: Iterator[pa.Table]) -> str | None:
    """The first difference between what is read and the files; None where there is none."""
    files = [pq.ParquetFile(path) for path in shards(folder, config, split)]
    rows, start = sum(file.metadata.num_rows for file in files), 0
    ahead = next(tables, None)
    if ahead is None or ahead.column_names != files[0].schema_arrow.names:
        return f"the columns {', '.join(ahead.column_names if ahead else ())}"
    for batch in chain.from_iterable(file.iter_batches(BATCH) for file in files):
        while len(ahead) < len(batch) and (more := next(tables, None)) is not None:
            ahead = pa.concat_tables([ahead, more])
        written = pa.Table.from_batches([batch])
        read, ahead = ahead.slice(0, len(batch)).cast(written.schema), ahead.slice(len(batch))
        if len(read) < len(written):
            return f"{start + len(read)} rows of {rows}"
        for name in written.column_names:
            if not read[name].equals(written[name]):
                return f"column {name!r} in rows {start} to {start + len(batch) - 1}"
        start += len(batch)
    extra = len(ahead) + sum(map(len, tables))
    return f"{rows + extra} rows of {rows}" if extra else None


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
