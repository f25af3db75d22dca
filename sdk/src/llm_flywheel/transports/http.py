"""The HTTP door: `POST /v1/events` with a CloudEvents batch, over one connection that is kept.

docs/contracts.md has the protocol.

    200  {"accepted": n, "rejected": [{"index": i, "reason": "…"}]}   all that is not rejected is safe in Kafka
    401, 403, 404, 429, 5xx, anything else                            later, after Retry-After where it says so
    400, 413, 422                                                     the batch is halved until the bad record is found
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from llm_flywheel.record import Record
from llm_flywheel.transports import Address, Unavailable

TIMEOUT_S = 10.0
DEADLINE_S = 30.0
MAX_ANSWER = 2**20
BATCH_TYPE = "application/cloudevents-batch+json"
DIVIDE = frozenset({400, 413, 422})
"""Answers about the batch itself."""


class Door:
    """One kept HTTP connection to the door."""

    def __init__(self, address: Address, token: str) -> None:
        self._address, self._token = address, token
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case), body. Raises Unavailable where there is no answer."""
        headers = dict(headers or {})
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        path = self._address.path.rstrip("/") + path
        for fresh in (self._connection is None, True):
            try:
                connection = self._connected()
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                content = _read(answer)
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                # A kept connection may have been closed by the other side meanwhile: that is no news of the door.
                if fresh or isinstance(error, TimeoutError):
                    raise Unavailable(f"{type(error).__name__}: {error}") from error
        raise AssertionError

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def forget(self) -> None:
        """In a forked child: close this process's copy of the socket, which the parent goes on using."""
        self.close()

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            secure = self._address.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self._connection = kind(self._address.hosts, timeout=TIMEOUT_S)
        return self._connection


class HttpTransport:
    """See `llm_flywheel.transports`."""

    def __init__(self, address: Address, token: str) -> None:
        self._door = Door(address, token)
        self.close, self.forget = self._door.close, self._door.forget

    def deliver(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Post a batch. Raises Unavailable."""
        body = b"[" + b",".join(each.cloud_event() for each in records) + b"]"
        status, headers, content = self._door.ask("POST", "/v1/events", body, {"Content-Type": BATCH_TYPE})
        if status in {200, 202}:
            return _rejected(records, content)
        if status not in DIVIDE:
            raise Unavailable(f"HTTP {status}: {content[:200]!r}", _seconds(headers.get("retry-after")))
        if len(records) == 1:
            return [(records[0], f"HTTP {status}: {content[:200].decode('utf-8', 'replace')}")]
        half = len(records) // 2
        return self.deliver(records[:half]) + self.deliver(records[half:])


def _rejected(records: Sequence[Record], content: bytes) -> list[tuple[Record, str]]:
    try:
        stated = json.loads(content).get("rejected", [])
        return [(records[each["index"]], str(each.get("reason", ""))) for each in stated]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        # A page of some proxy is no acknowledgement.
        raise Unavailable(f"the answer is not the door's: {content[:100]!r}") from error


def _read(answer: Any) -> bytes:
    """The body to its end, or the connection cannot be kept. Raises OSError, ValueError."""
    parts: list[bytes] = []
    end, size = time.monotonic() + DEADLINE_S, 0
    while part := answer.read(2**14):
        size += len(part)
        parts.append(part)
        if size > MAX_ANSWER or time.monotonic() > end:
            raise ValueError("the answer is too long, or comes too slowly")
    return b"".join(parts)


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds; a date, or none, is left to our own back-off."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
