"""The body of a request, read and inflated within bounds: of one request, and of all that are under way.

Go on to `streams/doors/app.py`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

READ_S = 20.0
"""For the whole body: who sends more slowly holds up nobody else."""
UNDER_WAY = 8
"""Bodies of the largest size that may be in memory at once; beyond them the answer is 503."""


class Refused(Exception):
    """A request that is answered with an error of its own."""

    def __init__(self, status: HTTPStatus, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class Bodies:
    """Bounds on what is in memory."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._free = UNDER_WAY * max_bytes

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The inflated body; it counts as under way until the block is left. Raises Refused."""
        reserved = 0
        try:
            parts: list[bytes] = []
            async with asyncio.timeout(READ_S):
                async for part in request.stream():
                    reserved += self._reserve(len(part))
                    parts.append(part)
                    if reserved > self.max_bytes:
                        raise _too_long(self.max_bytes)
            body = b"".join(parts)
            if (coding := request.headers.get("content-encoding", "identity").lower()) == "gzip":
                body = inflated(body, self.max_bytes)
                reserved += self._reserve(len(body))
            elif coding != "identity":
                raise Refused(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-encoding {coding[:64]}: gzip is read, or none"
                )
            yield body
        except TimeoutError as error:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly") from error
        except ClientDisconnect as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "the connection ended before the body did") from error
        finally:
            self._free += reserved

    def _reserve(self, size: int) -> int:
        if size > self._free:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too much is under way", retry_after_s=1)
        self._free -= size
        return size


def inflated(body: bytes, max_bytes: int) -> bytes:
    """A gzip body, of which no more is inflated than may be in it. Raises Refused."""
    reader = zlib.decompressobj(wbits=31)
    try:
        found = reader.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"no gzip: {error}") from error
    if len(found) > max_bytes:
        raise _too_long(max_bytes)
    if not reader.eof or reader.unused_data:
        raise Refused(HTTPStatus.BAD_REQUEST, "the gzip body does not end where it should")
    return found


def _too_long(max_bytes: int) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {max_bytes} bytes")
