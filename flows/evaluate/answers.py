"""An answer of a model endpoint: what the bytes of a response say, or the named reason why they say nothing.

Pure: bytes in, values out. Null is absent, everywhere; an error is an error wherever it stands: in the body of a 200,
in a chunk, in a choice. `endpoint.py` fetches the bytes, `failures.py` names errors, `scorers/` judges the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from flows.evaluate.calls import Calls
from flows.evaluate.failures import error_in, failure
from flows.evaluate.sse import BOM, DONE, Event, Events
from schemas.messages import read_messages
from schemas.messages.finish import is_cut

ENOUGH = 32
"""Bytes that tell a body from a stream."""
EVENT_STREAM, JSON = "text/event-stream", "application/json"


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
        if not self.output and self.tool_calls:  # many servers put an empty text beside a call
            return msgspec.json.encode(self.tool_calls).decode()
        return self.output or ""


def unanswered(reason: str, detail: object = "") -> Answer:
    """The absence of an answer, named."""
    return Answer(unscored=reason, detail=str(detail)[:200])


def parse(body: bytes) -> Answer:
    """The answer in the body of a `/v1/chat/completions` response."""
    try:
        completion = msgspec.json.decode(body.removeprefix(BOM))
        return _completed(completion) if isinstance(completion, dict) else _malformed("no object", body)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        wrong = not isinstance(error, msgspec.DecodeError | UnicodeDecodeError)
        return _malformed(error, body) if wrong else unanswered("not_json", _excerpt(body))
    except RecursionError:
        return unanswered("malformed_answer", "nested too deep")


class Incoming:
    """The bytes of a response, read for what they are: a body or a stream, whatever the content type says.

    An answer that could not be read names a content type that does not fit.
    """

    def __init__(self, content_type: str) -> None:
        self._type = content_type
        self._body = bytearray()
        self._stream: Stream | None = None
        self._decided = False

    @property
    def begun(self) -> bool:
        """Whether the first token of a stream has come."""
        return self._stream is not None and self._stream.begun

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._decided and self._stream:
            self._stream.feed(chunk)
            return
        self._body += chunk
        if not self._decided and len(self._body) >= ENOUGH:
            self._decide()

    def answer(self) -> Answer:
        """The whole answer, once no more bytes come."""
        if not self._decided:
            self._decide()
        answer = self._stream.answer() if self._stream else parse(bytes(self._body))
        fits = (self._type == EVENT_STREAM) == (self._stream is not None)
        if answer.unscored is None or fits or self._type in {JSON, ""}:
            return answer
        return unanswered(answer.unscored, f"content type {self._type}: {answer.detail}")

    def _decide(self) -> None:
        self._decided = True
        if _begins_stream(bytes(self._body[:ENOUGH]).removeprefix(BOM).lstrip(), self._type):
            self._stream = Stream()
            self._stream.feed(bytes(self._body))


def _begins_stream(head: bytes, content_type: str) -> bool:
    if content_type == EVENT_STREAM:
        return bool(head) and not head.startswith((b"{", b"<"))
    return head.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))


class Stream:
    """A streamed answer (server-sent events) put together chunk by chunk."""

    def __init__(self) -> None:
        self._events = Events()
        self._text: list[str] = []
        self._calls = Calls()
        self._usage: Any = None
        self._problem: Answer | None = None
        self._choice: int | None = None
        self._finish: Any = None
        self.begun = False
        """Whether the first token has come."""
        self.done = False
        """Whether the stream has said that it is complete."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        self._take(self._events.feed(chunk))

    def answer(self) -> Answer:
        """The whole answer, once no more bytes come."""
        whole = self._problem
        self._take(self._events.end())
        if whole is None and self._problem and self._problem.unscored == "malformed_answer" and not self.done:
            self._problem = None  # the last event was cut, which is what a torn stream looks like
        if self._problem:
            return self._problem
        if not self.done:
            return unanswered("torn_stream", "the stream ended before its end mark")
        return _answer("".join(self._text) if self._text else None, self._calls.whole(), self._usage, self._finish)

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            try:
                self._event(event)
            except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
                self._problem = unanswered("malformed_answer", _excerpt(event.data))

    def _event(self, event: Event) -> None:
        if event.data.strip() == DONE:
            self.done = True
            return
        if event.problem or not isinstance(event.value, dict):
            raise ValueError(event.problem)
        value = event.value
        self._usage = value.get("usage") or self._usage
        if (error := error_in(value) or (value if event.kind == b"error" else None)) is not None:
            self._problem = unanswered(*failure(error))
        for choice in value.get("choices") or ():
            self._take_choice(choice)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        """A part of the first choice; with `n` above 1 the others are let go."""
        index = choice.get("index") or 0
        self._choice = index if self._choice is None else self._choice
        if index != self._choice:
            return
        if failed := _failed_choice(choice):
            self._problem = failed
        self._delta(choice.get("delta") or choice.get("message") or {})
        self._finish = choice.get("finish_reason") or self._finish
        self.done = self.done or bool(self._finish)

    def _delta(self, delta: dict[str, Any]) -> None:
        text = _text_of(delta)
        if text is not None:
            self._text.append(text)
        for part in delta.get("tool_calls") or ():
            self._calls.add(part)
        if delta.get("function_call"):
            self._calls.add({"function": delta["function_call"], "index": "function_call"})
        self.begun = self.begun or bool(text or self._calls)


