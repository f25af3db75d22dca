"""Journal of answers: every answer that was paid for, kept under the hash of its request.

A run that is killed and started again finds its answers here and asks only for the rest. One JSON line an answer,
written at once (so a killed process loses none) and forced to disk twice a second (so a power cut loses half a second);
a torn last line is cut off on opening. Absent answers are not kept: they are asked for again.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from flows.evaluate.answers import Answer
from schemas.errors import FlywheelError, UsageError

SYNC_S = 0.5
"""Between two fdatasync calls: at 64 connections and 50 ms an answer, half a second is 640 cheap calls at risk."""


class _Line(Struct):
    key: str
    answer: Answer


_decoder = msgspec.json.Decoder(_Line)
_encoder = msgspec.json.Encoder()


class Journal:
    """Answers by request key, in one append-only file that one process holds at a time.

    Raises UsageError on opening while another process holds it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._path, self._dirty = path, False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise UsageError("this evaluation is being run by another process: wait for it to end") from error
        self._answers = self._load(path)
        self._size = os.fstat(self._file).st_size

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Force everything to disk and let go of the file."""
        self.sync()
        os.close(self._file)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Answer | None:
        """The answer to a request, or None if it was never answered."""
        return self._answers.get(key)

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer; an absence (`unscored`) is not kept. Raises FlywheelError where the disk takes no more."""
        if answer.unscored is None:
            line = _encoder.encode(_Line(key, answer)) + b"\n"
            try:
                _write(self._file, line)
            except OSError as error:
                os.ftruncate(self._file, self._size)  # no torn line before those that may still fit
                raise self._failed(error) from error
            self._size += len(line)
            self._answers[key] = answer
            self._dirty = True

    def sync(self) -> None:
        """Force what was written to disk. Raises FlywheelError where that fails."""
        if self._dirty:
            self._dirty = False
            try:
                os.fdatasync(self._file)
            except OSError as error:
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> FlywheelError:
        return FlywheelError(
            f"answers cannot be kept in {self._path}: {error.strerror}. Those already there are safe: make "
            "room and start the evaluation again."
        )

    def _load(self, path: Path) -> dict[str, Answer]:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._file, whole)
        answers: dict[str, Answer] = {}
        for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1):
            try:
                entry = _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                os.close(self._file)
                raise UsageError(f"{path} line {number} is damaged ({error}): delete the file to ask again") from error
            answers[entry.key] = entry.answer
        return answers


def _write(file: int, data: bytes) -> None:
    """All of it: a write may take less than it was given, on a disk that is nearly full."""
    while data:
        data = data[os.write(file, data) :]
