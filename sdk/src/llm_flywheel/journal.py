"""The journal: events on disk from the moment they leave the queue until somebody has acknowledged them.

A folder of segments. A segment is `FLY1`, then records of `<length><crc32><bytes>`; it is written by one process, which
holds a lock on it, emptied as soon as all it holds is acknowledged, and left behind where that fails. A segment without
a living owner is an orphan, and any process of the application sends it. Nothing is synced to disk: what is written
survives the process (kill -9), not the machine.

    write → [sent → settled]  emptied
          → [failed → kept]   left, released by its owner, claimed as an orphan, sent, removed
"""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from llm_flywheel.counts import Counts
from llm_flywheel.record import Record, unpack
from llm_flywheel.settings import private

try:
    import fcntl
except ImportError:  # Windows: a file that its writer holds open cannot be renamed, which is lock enough
    fcntl = None  # type: ignore[assignment]

__all__ = ["Journal", "Orphan", "Segment", "fcntl"]

MAGIC = b"FLY1"
HEAD = struct.Struct("<II")
SEGMENT_BYTES = 2**20
"""A segment is sent again as a whole: small ones repeat little; 256 of them fill the journal."""
_number = iter(range(2**62))


class Segment:
    """A file that this process writes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{time.time_ns():020d}-{os.getpid()}-{next(_number)}.seg"
        unseen = self.path.with_suffix(".new") if fcntl else self.path
        self.fd = os.open(unseen, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            if fcntl:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unseen.rename(self.path)  # only now can it be claimed
            self.size = os.write(self.fd, MAGIC)
        except OSError:
            os.close(self.fd)
            raise
        self.waiting = 0
        """Records that are neither acknowledged nor given up."""
        self.kept = False
        """Whether it holds a record that was given up."""
        self.rolled = False
        """Whether it takes no more records."""


class Orphan:
    """A segment that nobody writes any more, with a claim on it."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self.fd = path, fd
        self.records: list[Record] = []
        self.sent = 0

    def release(self) -> None:
        """Leave it for later."""
        os.close(self.fd)

    def remove(self) -> None:
        """It is sent."""
        self.path.unlink(missing_ok=True)
        os.close(self.fd)


class Journal:
    """The segments of one application and destination. Used by the writer's and the sender's thread."""

    def __init__(self, folder: Path, max_bytes: int, counts: Counts) -> None:
        self.folder, self._max_bytes, self._counts = folder, max_bytes, counts
        self._lock = threading.Lock()
        self._current: Segment | None = None
        self._rolled: set[Segment] = set()
        """Full, but not yet acknowledged."""

    def write(self, records: Sequence[Record]) -> Segment | None:
        """Put records into the current segment, which is returned; None where the disk does not take them."""
        parts = []
        for record in records:
            body = record.pack()
            parts += [HEAD.pack(len(body), zlib.crc32(body)), body]
        data = b"".join(parts)
        with self._lock:
            try:
                segment = self._room()
                _write_all(segment, data)
            except OSError as error:
                self._counts.add("journal_errors", detail=error)
                return None
            segment.waiting += len(records)
            return segment

    def settle(self, segment: Segment, n: int, *, kept: bool = False) -> None:
        """`n` records of a segment are acknowledged, or `kept`: given up until somebody sends the segment again."""
        with self._lock:
            segment.waiting -= n
            segment.kept |= kept
            if segment.waiting == 0:
                self._let_go(segment)

    def orphans(self) -> list[Path]:
        """What lies there and is not written by this process, oldest first. The own leftovers are released before."""
        with self._lock:
            if self._current and self._current.kept:
                self._roll()
            own = {segment.path for segment in (*self._rolled, *filter(None, [self._current]))}
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == ".seg" and path not in own)
        except OSError:
            return []

    def claim(self, path: Path) -> Orphan | None:
        """An orphan with its records; None where a living process writes it, or another one has claimed it."""
        try:
            if not fcntl:
                path = path.rename(path.with_suffix(".claimed.seg"))
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            if fcntl:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_nlink == 0:  # somebody has sent it in between
                    raise OSError  # noqa: TRY301
            orphan = Orphan(path, fd)
            orphan.records = list(self._read(path.read_bytes()))
        except OSError:
            os.close(fd)
            return None
        return orphan

    def close(self) -> None:
        """Release everything: what is not acknowledged stays for the next process."""
        with self._lock:
            if self._current:
                self._roll()
            for segment in tuple(self._rolled):
                segment.kept = True
                self._let_go(segment)

    def forget(self) -> None:
        """In a forked child: the parent's segments are the parent's."""
        for segment in (*self._rolled, *filter(None, [self._current])):
            os.close(segment.fd)  # the lock belongs to the open file, which the parent still holds
        self._current, self._rolled, self._lock = None, set(), threading.Lock()

    def _read(self, data: bytes) -> Iterable[Record]:
        """The records of a segment. A torn tail ends it: its writer was killed, or the disk was full."""
        at = len(MAGIC) if data.startswith(MAGIC) else len(data)
        while at + HEAD.size <= len(data):
            length, crc = HEAD.unpack_from(data, at)
            body = data[at + HEAD.size : at + HEAD.size + length]
            at += HEAD.size + length
            try:
                if len(body) < length or zlib.crc32(body) != crc:
                    raise ValueError  # noqa: TRY301
                yield unpack(body)
            except (ValueError, TypeError):
                self._counts.add("dropped_corrupt")

    def _room(self) -> Segment:
        if self._current and self._current.size >= SEGMENT_BYTES:
            self._roll()
        if self._current is None:
            private(self.folder)
            if self._bytes() + SEGMENT_BYTES > self._max_bytes:
                raise OSError(f"{self.folder} holds {self._max_bytes} bytes already")
            self._current = Segment(self.folder)
        return self._current

    def _bytes(self) -> int:
        total = 0
        with os.scandir(self.folder) as files:
            for file in files:
                with suppress(FileNotFoundError):  # another process has just sent it
                    total += file.stat().st_size if file.name.endswith(".seg") else 0
        return total

    def _roll(self) -> None:
        segment, self._current = self._current, None
        if segment:
            segment.rolled = True
            self._rolled.add(segment)
            if segment.waiting == 0:
                self._let_go(segment)

    def _let_go(self, segment: Segment) -> None:
        """Nothing of it is under way: empty it for what comes next, remove it, or leave it to be claimed."""
        if segment.rolled:
            if segment not in self._rolled:  # closed already, while a delivery was under way
                return
            self._rolled.discard(segment)
            if not segment.kept:
                segment.path.unlink(missing_ok=True)
            os.close(segment.fd)
        elif not segment.kept:
            os.ftruncate(segment.fd, len(MAGIC))
            segment.size = len(MAGIC)


def _write_all(segment: Segment, data: bytes) -> None:
    """Append; a part that did not fit is taken back, so that the records before it stay readable."""
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(segment.fd, view) :]
    except OSError:
        os.ftruncate(segment.fd, segment.size)
        raise
    segment.size += len(data)
