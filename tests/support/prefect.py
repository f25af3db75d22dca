"""Questions to the Prefect server of a running stack, as its UI asks them."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from flows.prefect_api import FlowRun
from flows.stack import Stack
from tests.support.waiting import eventually

BUSY_TRIES = 30
"""Prefect answers 503 while its SQLite file is locked."""


def call(stack: Stack, method: str, path: str, body: Any = None) -> Any:
    """The answer; a busy server is asked again."""
    request = urllib.request.Request(
        stack.orchestrator.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers=stack.orchestrator.headers,
    )
    for _ in range(BUSY_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
        time.sleep(1)
    raise TimeoutError(f"{path}: the server was busy {BUSY_TRIES} times")


def ended(stack: Stack, run: FlowRun | None, seconds: float = 180) -> FlowRun:
    """The run, once it has ended."""
    assert run, "nobody took the order"
    going = {"SCHEDULED", "PENDING", "RUNNING", None}

    def done() -> FlowRun | None:
        found = stack.orchestrator.find(run.id)
        return found if found and found.state_type not in going else None

    found: FlowRun = eventually(done, seconds)
    return found
