"""Runs the archiver as a process: the interpreter tuned, metrics served, SIGTERM and SIGINT heard.

`python -m streams archive` and `flywheel archive` both end here. Go on to `streams/archive/archiver.py`.
"""

from __future__ import annotations

import gc
import signal

import pyarrow as pa

from schemas.secrets import revealed
from schemas.settings import Settings
from streams.archive import metrics
from streams.archive.archiver import Archiver
from streams.lake import Lake


def tune() -> None:
    """Set the interpreter to the archiver's ways; once per process, before it starts."""
    # A batch is 100,000s of small objects without cycles: scanning them again and again costs a third of decoding.
    gc.set_threshold(200_000, 20, 100)
    # mimalloc, pyarrow's own choice, gives a file's memory back to the kernel and has it cleared again for the next.
    pa.set_memory_pool(pa.system_memory_pool())


def archive(settings: Settings, *, until_idle_s: float | None = None) -> None:
    """Archive until SIGTERM or SIGINT, or until nothing came for `until_idle_s`. Raises FlywheelError."""
    tune()
    metrics.serve(settings.archive.metrics_port, settings.archive.metrics_host)
    archiver = Archiver(settings, Lake(settings.lake_root, revealed(settings.storage_options)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: archiver.stop())
    archiver.run(until_idle_s)
