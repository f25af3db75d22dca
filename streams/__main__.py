"""`python -m streams archive` and `… triage`: the processes, as `flywheel archive` and `flywheel up` start them.

Reads the environment once. Go on to `streams/archive.py` and `streams/triage.py`.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable

import pyarrow as pa

from schemas.errors import FlywheelError, UsageError
from schemas.settings import Settings, load
from streams import metrics, triage
from streams.archive import Archiver
from streams.lake import Lake


class _WithoutPandas:
    """Keeps pandas out: pyarrow would load it (70 MiB, 1 s) only to learn that our lists are none of its objects."""

    def find_spec(self, name: str, *_: object) -> None:
        """Called for every import."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def tune() -> None:
    """Set the interpreter to the archiver's ways; once per process, before it starts."""
    # A batch is 100,000s of small objects without cycles: scanning them again and again costs a third of decoding.
    gc.set_threshold(200_000, 20, 100)
    # mimalloc, pyarrow's own choice, gives a file's memory back to the kernel and has it cleared again for the next.
    pa.set_memory_pool(pa.system_memory_pool())
    sys.meta_path.insert(0, _WithoutPandas())


def archive(settings: Settings, *, until_idle_s: float | None = None) -> None:
    """Archive until SIGTERM or SIGINT, or until nothing came for `until_idle_s`. Raises FlywheelError."""
    tune()
    metrics.serve(settings.archive.metrics_port)
    archiver = Archiver(settings, Lake(settings.lake_root, settings.storage_options))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: archiver.stop())
    archiver.run(until_idle_s)


def main(arguments: list[str]) -> int:
    """Run one process; its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        known: dict[str, Callable[[Settings], None]] = {"archive": archive, "triage": triage.main}
        process = known.get(" ".join(arguments))
        if process is None:
            raise UsageError("usage: python -m streams archive|triage")
        process(load({}, os.environ))
    except FlywheelError as error:
        logging.getLogger(__name__).error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - a sentence is enough
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
