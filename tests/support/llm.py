"""A language model's endpoint for tests: OpenAI chat completions and responses, Anthropic messages, over HTTP.

It speaks streaming, tools and errors. What the last message says decides: `tool` asks for a tool where there is one,
`boom` is a bad request, `busy` a 429 (twice, then an answer), `cut` a stream that breaks off without an end, `explode`
an error in the midst of a stream, `slow` a pause before the answer.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ["It ", "left ", "on ", "Monday."]
ANSWER = "".join(WORDS)
Json = dict[str, Any]


class Endpoint:
    """Where it is, and how often it was called, by path."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: Counter[str] = Counter()
        self.busy: Counter[str] = Counter()
        self.numbers = itertools.count(1)


def _said(body: Json) -> str:
    """The text of the last message, and whether it is a tool's result."""
    asked = body.get("messages", body.get("input"))
    return json.dumps(asked if isinstance(asked, str) else asked[-1])


def _wants_tool(body: Json) -> bool:
    return bool(body.get("tools")) and "tool please" in _said(body)


def chat(body: Json, number: int) -> Json:
    """A chat completion."""
    message: Json = {"role": "assistant", "content": ANSWER}
    finish = "stop"
    if _wants_tool(body):
        function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"city": "Paris"}'}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }
        finish = "tool_calls"
    if "response_format" in body:
        message["content"] = '{"day": "Monday"}'
    choices = [
        {"index": n, "message": message, "finish_reason": finish, "logprobs": None} for n in range(body.get("n") or 1)
    ]
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    return {**_head(body, number), "object": "chat.completion", "choices": choices, "usage": usage}


def _head(body: Json, number: int) -> Json:
    return {"id": f"chatcmpl-{number:032d}", "created": 1_795_882_083, "model": body["model"] + "-2026"}


def chat_stream(body: Json, number: int) -> Iterator[str]:
    """The same in chunks."""

    def chunk(delta: Json, finish: str | None = None, **more: Any) -> str:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        value = {**_head(body, number), "object": "chat.completion.chunk", "choices": choices, **more}
        return f"data: {json.dumps(value)}\n\n"

    whole = chat(body, number)["choices"][0]
    yield chunk({"role": "assistant", "content": ""})
    if calls := whole["message"].get("tool_calls"):
        first, rest = '{"city": ', '"Paris"}'
        function = {"name": calls[0]["function"]["name"], "arguments": first}
        yield chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": rest}}]})
    else:
        text = whole["message"]["content"]
        words = WORDS if text == ANSWER else [text]
        for n, word in enumerate(words):
            if n == 2 and "explode" in _said(body):
                error = {"message": "overloaded", "type": "server_error", "code": "overloaded"}
                yield f"data: {json.dumps({'error': error})}\n\n"
                return
            yield chunk({"content": word})
    if "cut" in _said(body):
        return
    yield chunk({}, whole["finish_reason"])
    if (body.get("stream_options") or {}).get("include_usage"):
        yield chunk({}, choices=[], usage={"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16})
    yield "data: [DONE]\n\n"


def response(body: Json, number: int) -> Json:
    """A response of the Responses API."""
    text = {"type": "output_text", "text": ANSWER, "annotations": []}
    item: Json = {
        "type": "message",
        "id": f"msg_{number}",
        "status": "completed",
        "role": "assistant",
        "content": [text],
    }
    if _wants_tool(body):
        item = {
            "type": "function_call", "id": f"fc_{number}", "call_id": "call_1", "name": body["tools"][0]["name"],
            "arguments": '{"city": "Paris"}', "status": "completed",
        }  # fmt: skip
    status = "queued" if body.get("background") else "completed"
    return {
        "id": f"resp_{number:048d}", "object": "response", "created_at": 1_795_882_083, "status": status, "error": None,
        "model": body["model"] + "-2026", "incomplete_details": None, "instructions": body.get("instructions"),
        "metadata": {}, "output": [] if body.get("background") else [item], "parallel_tool_calls": True,
        "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": {
            "input_tokens": 11, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 16,
        },
    }  # fmt: skip


def response_stream(body: Json, number: int) -> Iterator[str]:
    """The same as events."""
    order = itertools.count()

    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': next(order), **fields})}\n\n"

    whole = response(body, number)
    item = whole["output"][0]
    yield event("response.created", response={**whole, "status": "in_progress", "output": []})
    yield event("response.output_item.added", output_index=0, item={**item, "content": [], "status": "in_progress"})
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    yield event("response.content_part.added", **at, part={"type": "output_text", "text": "", "annotations": []})
    for word in WORDS:
        yield event("response.output_text.delta", **at, delta=word, logprobs=[])
    if "cut" in _said(body):
        return
    yield event("response.output_text.done", **at, text=ANSWER, logprobs=[])
    yield event("response.output_item.done", output_index=0, item=item)
    yield event("response.completed", response=whole)


def message(body: Json, number: int) -> Json:
    """A message of Anthropic's."""
    content: list[Json] = [{"type": "text", "text": ANSWER}]
    stop = "end_turn"
    if _wants_tool(body):
        content = [
            {"type": "text", "text": "Looking."},
            {"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": {"city": "Paris"}},
        ]
        stop = "tool_use"
    return {
        "id": f"msg_{number:024d}", "type": "message", "role": "assistant", "model": body["model"] + "-2026",
        "content": content, "stop_reason": stop, "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 5},
    }  # fmt: skip


def message_stream(body: Json, number: int) -> Iterator[str]:
    """The same as events."""

    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"

    whole = message(body, number)
    start = {**whole, "content": [], "stop_reason": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
    yield event("message_start", message=start)
    for index, block in enumerate(whole["content"]):
        tool = block["type"] == "tool_use"
        yield event(
            "content_block_start",
            index=index,
            content_block={**block, "input": {}} if tool else {"type": "text", "text": ""},
        )
        parts = ['{"city": ', '"Paris"}'] if tool else WORDS if block["text"] == ANSWER else [block["text"]]
        for n, part in enumerate(parts):
            if n == 2 and "explode" in _said(body):
                yield event("error", error={"type": "overloaded_error", "message": "overloaded"})
                return
            delta = {"type": "input_json_delta", "partial_json": part} if tool else {"type": "text_delta", "text": part}
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    if "cut" in _said(body):
        return
    yield event(
        "message_delta", delta={"stop_reason": whole["stop_reason"], "stop_sequence": None}, usage={"output_tokens": 5}
    )
    yield event("message_stop")


PATHS = {
    "/v1/chat/completions": (chat, chat_stream),
    "/v1/responses": (response, response_stream),
    "/v1/messages": (message, message_stream),
}


@contextmanager
def serving() -> Iterator[Endpoint]:
    """An endpoint on a free port of loopback."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answer as the model would."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = self.path.partition("?")[0]
            endpoint.calls[path] += 1
            if path not in PATHS:
                self._json(
                    200,
                    {
                        "object": "list",
                        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                        "model": "m",
                        "usage": {"prompt_tokens": 1, "total_tokens": 1},
                    },
                )
                return
            said = _said(body)
            if "slow" in said:
                time.sleep(1.0)
            if "boom" in said:
                self._json(
                    400, {"type": "error", "error": {"message": "boom", "type": "invalid_request_error", "code": None}}
                )
                return
            if "busy" in said and endpoint.busy[said] < 2:
                endpoint.busy[said] += 1
                self._json(
                    429,
                    {"error": {"message": "slow down", "type": "rate_limit", "code": "rate_limit"}},
                    {"retry-after-ms": "1"},
                )
                return
            whole, stream = PATHS[path]
            number = next(endpoint.numbers)
            if not body.get("stream"):
                self._json(200, whole(body, number))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for part in stream(body, number):
                    data = part.encode()
                    self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                    self.wfile.flush()
                    time.sleep(0.002)
                self.wfile.write(b"0\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def do_GET(self) -> None:
            """A list of no models."""
            self._json(200, {"object": "list", "data": []})

        def _json(self, status: int, value: Json, headers: dict[str, str] | None = None) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **(headers or {}),
            }.items():
                self.send_header(name, text)
            self.end_headers()
            try:
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
