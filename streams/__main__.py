"""`python -m streams archive`, `triage`, `door`, `bridge`: the processes without the command line's libraries.

Reads the environment once. Go on to `streams/archive/run.py` and `streams/triage/app.py`.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys

from schemas.errors import FlywheelError, UsageError
from schemas.loading import load
from streams.logs import to_stderr

PROCESSES = {
    "archive": ("streams.archive.run", "archive"),
    "triage": ("streams.triage.app", "main"),
    "door": ("streams.doors.run", "door"),
    "bridge": ("streams.doors.bridge", "bridge"),
}
"""By name, so that a process loads its own libraries alone: the archiver has no use for Faust."""


def main(arguments: list[str]) -> int:
    """Run one process; its exit code. What it writes is its owner's alone."""
    os.umask(0o077)
    to_stderr(arguments[0] if arguments and arguments[0] in PROCESSES else "process")
    try:
        if (place := PROCESSES.get(" ".join(arguments))) is None:
            raise UsageError("usage: python -m streams archive|triage|door|bridge")
        module, function = place
        getattr(importlib.import_module(module), function)(load({}, os.environ))
    except FlywheelError as error:
        logging.getLogger(__name__).error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - a sentence is enough
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
