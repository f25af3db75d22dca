"""Starts a program that ends when its parent ends, even by kill -9.

Run as a script by `streams/processes/supervise.py`, never imported by it: `python -I -S launch.py PARENT MARK PROGRAM
ARGS...`.

A launcher rather than `preexec_fn`: code between fork and exec can deadlock a program that has threads. It becomes
PROGRAM by exec, so the process id, and the command line that others see, are the program's own.
"""

from __future__ import annotations

import os
import signal
import sys

MARK = "LLM_FLYWHEEL_CHILD"
"""Environment variable that names the pid file of the child; what the child starts inherits it."""

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>. The kernel sends the signal when the *thread* that started us ends."""


def die_with(parent: int) -> None:
    """Ask the kernel for SIGTERM when the parent ends; leave at once if it already has (Linux only)."""
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 - only Linux needs it, and each start pays for it

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent ended before its child began")


def main(argv: list[str]) -> None:
    """Become the program named in argv."""
    parent, mark, *program = argv
    die_with(int(parent))
    os.putenv(MARK, mark)
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
