"""A proxy before a real S3 server that hurts requests on the way, in a process of its own.

`python store.py UPSTREAM FAULT` prints its address; `GET /hurt` there tells how many requests it has hurt. It is to an
object store what kill -9 is to a process: the client cannot tell what has happened behind the failure.
(Its own process, because delta-rs holds Python's lock while it waits for some answers.)
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

FAULTS = {
    "refused": "503, and never passed on",
    "cut": "the connection ends before the request is passed on",
    "torn": "the connection ends in the middle of the answer",
    "late": "passed on when the client has given it up",
    "unanswered": "passed on, and the answer is lost",
}
SHARE = 0.06
"""Of all requests. The first two commits, of the first table and of one more, are hurt in any case."""
PATIENCE_S, LATE_S = 2, 3.0
"""What the client waits for an answer, and how late a late request is."""


@contextmanager
def hurtful(upstream: str, fault: str) -> Iterator[str]:
    """A proxy at work: its address."""
    process = subprocess.Popen([sys.executable, __file__, upstream, fault], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def hurt(url: str) -> Counter[str]:
    """How many requests a proxy has hurt so far: `commit` for the writing of a log entry, else the method."""
    with urllib.request.urlopen(f"{url}/hurt") as answer:
        return Counter(json.load(answer))


class Proxy(BaseHTTPRequestHandler):
    """One connection. The class's own values are the proxy's state."""

    protocol_version = "HTTP/1.1"
    upstream: str
    fault: str
    chance = random.Random(1)
    lock = threading.Lock()
    commits = 2
    hurt: ClassVar[Counter[str]] = Counter()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client has given up
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass

    def pass_on(self) -> None:
        if self.path == "/hurt":
            return self.answer(200, {}, json.dumps(self.hurt).encode())
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        strikes = self.strikes()
        if strikes and self.fault == "refused":
            return self.answer(503, {}, b"")
        if strikes and self.fault == "cut":
            return self.cut()
        if strikes and self.fault == "late":
            time.sleep(LATE_S)
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if strikes and self.fault == "unanswered":
            return self.cut()
        torn = strikes and self.fault == "torn"
        size = int(response.headers["Content-Length"] or 0) if self.command == "HEAD" else len(content)
        self.answer(response.status, dict(response.headers), content[: len(content) // 2] if torn else content, size)
        return self.cut() if torn else None

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815 - the names are http.server's

    def strikes(self) -> bool:
        """Whether this request is hurt."""
        commit = self.command == "PUT" and "_delta_log/" in self.path and self.path.endswith(".json")
        with self.lock:
            if commit and Proxy.commits:
                Proxy.commits -= 1
            elif self.chance.random() >= SHARE:
                return False
            self.hurt["commit" if commit else self.command] += 1
        return True

    def answer(self, status: int, headers: dict[str, str], content: bytes, size: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection", "date", "server", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if size is None else size))
        self.end_headers()
        self.wfile.write(content)

    def cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    Proxy.upstream, Proxy.fault = urlsplit(sys.argv[1]).netloc, sys.argv[2]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
