"""The bytes of a response as an answer, or as the named reason why there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluate.answers import Answer, Stream, parse


def body(message: Any, usage: Any = None) -> bytes:
    return json.dumps({"choices": [{"message": message}], "usage": usage}).encode()


def test_text_and_tokens_are_read() -> None:
    """The first choice's text, and the tokens that were counted."""
    answer = parse(body({"content": "Hello"}, {"prompt_tokens": 3, "completion_tokens": 1}))

    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("Hello", 3, 1)


def test_an_empty_text_is_an_answer() -> None:
    """A model may say nothing; that is scored, unlike an answer that is not there."""
    assert parse(body({"content": ""})).unscored is None
    assert parse(body({"content": None})).unscored == "empty_answer"


def test_a_refusal_is_an_answer() -> None:
    """What a model says in refusing is what it says."""
    assert parse(body({"content": None, "refusal": "I cannot."})).text == "I cannot."


def test_tool_calls_are_an_answer_without_text() -> None:
    """The text shown for tool calls is their JSON."""
    call = {"id": "1", "type": "function", "function": {"name": "refund", "arguments": "{}"}}

    assert json.loads(parse(body({"content": None, "tool_calls": [call]})).text) == [call]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>busy</html>", "not_json"),
        (b"", "not_json"),
        (b'"text"', "malformed_answer"),
        (b'{"error": {"message": "no"}}', "malformed_answer"),
        (b'{"choices": []}', "malformed_answer"),
        (b'{"choices": [{"message": {"content": 5}}]}', "malformed_answer"),
        (b"\xff\xfe", "not_json"),
        (b'{"choices": [{"message": {"content": "\\ud800"}}]}', "not_json"),
        (b'{"choices": [{"message": {"tool_calls": [{"function": null}]}}]}', "malformed_answer"),
    ],
)
def test_nonsense_has_a_name(content: bytes, reason: str) -> None:
    """Each kind of nonsense is counted under its own name, with an excerpt for a person."""
    assert parse(content).unscored == reason


@pytest.mark.parametrize(
    "usage", [None, [], "many", {"prompt_tokens": -1}, {"prompt_tokens": 1.5}, {"prompt_tokens": True}]
)
def test_odd_usage_costs_the_count_and_not_the_answer(usage: Any) -> None:
    """Tokens that were not counted are unknown, never zero."""
    answer = parse(body({"content": "ok"}, usage))

    assert (answer.text, answer.input_tokens) == ("ok", None)


def test_depth_is_malformed() -> None:
    """A million brackets are one bad answer, not the end of the run: in a body, in a call's arguments, in a stream."""
    deep = b"[" * 1_000_000
    call = b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": ' + deep
    assert parse(b'{"choices": [], "usage": ' + deep).unscored == "malformed_answer"
    assert parse(call).unscored == "malformed_answer"
    stream = Stream()
    stream.feed(b'data: {"usage": ' + deep + b"\n\n")

    assert stream.answer().unscored == "malformed_answer"


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_no_bytes_raise(content: bytes) -> None:
    """Whatever comes, `parse` and `Stream` give an answer or a reason."""
    stream = Stream()
    stream.feed(content)
    stream.feed(b"data: " + content + b"\n\n")

    assert isinstance(stream.answer(), Answer)
    assert (parse(content).unscored is None) == (parse(content).output is not None)


CALLS = (
    {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}},
    {"index": 0, "function": {"arguments": ":1}"}},
)
EVENTS = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"content": "Hé"}}]},
    {"choices": [{"delta": {"content": "llo"}}]},
    *({"choices": [{"delta": {"tool_calls": [call]}}]} for call in CALLS),
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
]
LINES = [f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n" for event in EVENTS]
STREAMED = "".join([": hello\r\n\r\n", *LINES]).encode()


@given(st.lists(st.integers(0, len(STREAMED)), max_size=12))
@settings(max_examples=100)
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    """The chunks' borders mean nothing: not inside a line, not inside a letter."""
    stream = Stream()
    whole = STREAMED + b"data: [DONE]\n\n"
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(whole)], strict=True):
        stream.feed(whole[start:end])
    answer = stream.answer()

    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("Héllo", 7, 2)
    assert answer.tool_calls == ({"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},)


def test_a_long_line_byte_by_byte_is_read_once() -> None:
    """A hostile server sends a line of a megabyte in single bytes: the work grows with the bytes, not their square."""
    stream = Stream()
    stream.feed(b'data: {"choices": [{"delta": {"content": "')
    for _ in range(1_000_000):
        stream.feed(b"x")
    stream.feed(b'"}}]}\n\ndata: [DONE]\n')

    assert len(stream.answer().text) == 1_000_000


def test_the_first_token_is_the_first_text() -> None:
    """An opening event without text is not the first token."""
    stream = Stream()
    stream.feed(b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n')
    assert not stream.begun
    stream.feed(b'data: {"choices": [{"delta": {"content": "x"}}]}\n')
    assert stream.begun


def test_a_torn_stream_is_no_answer() -> None:
    """Half an answer is not scored as if it were whole."""
    stream = Stream()
    stream.feed(b'data: {"choices": [{"delta": {"content": "half of"}}]}\n\n')

    assert stream.answer().unscored == "torn_stream"


def test_an_error_in_a_stream_is_no_answer() -> None:
    """A server that breaks down while it streams says so in an event."""
    stream = Stream()
    stream.feed(b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: {"error": {"message": "oom"}}\n\n')

    assert stream.answer().unscored == "malformed_answer"