def _completed(completion: dict[str, Any]) -> Answer:
    if (error := error_in(completion)) is not None:
        return unanswered(*failure(error))
    choices = completion.get("choices") or []
    choice = next((each for each in choices if not each.get("index")), choices[0] if choices else None)
    if choice is None:
        return unanswered("malformed_answer", f"no choices: {msgspec.json.encode(completion).decode()}")
    if failed := _failed_choice(choice):
        return failed
    message = choice["message"]
    calls = Calls()
    for place, call in enumerate(message.get("tool_calls") or ()):
        if not call.get("custom"):
            _check_name(call["function"]["name"])
        calls.add({**call, "index": place, "id": call.get("id") or f"call_{place + 1}"})
    if message.get("function_call"):
        calls.add({"function": message["function_call"], "index": "function_call"})
    return _answer(_text_of(message), calls.whole(), completion.get("usage"), choice.get("finish_reason"))


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError("a call names no function")


def _failed_choice(choice: dict[str, Any]) -> Answer | None:
    if (error := error_in(choice)) is not None:
        return unanswered(*failure(error))
    if choice.get("finish_reason") == "error":
        return unanswered("server_error", "finish_reason is error")
    return None


def _text_of(message: dict[str, Any]) -> str | None:
    """The text of a message or a delta, whichever form its content has; None where it has none."""
    content = message.get("content")
    if not content and message.get("refusal"):
        content = message["refusal"]
    if content is None and isinstance(audio := message.get("audio"), dict):
        content = audio.get("transcript")
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list | dict):
        raise TypeError("content is not text")
    return "".join(said["content"] for said in read_messages([{"role": "assistant", "content": content}]).chat)


def _answer(content: str | None, tool_calls: list[dict[str, Any]], usage: Any, finish: Any) -> Answer:
    if is_cut(finish):
        said = f"finish_reason is {finish}: the candidate's max_tokens or its context is too small. It began: {content}"
        return unanswered("cut_short", said)
    if content is None and not tool_calls:
        return unanswered("empty_answer", "neither text nor a tool call")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        output=content,
        tool_calls=tuple(tool_calls),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
    )


def _malformed(why: object, body: bytes) -> Answer:
    return unanswered("malformed_answer", f"{why}: {_excerpt(body)}")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _excerpt(body: bytes) -> str:
    return body[:120].decode(errors="replace")
