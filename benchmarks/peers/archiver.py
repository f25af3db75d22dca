"""Ours, run as the others are: `python -m streams archive` with default settings, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.counts import DeltaSink
from benchmarks.peers.peer import Job

ROOT = Path(__file__).resolve().parents[2]


class ArchiverPeer(DeltaSink):
    """llm-flywheel's archiver: each event validated, dead letters, files synced, exactly once."""

    name = "archiver"
    place, dead = "lake/interactions", "lake/dead_letters"

    def missing(self) -> str | None:
        """Nothing: it is this repository."""

    def prepare(self, job: Job) -> None:
        """Nothing: it makes its tables."""

    def command(self, job: Job) -> list[str]:
        """The process that `flywheel archive` is too, without the command line's libraries."""
        return [
            "env", f"KAFKA_BOOTSTRAP_SERVERS={job.servers}", f"FLYWHEEL_HOME={job.folder}",
            f"FLYWHEEL_ARCHIVE_GROUP_ID={job.name}", f"PYTHONPATH={ROOT}:{ROOT / 'sdk' / 'src'}",
            sys.executable, "-m", "streams", "archive",
        ]  # fmt: skip

    def group(self, job: Job) -> str | None:
        """Named after the run."""
        return job.name
