"""The one way out: what a hostile endpoint does to namer and embedder costs a bounded answer, and no key."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flows import outbound
from flows.cluster.catalogue.llm_names import Namer
from flows.embed import EndpointEmbedder
from flows.outbound import Bounds, ask
from flows.promote.mirror import mirror
from flows.registry import Registry
from schemas.errors import EndpointError
from schemas.secrets import Secret

KEY = Secret("key-of-this-host-alone")
BOUNDS = Bounds(timeout_s=2.0, max_bytes=100_000)
Answer = Callable[[BaseHTTPRequestHandler], None]


class Hostile(ThreadingHTTPServer):
    """An endpoint that answers as it is told, and remembers who asked with which key."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.keys: list[str | None] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: Any) -> None:
        """Whoever was cut off says nothing."""


class _Handler(BaseHTTPRequestHandler):
    server: Hostile

    def do_POST(self) -> None:
        self.server.keys.append(self.headers["authorization"])
        self.rfile.read(int(self.headers["content-length"]))
        self.server.answer(self)

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["authorization"])
        self.server.answer(self)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(answer: Answer) -> Iterator[Hostile]:
    server = Hostile(answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def says(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"content-length": str(len(body)), **named}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def flood(handler: BaseHTTPRequestHandler) -> None:
    """An answer without an end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65_536)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then, for as long as somebody reads."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def broken(handler: BaseHTTPRequestHandler) -> None:
    """Bytes that are no HTTP."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


TRICKS: dict[str, tuple[Answer, str]] = {
    "flood": (flood, "more than 100000 bytes"),
    "drip": (drip, "no answer within 2 s"),
    "no http": (broken, "Bad status line"),
    "cut off": (says(b"{}", content_length="1000"), "ClientPayloadError|ServerDisconnected"),
    "deep": (says(b"[" * 90_000), "no JSON"),
    "no utf-8": (says(b'{"a": "\xff"}'), "no JSON"),
    "bomb": (says(gzip.compress(b" " * 10_000_000), content_encoding="gzip"), "no JSON"),
    "refused": (says(b"you sent key-of-this-host-alone", 401), r"HTTP 401, you sent \*\*\*"),
}


@pytest.mark.parametrize("name", TRICKS)
def test_a_hostile_answer_is_one_error(name: str) -> None:
    """Whatever comes: an EndpointError that says what, soon, with the key in it nowhere."""
    answer, said = TRICKS[name]
    with serving(answer) as server, pytest.raises(EndpointError, match=said) as caught:
        ask(server.url, {}, KEY, (), BOUNDS)

    assert KEY.reveal() not in str(caught.value)


def test_no_key_follows_a_redirect() -> None:
    """Not to another host, not to another port, not by another method: nobody is asked but who was named."""
    with serving(says(b"{}")) as other:
        for status in (301, 302, 303, 307, 308):
            with (
                serving(says(b"", status, location=f"{other.url}/elsewhere")) as server,
                pytest.raises(EndpointError, match=f"HTTP {status}, redirects are not followed"),
            ):
                ask(server.url, {}, KEY, (), BOUNDS)
            assert server.keys == [f"Bearer {KEY.reveal()}"]
        assert other.keys == []


def test_namer_and_embedder_go_out_that_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namer that misbehaves gives no name, an embedder no vectors, and neither follows a redirect."""
    with serving(says(b"{}")) as other, serving(says(b"", 307, location=other.url)) as server:
        assert Namer(server.url, "m", KEY).name(["card"], ["my card"]) is None
        with pytest.raises(EndpointError, match="redirects are not followed"):
            EndpointEmbedder("m", server.url, KEY).embed(["a"])
        assert other.keys == []
    for body in (b'{"data": [{"index": 0, "embedding": ["a"]}]}', b"[" * 50_000, b'{"choices": [{"message": 7}]}'):
        with serving(says(body)) as server:
            assert Namer(server.url, "m", KEY).name(["card"], ["my card"]) is None
            with pytest.raises(EndpointError, match="gave no vectors"):
                EndpointEmbedder("m", server.url, KEY).embed(["a"])


def test_a_name_in_a_setting_may_not_lead_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address says itself where it leads; a name that resolves to a private one must be declared, for MLflow too."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(EndpointError, match="private_endpoints"):
        ask("http://names.example/v1", {}, KEY, (), BOUNDS)
    with pytest.raises(EndpointError, match="private_endpoints"):
        mirror(Registry(application="a"), "http://user:pw@names.example", "m")

    assert outbound.allowed("http://names.example/v1", ("names.example",)) == {"names.example"}
    assert outbound.allowed("http://8.8.8.8/v1") == frozenset()
    assert outbound.allowed("http://LocalHost:11434/v1") == {"localhost"}


def test_a_name_is_resolved_once() -> None:
    """What was checked is what is connected to, however often the name changes its mind meanwhile."""
    asked: list[str] = []

    async def twice() -> None:
        with serving(says(b"{}")) as server:
            async with outbound.session(("names.example",), 2.0) as opened:
                resolver = opened.connector._resolver  # type: ignore[union-attr]

                async def resolve(host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
                    asked.append(host)
                    address = "127.0.0.1" if len(asked) == 1 else "127.0.0.9"
                    return [{"hostname": host, "host": address, "port": port, "family": 2, "proto": 6, "flags": 0}]

                resolver.resolve = resolve
                for _ in range(3):
                    url = server.url.replace("127.0.0.1", "names.example")
                    async with opened.post(url, data=b"{}", headers={"connection": "close"}) as answer:
                        assert answer.status == 200

    asyncio.run(twice())
    assert asked == ["names.example"]
