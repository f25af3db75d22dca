"""The receiver of Portkey's log, as its own process: calls arrive, keys do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from llm_flywheel import interaction_id
from tests.support.door import serving
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
RECEIVER = Path(__file__).resolve().parents[2] / "examples" / "gateways" / "portkey_receiver.py"
KEY, RESPONSE = "sk-this-is-the-providers-key", "chatcmpl-CzT4kQmR8wLx2VbN6yPd1HsJ9aEua"


def record(**more: Any) -> dict[str, Any]:
    """What the gateway's `default.log` posts; `more` replaces parts."""
    asked = {"model": "leaf-1", "messages": [{"role": "user", "content": "Is it ripe?"}], "temperature": 0.3}
    answer = {
        "id": RESPONSE, "created": 1767603600, "model": "leaf-1-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Not yet."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3},
    }  # fmt: skip
    headers = {"x-portkey-config": json.dumps({"provider": "openai", "api_key": KEY}), "authorization": f"Bearer {KEY}"}
    return {
        "request": {"json": asked, "text": json.dumps(asked), "headers": headers},
        "response": {"json": answer, "text": json.dumps(answer), "statusCode": 200},
        "provider": "openai", "requestType": "chatComplete", "metadata": {"_user": "gardener-4"},
        "eventType": "afterRequestHook", **more,
    }  # fmt: skip


def test_calls_arrive_and_keys_do_not(tmp_path: Path) -> None:
    """A call, a failed one, an embedding, and what is no record; nothing of a header is sent, kept or printed."""
    with serving() as door:
        surroundings = {**os.environ, "FLYWHEEL_APPLICATION": "shop", "FLYWHEEL_URL": door.url,
                        "FLYWHEEL_STATE_DIR": str(tmp_path)}  # fmt: skip
        receiver = subprocess.Popen(
            [sys.executable, str(RECEIVER), "0"], env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        try:
            assert receiver.stdout is not None
            url = receiver.stdout.readline().split()[-1]
            failed = record(response={"json": {"error": {"message": "busy"}}, "statusCode": 429})
            for body in (record(), failed, record(request={"json": {"input": "x"}}), {"no": "record"}):
                urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=10).close()
            urllib.request.urlopen(urllib.request.Request(url, b"[" * 100_000), timeout=10).close()
            eventually(lambda: len(door.events) == 2)
        finally:
            receiver.terminate()
            printed = receiver.communicate(timeout=30)[0]

    called, refused = sorted(door.events, key=lambda event: "error_type" in event)
    assert called["id"] == interaction_id("shop", RESPONSE)
    assert (called["user_id"], called["request_parameters"], called["input_tokens"]) == (
        "gardener-4", {"temperature": 0.3}, 9,
    )  # fmt: skip
    assert refused["error_type"] == "429"
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert KEY.encode() not in b"".join([*kept, json.dumps(door.events).encode(), printed.encode()])
    assert "cannot be read: KeyError" in printed
    assert "cannot be read: RecursionError" in printed
