"""Orders to a Prefect server that is not there, or answers nonsense: no crash, no run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows.prefect_api import FlowRun, Orchestrator, page_of, request_evaluation
from schemas.settings import Settings
from streams.broker.broker import free_port


class Refusing(BaseHTTPRequestHandler):
    """A server that knows nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of something that is no Prefect server."""
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_without_a_server_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: the order is not taken, and the caller is told so by None."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    settings = Settings(prefect_port=free_port())

    assert request_evaluation(settings, "some-candidate") is None
    assert not Orchestrator(f"http://127.0.0.1:{settings.prefect_port}/api").keeps(Path("prefect"))


def test_a_stranger_on_the_port_takes_no_orders(stranger: int) -> None:
    """Something else listens: that is the same as nobody."""
    server = Orchestrator(f"http://127.0.0.1:{stranger}/api")

    assert not server.keeps(Path("prefect"))
    assert server.start("turn/scheduled", {}, "key") is None
    assert server.find("an-id") is None
    with server.held("turn/scheduled"):
        pass


def test_a_named_server_is_used(monkeypatch: pytest.MonkeyPatch, stranger: int) -> None:
    """PREFECT_API_URL wins over the port in the settings, for orders and for links."""
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{stranger}/api")
    settings = Settings(prefect_port=1)

    assert page_of(settings, FlowRun("some-run")) == f"http://127.0.0.1:{stranger}/runs/flow-run/some-run"
