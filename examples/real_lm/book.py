"""What is done already, in a file: a demo that was killed goes on behind the last thing that it finished.

Go on to `demo.py`, whose steps are kept here.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil

SAMPLE_S = 2.0
"""Asking the kernel for the memory of twenty processes takes some 50 ms."""
T = TypeVar("T")


class Book:
    """Results by the name of their step, as JSON; each is written whole before the next step begins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[str, Any] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}

    def __contains__(self, step: str) -> bool:
        return step in self._done

    def once(self, step: str, kind: type[T], make: Callable[[], T]) -> T:
        """The result of a step: what was written, or what `make` gives now."""
        if step not in self._done:
            self.write(step, make())
        return msgspec.convert(self._done[step], kind)

    def write(self, step: str, value: object) -> None:
        """Keep a result, whole or not at all."""
        self._done[step] = msgspec.to_builtins(value)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(self._done), indent=1))
        draft.replace(self._path)


class Spent(msgspec.Struct, frozen=True):
    """What the whole demo has taken, all of its processes together; of earlier starts too."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_mib: float = 0.0
    """The largest sum of resident memory; on Linux what processes share counts once, elsewhere for each of them."""


class Meter:
    """Looks once a second at this process and all that it started; use it as a context manager."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._before = book.once("spent", Spent, Spent)
        self._began = time.monotonic()
        self._cpu: dict[tuple[int, float], float] = {}
        self._peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def spent(self) -> Spent:
        """What it came to until now."""
        return Spent(
            self._before.wall_s + time.monotonic() - self._began,
            self._before.cpu_s + sum(self._cpu.values()),
            max(self._before.peak_rss_mib, self._peak),
        )

    def keep(self) -> None:
        """Write it down, so that a start after a kill counts it."""
        self._book.write("spent", self.spent())

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.keep()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(SAMPLE_S):
            held = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    times = process.cpu_times()
                    self._cpu[process.pid, process.create_time()] = times.user + times.system
                    held += _resident(process)
                except psutil.Error:  # it ended meanwhile
                    continue
            self._peak = max(self._peak, held / 2**20)


def _resident(process: psutil.Process) -> int:
    """Bytes: of pages that n processes share, an n-th."""
    if not psutil.LINUX:
        return int(process.memory_info().rss)
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    try:
        found = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):  # it ended meanwhile, or is another account's
        return 0
    return 1024 * int(found.split()[1])


def size_mib(folder: Path) -> float:
    """What a folder's files take, MiB: a file with two names once."""
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            facts = os.lstat(os.path.join(place, name))  # noqa: PTH118 a hundred thousand files
            seen[facts.st_dev, facts.st_ino] = 512 * facts.st_blocks
    return sum(seen.values()) / 2**20
