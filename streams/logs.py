"""The lines of a process's log, each with the ids of what it was about: the process's start, a run, a batch, a request.

    2026-01-05 09:00:00,000 INFO streams.archive.archiver landed 812 rows in interactions
        [archive=3f9c1a2b batch=llm.interactions:0@4100-4507+1@3980-4383]      (in one line)

Ids only, never what anybody said: what they stand for lies in the lake, which forgets. `about` says what is under way
from here on, in this thread or task. Go on to `streams/__main__.py`.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_ABOUT: ContextVar[Mapping[str, str] | None] = ContextVar("about", default=None)
_PROCESS: dict[str, str] = {}
"""What all lines of this process have."""


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Meanwhile every line carries these ids, beside those around it."""
    token = _ABOUT.set({**(_ABOUT.get() or {}), **ids})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def to_stderr(process: str) -> None:
    """Log to stderr, for a process of its own: each start of it has another id."""
    logging.basicConfig(level=logging.INFO, format=FORMAT)
    tell_ids({process: secrets.token_hex(4)})


def tell_ids(process: Mapping[str, str], *loggers: str) -> None:
    """Have every handler of the root logger and of these ones end its lines with ids; `process` are those of all."""
    _PROCESS.update(process)
    for name in ("", *loggers):
        for handler in logging.getLogger(name).handlers:
            if not isinstance(handler.formatter, WithIds):
                handler.setFormatter(WithIds(handler.formatter or logging.Formatter()))


class WithIds(logging.Formatter):
    """A formatter that adds the ids to what another one makes of a line; a traceback follows the line that has them."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The line with its ids, where there are any."""
        line = self._inner.format(record)
        ids = " ".join(f"{name}={value}" for name, value in {**_PROCESS, **(_ABOUT.get() or {})}.items())
        first, newline, rest = line.partition("\n")
        return f"{first} [{ids}]{newline}{rest}" if ids else line


def frames(error: BaseException) -> str:
    """Where an error was raised, and of what kind: without its words, which may be those of what could not be read."""
    return "".join([*traceback.format_tb(error.__traceback__), type(error).__name__])
