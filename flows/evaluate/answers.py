"""An answer of a model endpoint: what the bytes of a response say, or the named reason why they say nothing.

Pure: bytes in, values out. `endpoint.py` fetches the bytes, `scorers.py` judges the answers.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

RETRIED = frozenset({"timeout", "unreachable", "rate_limited", "server_error", "not_json", "torn_stream"})
"""Reasons that may pass by themselves. The others would come again at the same price."""


class Answer(Struct, frozen=True, omit_defaults=True):
    """What a model said to one request, or why there is no answer."""

    output: str | None = None
    """The text; None exactly when `unscored` names why, or when the model only called tools."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    """As OpenAI sends them: `{"id", "type", "function": {"name", "arguments"}}`, arguments being JSON text."""
    unscored: str | None = None
    detail: str = ""
    """What was seen, for a person: at most 200 characters."""
    duration_ms: float | None = None
    """Of the try that was answered, from sending to the last byte."""
    time_to_first_chunk_ms: float | None = None
    """Known only where the answer was streamed."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    tries: int = 1

    @property
    def text(self) -> str:
        """The text that is stored and shown: the output, or the tool calls as JSON."""
        if self.output is None and self.tool_calls:
            return msgspec.json.encode(self.tool_calls).decode()
        return self.output or ""


def unanswered(reason: str, detail: object = "") -> Answer:
    """The absence of an answer, named."""
    return Answer(unscored=reason, detail=str(detail)[:200])


class _Function(Struct):
    name: str
    arguments: str | dict[str, Any] | None = None


class _Call(Struct):
    function: _Function
    id: str | None = None
    type: str | None = None


class _Message(Struct):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    message: _Message


class _Completion(Struct):
    choices: list[_Choice]
    usage: Any = None


_completion = msgspec.json.Decoder(_Completion)


def parse(body: bytes) -> Answer:
    """The answer in the body of a `/v1/chat/completions` response."""
    try:
        completion = _completion.decode(body)
    except msgspec.ValidationError as error:
        return unanswered("malformed_answer", f"{error}: {_excerpt(body)}")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return unanswered("not_json", _excerpt(body))
    except RecursionError:
        return unanswered("malformed_answer", "nested too deep")
    if not completion.choices:
        return unanswered("malformed_answer", "no choices")
    message = completion.choices[0].message
    content = message.content if message.content is not None else message.refusal
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content)
    return _answer(content, [_call(call) for call in message.tool_calls or []], completion.usage)


class Stream:
    """A streamed answer (server-sent events) put together chunk by chunk."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._text: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._usage: Any = None
        self._problem: Answer | None = None
        self.begun = False
        """Whether the first token has come."""
        self.done = False
        """Whether the stream has said that it is complete."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        self._rest += chunk
        if b"\n" not in chunk:  # looked for in the new bytes alone: a line may be long, and come byte by byte
            return
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._event(bytes(line[5:].strip()))

    def answer(self) -> Answer:
        """The whole answer, once no more bytes come."""
        if self._problem:
            return self._problem
        if not self.done:
            return unanswered("torn_stream", "the stream ended before its end mark")
        return _answer("".join(self._text) if self._text else None, list(self._calls.values()), self._usage)

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.done = True
            return
        try:
            event = msgspec.json.decode(data)
            self._usage = event.get("usage") or self._usage
            for choice in event.get("choices", [])[:1]:
                self._delta(choice.get("delta") or {})
                self.done = self.done or bool(choice.get("finish_reason"))
            if "error" in event:
                self._problem = unanswered("malformed_answer", event["error"])
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
            self._problem = unanswered("malformed_answer", _excerpt(data))

    def _delta(self, delta: dict[str, Any]) -> None:
        text = delta.get("content") or delta.get("refusal")
        if text is not None and not isinstance(text, str):
            raise TypeError("content is not text")
        if delta.get("content") is not None or text:
            self._text.append(text or "")
        for part in delta.get("tool_calls") or []:
            self._tool_part(part)
        self.begun = self.begun or bool(text or self._calls)

    def _tool_part(self, part: dict[str, Any]) -> None:
        empty: dict[str, Any] = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = self._calls.setdefault(int(part.get("index", 0)), empty)
        function = part.get("function") or {}
        call["id"] = call["id"] or str(part.get("id") or "")
        call["function"]["name"] = call["function"]["name"] or str(function.get("name") or "")
        call["function"]["arguments"] += function.get("arguments") or ""


def _call(call: _Call) -> dict[str, Any]:
    arguments = call.function.arguments or ""
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    function = {"name": call.function.name, "arguments": arguments}
    return {"id": call.id or "", "type": call.type or "function", "function": function}


def _answer(content: str | None, tool_calls: list[dict[str, Any]], usage: Any) -> Answer:
    if content is None and not tool_calls:
        return unanswered("empty_answer", "neither text nor a tool call")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        output=content,
        tool_calls=tuple(tool_calls),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _excerpt(body: bytes) -> str:
    return body[:120].decode(errors="replace")
