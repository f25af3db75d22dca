"""Files for `flywheel replay`: one CloudEvent a line, `file:///var/spool/flywheel?max_bytes=1000000000`.

For devices without a network: carry the finished `*.jsonl` files to where Kafka is and replay them, or forward them to
the door with `python -m llm_flywheel forward FOLDER URL`. A file that is being written ends in `.part`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from llm_flywheel.journal import fcntl
from llm_flywheel.record import Record, from_line
from llm_flywheel.settings import private
from llm_flywheel.transports import Address, Transport, Unavailable

FILE_BYTES = 16 * 2**20
"""Some 8,000 events of 2 kB a file."""
FOLDER_BYTES = 2**30
"""Finished files that wait to be fetched: half a million events of 2 kB."""
BATCH = 200


class FileTransport:
    """See `llm_flywheel.transports`."""

    def __init__(self, address: Address) -> None:
        self.folder = Path(address.path)
        self._limit = int(address.options.get("max_bytes", FOLDER_BYTES))
        self._fd: int | None = None
        self._path = Path()
        self._size = 0

    def deliver(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Append and sync: these lines survive a power cut. Raises Unavailable."""
        data = b"".join(each.cloud_event() + b"\n" for each in records)
        try:
            fd = self._open()
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, self._size)
                raise
        except OSError as error:
            raise Unavailable(f"{self.folder}: {error}") from error
        self._size += len(data)
        if self._size >= FILE_BYTES:
            self.close()
        return []

    def close(self) -> None:
        """Finish the file: it may be fetched now."""
        fd, self._fd = self._fd, None
        if fd is not None:
            finish(self._path)
            os.close(fd)

    def forget(self) -> None:
        """In a forked child: the file is the parent's."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def _open(self) -> int:
        if self._fd is None:
            private(self.folder)
            adopt(self.folder)
            if sum(path.stat().st_size for path in self.folder.glob("*.jsonl")) >= self._limit:
                raise OSError(f"{self._limit} bytes wait there to be fetched")
            self._path = self.folder / f"events-{time.time_ns():020d}-{os.getpid()}.part"
            self._fd = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
            if fcntl:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = 0
        return self._fd


def finish(path: Path) -> None:
    """`.part` → `.jsonl`; an empty one is removed."""
    if path.stat().st_size:
        path.rename(path.with_suffix(".jsonl"))
    else:
        path.unlink()


def adopt(folder: Path) -> None:
    """Finish what killed processes left. A torn last line is cut off: its event is still in their journal."""
    for path in folder.glob("*.part"):
        try:
            with path.open("rb+") as file:
                if fcntl:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate(file.read().rfind(b"\n") + 1)
                finish(path)
        except OSError:  # a living process writes it
            continue


def forward(folder: Path, transport: Transport) -> tuple[int, int]:
    """Deliver every finished file, and remove each that is delivered whole; how many records went, how many did not.

    A file with lines that were refused, or are no events, stays as `.refused`. Raises Unavailable, OSError.
    """
    sent = bad = 0
    adopt(folder)
    for path in sorted(folder.glob("*.jsonl")):
        refused: list[bytes] = []
        for batch in _batches(path, refused):
            rejected = transport.deliver(batch)
            sent += len(batch) - len(rejected)
            refused += [each.cloud_event() + b"\n" for each, _ in rejected]
        if refused:
            path.with_suffix(".refused").write_bytes(b"".join(refused))
            bad += len(refused)
        path.unlink()
    return sent, bad


def _batches(path: Path, refused: list[bytes]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                batch.append(from_line(line))
            except ValueError:
                refused.append(line)
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch
