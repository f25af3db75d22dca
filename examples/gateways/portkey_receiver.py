"""Portkey's open gateway: its log hook → interactions, without the keys that the log carries.

    FLYWHEEL_APPLICATION=support-bot FLYWHEEL_URL=http://127.0.0.1:4318 python portkey_receiver.py 8788

The gateway's configuration (the header `x-portkey-config`) names it as the place to log to:

    {"after_request_hooks": [{"type": "guardrail", "id": "flywheel", "async": false, "checks": [
        {"id": "default.log", "parameters": {"logURL": "http://127.0.0.1:8788", "headers": "{}"}}]}]}

A log record has the request's headers in it, `x-portkey-config` with its `api_key` among them. Only what is said below
is read of a record; the rest is forgotten with the request. Needs llm-flywheel-sdk and nothing else.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import llm_flywheel as fly

MAX_BYTES = 8 * 2**20
NO_PARAMETERS = {"model", "messages", "tools", "stream", "stream_options", "metadata", "user"}


def capture(record: dict[str, Any]) -> str | None:
    """One log record as an interaction; None where it is no chat, or the gateway refused it itself."""
    asked, answer = record["request"].get("json") or {}, record["response"].get("json") or {}
    status, known = record["response"].get("statusCode", 200), record.get("metadata") or {}
    if not asked.get("messages") or (status >= 400 and "provider" not in record):
        return None
    with fly.conversation(known.get("conversation_id"), user_id=known.get("_user") or asked.get("user")):
        turn = fly.interaction(
            model=asked.get("model", "unknown"), messages=asked["messages"], provider_name=record.get("provider"),
            tool_definitions=asked.get("tools"), prompt_version=known.get("prompt_version"),
            request_parameters={name: value for name, value in asked.items() if name not in NO_PARAMETERS},
        )  # fmt: skip
        for choice in answer.get("choices", []):
            turn.output(choice["message"], finish_reason=choice.get("finish_reason"))
        usage = answer.get("usage") or {}
        turn.set(
            response_model=answer.get("model"),
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
        )
        turn.responded(answer.get("id"), answer.get("created"))
        turn.end(str(status) if status >= 400 else None)
    return turn.id


class Receiver(BaseHTTPRequestHandler):
    """Takes a record, keeps none."""

    def do_POST(self) -> None:
        """Answer at once, whatever the record: the gateway waits for it."""
        size = self.headers.get("Content-Length", "")
        body = self.rfile.read(min(int(size), MAX_BYTES) if size.isdecimal() else 0)
        try:
            capture(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            print(f"a record cannot be read: {type(error).__name__}", flush=True)  # its content stays out of the log
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Silence: addresses and paths are nobody's business."""


if __name__ == "__main__":
    if not fly.init():
        sys.exit("set FLYWHEEL_APPLICATION and FLYWHEEL_URL")
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"listening at http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
