"""What is done with bytes of a fuzzer: each reader of what strangers send looks at them, and none may raise."""

from __future__ import annotations

import json

import msgspec

from flows.evaluate.answers import Incoming, Stream, parse
from schemas.codec import decode
from schemas.errors import EventError
from schemas.messages import read, to_chat
from schemas.rows import row

INTERACTION = "llm.interaction.v1"
HEAD = (
    b'{"id":"01900000-0000-7000-8000-000000000001","time":"2026-01-05T09:00:00Z","application":"a",'
    b'"conversation_id":"c","request_model":"m","input_messages":'
)


def look_at(data: bytes) -> None:
    """Read the bytes as an event, as messages, as a body, as a stream. Raises AssertionError where readers differ."""
    for value in (data, HEAD + data + b"}", HEAD + b"[" + data + b"]}"):
        assert _refused(decode, value) == _refused(row, value), value
    for text in (data, b"[" + data + b"]"):
        if _is_json(text):
            found = read(text.decode())
            assert to_chat(found.chat) == found.chat
            json.dumps(found.chat)
    assert parse(data).unscored or parse(data).output is not None or parse(data).tool_calls
    whole, cut = Stream(), Stream()
    whole.feed(data)
    for letter in data:
        cut.feed(bytes([letter]))
    assert whole.answer() == cut.answer()
    for content_type in ("text/event-stream", "text/plain"):
        incoming = Incoming(content_type)
        incoming.feed(data)
        incoming.answer()


def _refused(reader: object, value: bytes) -> str:
    try:
        reader(value, INTERACTION)  # type: ignore[operator]
    except EventError as error:
        return error.reason
    return ""


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
        return bool(text.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
