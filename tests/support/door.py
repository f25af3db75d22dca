"""A small HTTP door for the SDK's tests: it speaks docs/contracts.md, and can refuse, be slow, or freeze on cue."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from schemas.codec import decode
from schemas.errors import EventError

BATCH = "application/cloudevents-batch+json"


class Door:
    """What was sent, and how to answer from now on."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.events: list[dict[str, Any]] = []
        """The events that were accepted, in order."""
        self.calls = 0
        self.status = 200
        """Anything else is answered instead of taking events."""
        self.retry_after: str | None = None
        self.delay_s = 0.0
        self.open = threading.Event()
        """Cleared: calls are taken and never answered."""
        self.open.set()
        self.max_batch = 10**9
        self.sign: Callable[[bytes], str] | None = None
        """Gives the signature of a champion's bytes."""
        self.champion: dict[str, Any] | None = None
        self.unchanged = 0
        """How often a caller's champion was still the right one."""
        self.url = ""

    def ids(self) -> list[str]:
        """The ids of the events, in order."""
        return [event["id"] for event in self.events]

    def kinds(self) -> list[str]:
        """What the feedback events say."""
        return [event["kind"] for event in self.events if "kind" in event]


def _take(door: Door, body: bytes) -> tuple[int, dict[str, Any]]:
    batch = json.loads(body)
    if len(batch) > door.max_batch:
        return 413, {"error": "too many"}
    rejected = []
    for index, each in enumerate(batch):
        assert {"specversion", "id", "source", "type", "data"} <= each.keys()
        try:
            decode(json.dumps(each["data"]).encode(), each["type"])
        except EventError as error:
            rejected.append({"index": index, "reason": str(error)})
        else:
            door.events.append(each["data"])
    return 200, {"accepted": len(batch) - len(rejected), "rejected": rejected}


@contextmanager
def serving(token: str = "", port: int = 0) -> Iterator[Door]:
    """A door on loopback, on a free port unless one is wanted."""
    door = Door(token)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take a batch."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            door.calls += 1
            if not self._may():
                return
            if self.path != "/v1/events" or self.headers["Content-Type"] != BATCH:
                self._answer(404, {})
                return
            self._answer(*_take(door, body))

        def do_GET(self) -> None:
            """Tell who serves."""
            door.calls += 1
            if not self._may():
                return
            if door.champion is None:
                self._answer(404, {})
                return
            etag = f'"{door.champion["sequence"]}"'
            if self.headers.get("If-None-Match") == etag:
                door.unchanged += 1
                self._answer(304, None, {"ETag": etag})
            else:
                signature = {"ce-signature": door.sign(json.dumps(door.champion).encode())} if door.sign else {}
                self._answer(200, door.champion, {"ETag": etag, **signature})

        def _may(self) -> bool:
            time.sleep(door.delay_s)
            if not door.open.wait(20):
                self.close_connection = True
                return False
            if door.token and self.headers.get("Authorization") != f"Bearer {door.token}":
                self._answer(401, {})
                return False
            if door.status != 200:
                self._answer(door.status, {}, {"Retry-After": door.retry_after} if door.retry_after else {})
                return False
            return True

        def _answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            body = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    door.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield door
    finally:
        door.open.set()
        server.shutdown()
        server.server_close()
