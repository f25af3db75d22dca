"""A program and all that it starts, with the CPU seconds of all of them: `Tree`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Self

SUBREAPER = 36
"""Linux's PR_SET_CHILD_SUBREAPER: who loses its parent becomes a child of ours, so that its CPU is told to us."""


class Tree:
    """A program in a session of its own; one at a time.

    `cpu` is known of those that ended: of all of them after `stop` or `kill`. Children that a process of it waited for
    are in that process's figure, as the kernel adds them up.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        """Start it; what it says goes to the end of `log`."""
        _adopt(True)
        self.cpu = 0.0
        self.status: int | None = None
        """The program's own exit code; None while it runs, -9 after SIGKILL."""
        to_log = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        said = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), to_log, (os.POSIX_SPAWN_DUP2, 1, 2)]
        self.pid = os.posix_spawnp(command[0], command, os.environ, file_actions=said, setsid=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()  # whatever happened: nothing of it runs on

    def running(self) -> bool:
        """Whether the program itself runs."""
        self._reap(os.WNOHANG)
        return self.status is None

    def stop(self, patience_s: float = 30.0) -> float:
        """Ask it to end, then make it; CPU seconds of the whole tree."""
        self._signal(signal.SIGTERM)
        end = time.monotonic() + patience_s
        while self.running() and time.monotonic() < end:
            time.sleep(0.05)
        return self.kill()

    def kill(self) -> float:
        """End all of it at once with SIGKILL; CPU seconds of the whole tree."""
        self._signal(signal.SIGKILL)
        self._reap(0)
        _adopt(False)
        return self.cpu

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _reap(self, options: int) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.wait4(-self.pid, options))[0]:
                pid, status, used = ended
                self.cpu += used.ru_utime + used.ru_stime
                if pid == self.pid:
                    self.status = os.waitstatus_to_exitcode(status)


def _adopt(whether: bool) -> None:
    """Become the parent of whom in our tree loses theirs, or no longer: another's orphans are not ours to wait for."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, int(whether), 0, 0, 0)
