"""A lake in an object store: the same promises on a real S3 server, also when it fails."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("moto.server", reason="moto is not installed (extra `dev`)")

from schemas.errors import CommitConflict
from schemas.topics import INTERACTIONS
from streams.lake import Lake
from streams.lake.append import Span, create, land, mark_id
from streams.lake.audit import audit
from streams.lake.maintain import compact, vacuum
from streams.lake.query import query, read
from tests.integration.conftest import eventually
from tests.streams.test_lake import rows

pytestmark = pytest.mark.integration
MARK = mark_id(INTERACTIONS.name, "t", 0)


class Flaky(BaseHTTPRequestHandler):
    """Passes requests on to the real server, or answers 503 as often as it is told to."""

    upstream = ""
    failures = 0
    refused = 0

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if type(self).failures > 0:
            type(self).failures -= 1
            type(self).refused += 1
            self._answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
            return
        connection = HTTPConnection(self.upstream.removeprefix("http://"), timeout=10)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        self._answer(answer.status, dict(answer.headers), answer.read())
        connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "server", "date"}:
                self.send_header(name, value)
        length = headers.get("Content-Length", len(body)) if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """An S3 server in a child process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: _answers(url))
    yield url
    server.terminate()
    server.wait(10)


def _answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=1).status)
    except OSError:
        return False


@pytest.fixture
def store(upstream: str) -> Iterator[Lake]:
    """A lake in a bucket of its own, behind a door that can be told to fail."""
    Flaky.upstream, Flaky.failures, Flaky.refused = upstream, 0, 0
    door = ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    bucket = f"lake-{time.time_ns()}"
    urllib.request.urlopen(urllib.request.Request(f"{upstream}/{bucket}", method="PUT"))
    yield Lake(
        f"s3://{bucket}/lake",
        {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{door.server_address[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        },
    )
    door.shutdown()


def test_a_lake_in_a_bucket_keeps_its_promises(store: Lake) -> None:
    """Commits with marks, a refused zombie, compaction, vacuum, queries and the audit, all against S3."""
    handle = create(store, "interactions")
    zombie = store.open("interactions")
    for n in range(4):
        land(store, handle, "interactions", rows([2 * n, 2 * n + 1]), {MARK: Span(2 * n or None, 2 * n + 2)})
    with pytest.raises(CommitConflict):
        land(store, zombie, "interactions", rows([0]), {MARK: Span(None, 1)})

    assert compact(store, "interactions", 2**20) == 3
    vacuum(store, "interactions", 0, [])

    assert sorted(read(store, "interactions")["kafka_offset"].to_pylist()) == list(range(8))
    found = query(store, "SELECT count(*) AS n FROM interactions", store.versions(["interactions"]))
    assert found.to_pylist() == [{"n": 8}]
    assert (audit(store).incidents, audit(store).unhashed) == ((), 0)


def test_two_writers_on_a_bucket_are_one_after_the_other(store: Lake) -> None:
    """Conditional writes: of two writers of the same offsets exactly one succeeds, each time."""
    create(store, "interactions")
    outcomes: list[str] = []

    def write(n: int) -> None:
        handle = store.open("interactions")
        barrier.wait()
        try:
            land(store, handle, "interactions", rows([n]), {MARK: Span(n or None, n + 1)})
        except CommitConflict:
            outcomes.append("refused")
        else:
            outcomes.append("landed")

    for n in range(3):
        barrier = threading.Barrier(2)
        pair = [threading.Thread(target=write, args=(n,)) for _ in range(2)]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()

    assert sorted(outcomes) == ["landed"] * 3 + ["refused"] * 3
    assert sorted(read(store, "interactions")["kafka_offset"].to_pylist()) == [0, 1, 2]


def test_a_store_that_fails_now_and_then_loses_nothing(store: Lake) -> None:
    """Answers of 503 are borne: the commit is made once, or its failure is told and the next try knows."""
    handle = create(store, "interactions")
    for n in range(5):
        Flaky.failures = 2
        land(store, handle, "interactions", rows([n]), {MARK: Span(n or None, n + 1)})

    assert Flaky.refused >= 5
    assert sorted(read(store, "interactions")["kafka_offset"].to_pylist()) == list(range(5))
    assert audit(store).incidents == ()
