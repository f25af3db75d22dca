"""Orphaned processes: pid files and folder locks, by which what a killed parent left is cleaned up.

From here: `streams/processes/supervise.py` writes the pid files and sweeps before each start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

import msgspec
import psutil

from schemas.errors import AlreadyRunning
from streams.processes import launch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLOCK_SLACK_S = 2.0
"""Linux derives a process's start from the boot time, which moves when the clock is set."""


class Claim:
    """Holds a folder for one process at a time; the system lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Raises AlreadyRunning, naming the process that holds the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise AlreadyRunning(
                f"{folder} is in use by process {holder}: stop it first, or use another folder."
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let go of it; twice does no harm."""
        self._file.close()


class Record(msgspec.Struct, frozen=True):
    """The content of a pid file."""

    pid: int
    created: float
    """Start of the process, seconds since the epoch."""
    argv: tuple[str, ...]


def note(pid_file: Path, pid: int, argv: tuple[str, ...]) -> None:
    """Write down, in one step, that this process runs now; nothing if it has ended already."""
    with contextlib.suppress(psutil.NoSuchProcess):
        record = Record(pid, psutil.Process(pid).create_time(), argv)
        fresh = pid_file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.replace(pid_file)


def sweep(pid_file: Path, timeout_s: float) -> list[int]:
    """End the noted process and all that it started, say which those were, and remove the note.

    SIGTERM first; SIGKILL for what is still there after `timeout_s`.
    """
    try:
        record = msgspec.json.decode(pid_file.read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    left = [process for process in psutil.process_iter() if _is_ours(process, record, pid_file)]
    _end(left, timeout_s)
    pid_file.unlink(missing_ok=True)
    return [process.pid for process in left]


def _is_ours(process: psutil.Process, record: Record, pid_file: Path) -> bool:
    """Whether this is the recorded process, or one that it started: never a stranger that has inherited the number."""
    if process.pid == os.getpid():
        return False
    try:
        age: float = process.create_time() - record.created
        if process.pid == record.pid:
            return abs(age) <= CLOCK_SLACK_S and _runs(process.cmdline(), record.argv)
        mark: str | None = process.environ().get(launch.MARK)
        return age >= -CLOCK_SLACK_S and mark == str(pid_file)
    except (psutil.Error, OSError):
        return False


def _runs(command_line: list[str], argv: tuple[str, ...]) -> bool:
    """Whether a command line is argv; a script's begins with its interpreter, so only the end is compared."""
    wanted = list(argv[1:]) or [argv[0]]
    return command_line[-len(wanted) :] == wanted


def _end(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    """SIGTERM, wait, SIGKILL, wait. A zombie counts as ended: only its new parent can bury it."""
    for end in (psutil.Process.terminate, psutil.Process.kill):
        processes = [process for process in processes if not _has_ended(process)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        deadline = time.monotonic() + timeout_s
        while not all(map(_has_ended, processes)) and time.monotonic() < deadline:
            time.sleep(0.02)


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
