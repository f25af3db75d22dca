"""Server-sent events: the bytes of an event stream as events, by the WHATWG's standard (HTML, 9.2.6).

Lines end in CR, LF or CRLF, an event in an empty line; `data` may have several lines; a byte order mark, comments and
unknown fields are skipped. Two things more than the standard, since endpoints in use do them: a `data` line that is a
whole JSON object (or the end mark) is an event at once, also where the empty line is missing; and what stands at the
end without one is an event too. Go on to `answers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

BOM = b"\xef\xbb\xbf"
DONE = b"[DONE]"
"""The end mark of OpenAI's streams."""


class Event(Struct, frozen=True):
    """One event."""

    data: bytes
    kind: bytes = b""
    """What its field `event` says."""
    value: Any = None
    """The data, decoded; None for the end mark."""
    problem: str = ""
    """Why the data could not be decoded."""


class Events:
    """Bytes in, cut anywhere; events out. The work grows with the bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._kind = b""
        self._after_cr = False
        self._begun = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that the next bytes complete."""
        if self._after_cr and chunk[:1] == b"\n":  # the second half of a CRLF that was cut
            chunk, self._after_cr = chunk[1:], False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        self._rest += chunk
        if b"\n" not in chunk and b"\r" not in chunk:  # looked for in the new bytes alone: a line may be long
            return
        lines = bytes(self._rest).splitlines(keepends=True)
        self._rest = bytearray() if lines[-1].endswith((b"\r", b"\n")) else bytearray(lines.pop())
        for line in lines:
            if event := self._line(line.rstrip(b"\r\n")):
                yield event

    def end(self) -> Iterator[Event]:
        """What stands at the end without an empty line, or without an end of its line."""
        for line in (bytes(self._rest), b""):
            if event := self._line(line):
                yield event
        self._rest.clear()

    def _line(self, line: bytes) -> Event | None:
        if not self._begun:
            self._begun, line = True, line.removeprefix(BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._kind = value
        if name != b"data":
            return None
        self._data.append(value)
        if len(self._data) > 1:
            return None
        event = _event(value, self._kind)
        if event.problem or not (isinstance(event.value, dict) or event.data == DONE):
            return None
        self._data, self._kind = [], b""
        return event

    def _dispatch(self) -> Event | None:
        data, kind = b"\n".join(self._data), self._kind
        self._data, self._kind = [], b""
        return _event(data, kind) if data.strip() else None


def _event(data: bytes, kind: bytes) -> Event:
    if data.strip() == DONE:
        return Event(DONE, kind)
    try:
        return Event(data, kind, msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Event(data, kind, problem=str(error))
    except RecursionError:
        return Event(data, kind, problem="nested too deep")
