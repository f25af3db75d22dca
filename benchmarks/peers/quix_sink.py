"""quixstreams' sink of Parquet files, as `quix.py` runs it: no table, and each file visible when it is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.counts import parquet_count
from benchmarks.peers.fetch import CACHE, lacking
from benchmarks.peers.peer import Count, Job

SCRIPT = Path(__file__).with_name("quix.py")


class QuixPeer:
    """One process that ends when it has read as many events as there are."""

    name = "quixstreams 3.28.1, Parquet files"
    died = ""

    def missing(self) -> str | None:
        """An environment that has it."""
        return lacking("quixstreams", of=_python())

    def prepare(self, job: Job) -> None:
        """The folder of its files."""
        (job.folder / "files").mkdir()

    def command(self, job: Job) -> list[str]:
        """The script, in its own environment."""
        return [
            str(_python()), str(SCRIPT), job.servers, job.topic, str(max(1, job.events)), str(job.folder / "files"),
            job.name,
        ]  # fmt: skip

    def group(self, job: Job) -> str | None:
        """Named after the run."""
        return job.name

    def landed(self, job: Job) -> int:
        """By the files' footers; a file without one is not finished."""
        found = 0
        for file in _files(job):
            try:
                found += pq.read_metadata(file).num_rows
            except pa.ArrowInvalid:
                continue
        return found

    def size(self, job: Job) -> int:
        """Of all files."""
        return sum(file.stat().st_size for file in _files(job))

    def count(self, job: Job) -> Count:
        """Rows of all files."""
        return parquet_count([str(file) for file in _files(job)])


def _python() -> Path:
    return CACHE / "quixstreams" / "bin" / "python"


def _files(job: Job) -> list[Path]:
    return sorted((job.folder / "files").rglob("*.parquet"))
