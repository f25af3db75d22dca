"""The real HTTP door in this process, over a real Kafka or over one that is not there."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from schemas.settings import Settings
from streams.broker.broker import free_port
from streams.doors.app import make_app
from streams.doors.champions import Champions
from streams.doors.outbox import Outbox
from streams.keyring import trust_of
from tests.support.waiting import eventually


@contextmanager
def open_door(settings: Settings) -> Iterator[str]:
    """Its address, once it answers."""
    port = free_port()
    app = make_app(settings, Outbox(settings.kafka), Champions(settings.kafka, trust_of(settings)))
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


def ask(
    url: str, body: bytes | None = None, kind: str = "application/json", token: str = "", **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Status, answer (plain where it is JSON), and headers in lower case."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["content-type"] = kind
    if token:
        named["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, body, named)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, content, found = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        status, content, found = error.code, error.read(), error.headers
    lower = {name.lower(): value for name, value in found.items()}
    is_json = lower.get("content-type", "").startswith("application/json") and content
    return status, json.loads(content) if is_json else content, lower
