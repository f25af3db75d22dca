"""Orders to a Prefect server that is not there, or answers nonsense: no crash, no run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows import prefect_api
from flows.context import prefect_key, shareable
from flows.deploy import job_variables
from flows.prefect_api import FlowRun, Orchestrator, page_of, request_evaluation, served
from schemas.secrets import Secret, SecretUrl
from schemas.settings import ClusterSettings, EvaluateSettings, GateSettings, KafkaSettings, Settings
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
    assert server.start("turn/support-bot", {}, "key") is None
    assert server.find("an-id") is None
    with server.held("turn/support-bot"):
        pass


def test_a_server_that_holds_events_back_is_waited_for(monkeypatch: pytest.MonkeyPatch, stranger: int) -> None:
    """Who never writes them down has not settled."""
    monkeypatch.setattr(prefect_api, "CLIENTS_S", 0.0)
    monkeypatch.setattr(prefect_api, "SETTLE_S", 1.0)

    assert not Orchestrator(f"http://127.0.0.1:{stranger}/api").settle()


def test_a_named_server_is_used(monkeypatch: pytest.MonkeyPatch, stranger: int) -> None:
    """PREFECT_API_URL wins over the port in the settings, for orders and for links."""
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{stranger}/api")
    settings = Settings(prefect_port=1)

    assert page_of(settings, FlowRun("some-run")) == f"http://127.0.0.1:{stranger}/runs/flow-run/some-run"


class Cloud(HTTPServer):
    """What Prefect Cloud is to a client: whoever brings the key is answered."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Cloud)
        self.seen: list[str | None] = []


class _Cloud(BaseHTTPRequestHandler):
    server: Cloud

    def do_GET(self) -> None:
        self.server.seen.append(self.headers["authorization"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"id": "a-run"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("environment", "sent"),
    [
        ({"PREFECT_API_KEY": "pnu_1"}, "Bearer pnu_1"),
        ({"PREFECT_API_AUTH_STRING": "me:word"}, "Basic bWU6d29yZA=="),
        ({"PREFECT_API_KEY": "pnu_1", "PREFECT_API_AUTH_STRING": "me:word"}, "Basic bWU6d29yZA=="),
        ({}, None),
    ],
)
def test_a_key_of_the_cloud_is_sent_to_the_server_that_it_is_for(
    environment: dict[str, str], sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Prefect's own client sends it; and neither in a repr nor in a message."""
    server = Cloud()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")

    found = Orchestrator.of(Settings()).find("a-run")

    server.shutdown()
    server.server_close()
    assert found == FlowRun("a-run")
    assert server.seen == [sent]
    assert repr(prefect_key()) in {"Secret('***')", "Secret('')"}


def test_a_key_of_the_cloud_never_goes_to_a_server_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server that `flywheel up` starts has a secret of its own."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_1")

    assert Orchestrator.of(Settings(home=str(tmp_path))).headers["authorization"].startswith("Basic ")


def test_names_carry_the_application() -> None:
    """And none of the characters that Prefect lets no name have; a page of the cloud is where people look."""
    assert served("turn", "support-bot") == "turn/support-bot"
    assert served("turn", "a/b%c&d<e>") == "turn/a-b-c-d-e-"
    cloud = Orchestrator("https://api.prefect.cloud/api/accounts/a-1/workspaces/w-2")
    assert cloud.page == "https://app.prefect.cloud/account/a-1/workspace/w-2"


def test_what_a_run_elsewhere_is_told_holds_no_secret() -> None:
    """Settings that differ from their defaults travel; secrets, URLs with a password and the home stay."""
    settings = Settings(
        home="/somewhere", application="shop", storage_options={"aws_secret_access_key": Secret("hidden")},
        kafka=KafkaSettings(bootstrap_servers="kafka:9092"), cluster=ClusterSettings(namer_key=Secret("hidden")),
        gate=GateSettings(mlflow_uri=SecretUrl("https://me:hidden@mlflow.example")),
        evaluate=EvaluateSettings(judge_endpoint="https://me:hidden@judge.example/v1"),
    )  # fmt: skip

    told = shareable(settings)

    assert told == {"FLYWHEEL_APPLICATION": "shop", "FLYWHEEL_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}


@pytest.mark.parametrize(
    ("kind", "memory"),
    [
        ("process", {}),
        ("docker", {"mem_limit": "4g"}),
        ("kubernetes", {"memory_request": "4Gi", "memory_limit": "4Gi"}),
    ],
)
def test_memory_is_told_in_the_words_of_the_pool(kind: str, memory: dict[str, str]) -> None:
    """Names of variables in the templates of Prefect's own workers."""
    image = "" if kind == "process" else "llm-flywheel:1"
    told = job_variables(kind, image, 4, {"A": "b"})

    assert told == {"env": {"A": "b"}, **({"image": image} if image else {}), **memory}
