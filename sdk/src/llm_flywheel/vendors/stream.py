"""A streamed response, watched: its bytes are read along as the application reads them, whichever way it does.

Every way (the client's stream object, its helpers, a raw response's lines) ends in the HTTP response's `iter_bytes` or
`aiter_bytes`; these are overridden for the one response that is watched. What the application gets is the client's own
object.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from llm_flywheel import client
from llm_flywheel.turn import Turn, error_name

MAX_BODY = 8 * 2**20
"""Bytes of a response that is read as a whole, and of one event of a stream."""


class Parts(Protocol):
    """What a protocol makes of a stream's events."""

    done: bool
    error: str | None
    head: dict[str, Any]

    def add(self, event: dict[str, Any]) -> None:
        """One event."""

    def reply(self) -> dict[str, Any]:
        """What has come so far, in the form of a whole response."""


class Lines:
    """Server-sent events, from bytes as they come."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The events that are whole now; what is no JSON object is passed over (`[DONE]`, comments)."""
        lines = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()[-MAX_BODY:]
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].lstrip())
            elif not line and self._data:
                text, self._data = b"\n".join(self._data), []
                if text.startswith(b"{"):
                    yield json.loads(text)


class Watch:
    """One HTTP response and the turn that it belongs to."""

    def __init__(self, turn: Turn, protocol: Any, streamed: bool) -> None:
        self._turn, self._protocol, self._streamed = turn, protocol, streamed
        self._parts: Parts = protocol.Stream()
        self._lines = Lines()
        self._body = bytearray()
        self._ended = self._reading = False

    def attach(self, response: Any) -> None:
        """Read along. Raises AttributeError or TypeError where it is no response that we know."""
        kind: Any = type(response)
        if not all(callable(getattr(kind, name)) for name in ("iter_bytes", "aiter_bytes", "close", "aclose")):
            raise TypeError(f"{kind} is no HTTP response")
        response._flywheel = self  # noqa: SLF001 - our own; when the response is freed, so is this, and it ends
        response.__class__ = _watched(kind)

    def along(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same chunks."""
        try:
            self._reading = True
            for chunk in chunks:
                self._reading = False
                self._see(chunk)
                yield chunk
                self._reading = True
        except GeneratorExit:
            self.end()
            raise
        except BaseException as error:
            self.end(error_name(error))
            raise
        self.end(whole=True)

    async def along_async(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same chunks."""
        try:
            self._reading = True
            async for chunk in chunks:
                self._reading = False
                self._see(chunk)
                yield chunk
                self._reading = True
        except GeneratorExit:
            self.end()
            raise
        except BaseException as error:
            self.end(error_name(error))
            raise
        self.end(whole=True)

    def closing(self) -> None:
        """The response is being closed: by the application, or by itself, at its end, in the midst of a read."""
        if not self._reading:
            self.end()

    def _see(self, chunk: bytes) -> None:
        try:
            self._turn.first_chunk()
            if not self._streamed:
                if len(self._body) + len(chunk) <= MAX_BODY:
                    self._body += chunk
                return
            for event in self._lines.feed(chunk):
                self._parts.add(event)
            head = self._parts.head
            self._turn.responded(head.get("id"), head.get("created", head.get("created_at")))
        except Exception as error:
            client.failed(error)

    def end(self, error: str | None = None, *, whole: bool = False) -> None:
        """The response is over: whole, broken off by an error, or left by the application. Once."""
        if self._ended:
            return
        self._ended = True
        try:
            if not self._streamed:
                self._end_body(error)
                return
            self._protocol.answered(self._turn, self._parts.reply())
            if not self._parts.done:
                error = self._parts.error or error or ("incomplete" if whole else "abandoned")
        except Exception as fault:
            client.failed(fault)
        self._turn.end(error if not self._parts.done else self._parts.error)

    def _end_body(self, error: str | None) -> None:
        self._turn.event.pop("time_to_first_chunk_ms", None)
        try:
            self._protocol.answered(self._turn, json.loads(bytes(self._body)))
            error = None
        except ValueError:
            error = error or "abandoned"
        self._turn.end(error)

    def __del__(self) -> None:
        self.end()


@functools.cache
def _watched(kind: Any) -> Any:
    """A subclass of an HTTP response's class that tells its watch what happens to it."""

    def iter_bytes(self: Any, *args: Any, **options: Any) -> Iterator[bytes]:
        watch: Watch = self._flywheel
        return watch.along(kind.iter_bytes(self, *args, **options))

    def aiter_bytes(self: Any, *args: Any, **options: Any) -> AsyncIterator[bytes]:
        watch: Watch = self._flywheel
        return watch.along_async(kind.aiter_bytes(self, *args, **options))

    def close(self: Any) -> None:
        self._flywheel.closing()
        kind.close(self)

    async def aclose(self: Any) -> None:
        self._flywheel.closing()
        await kind.aclose(self)

    methods = {each.__name__: each for each in (iter_bytes, aiter_bytes, close, aclose)}
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, "__doc__": kind.__doc__, **methods})
