"""The bytes of a response as an answer, or as the named reason why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluate.answers import Answer, Incoming, Stream, parse
from flows.evaluate.sse import Events
from tests.support.sse import Said, streams


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


def chunk(text: Any, **choice: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}, **choice}]})


END = "data: [DONE]"
SAID = json.dumps({"choices": [{"delta": {"content": "hi"}}]}, indent=1)
FRAMES = {
    "LF": f"data: {chunk('hi')}\n\n{END}\n\n",
    "CRLF": f"data: {chunk('hi')}\r\n\r\n{END}\r\n\r\n",
    "CR": f"data: {chunk('hi')}\r\r{END}\r\r",
    "line ends of all kinds": f"data: {chunk('h')}\r\n\rdata: {chunk('i')}\n\r\n{END}\r\n\n",
    "byte order mark": f"\ufeffdata: {chunk('hi')}\n\n{END}\n\n",
    "comments": f": keep-alive\n\n:\n:data: no\ndata: {chunk('hi')}\n\n: bye\n\n{END}\n\n",
    "data in several lines": "".join(f"data: {line}\n" for line in SAID.split("\n")) + f"\n{END}\n\n",
    "data in several lines, CR": "".join(f"data:{line}\r" for line in SAID.split("\n")) + f"\r{END}\r\r",
    "no space": f"data:{chunk('hi')}\n\ndata:[DONE]\n\n",
    "other fields": f"id: 7\nevent: message\nretry: 10\nfoo: bar\nnothing\ndata: {chunk('hi')}\n\n{END}\n\n",
    "empty data": f"data\n\ndata:\n\ndata: {chunk('hi')}\n\n{END}\n\n",
    "no empty line at the end": f"data: {chunk('hi')}\n\n{END}\n",
    "no line end at the end": f"data: {chunk('hi')}\n\n{END}",
    "no end mark but a reason": f"data: {chunk('hi', finish_reason='stop')}",
    "no empty lines at all": f"data: {chunk('h')}\ndata: {chunk('i')}\n{END}\n",
}


@pytest.mark.parametrize("name", FRAMES)
@given(st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=40)
def test_a_stream_is_framed_by_the_standard(name: str, cuts: list[int]) -> None:
    """Each way of ending lines, events and streams, cut anywhere: docs/evaluation.md has the table."""
    whole, stream = FRAMES[name].encode(), Stream()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(whole)], strict=True):
        stream.feed(whole[start:end])

    assert (stream.answer().text, stream.answer().unscored) == ("hi", None)


def test_the_conformance_table_is_what_is_tested() -> None:
    """Every frame above stands in the documentation, under its name."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "evaluation.md").read_text()

    assert [name for name in FRAMES if f"| {name} |" not in page] == []


@given(
    st.lists(
        st.sampled_from([b"data: {}", b"data:", b"da", b"ta: 1", b"\r", b"\n", b":", b" ", b"event: x"]), max_size=30
    )
)
@settings(max_examples=200)
def test_where_a_stream_is_cut_changes_no_event(parts: list[bytes]) -> None:
    """Whole, byte by byte, or as it happens to come: the same events."""
    events = []
    for cut in (parts, [b"".join(parts)], [bytes([letter]) for letter in b"".join(parts)]):
        reader = Events()
        events.append([event for part in cut for event in reader.feed(part)] + list(reader.end()))

    assert events[0] == events[1] == events[2]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": 429, "message": "slow down"}, "rate_limited"),
        ({"code": "503"}, "server_error"),
        ({"code": 400, "message": "no such model"}, "refused"),
        ({"type": "overloaded_error", "message": "Overloaded"}, "server_error"),
        ({"status": "RESOURCE_EXHAUSTED"}, "rate_limited"),
        ({"message": "Rate limit reached for requests"}, "rate_limited"),
        ("upstream timed out", "server_error"),
        ({"code": None, "type": "invalid_request_error"}, "refused"),
        ({"message": "no"}, "malformed_answer"),
    ],
    ids=str,
)
def test_an_error_is_an_error_wherever_it_stands(error: Any, reason: str) -> None:
    """In a body, in a choice, in a chunk, in a chunk's choice: one name, by status or by its words."""
    inside = {"error": error, "message": {"role": "assistant", "content": ""}, "finish_reason": "error"}

    assert parse(json.dumps({"error": error}).encode()).unscored == reason
    assert parse(json.dumps({"choices": [inside]}).encode()).unscored == reason
    for event in ({"error": error, "choices": []}, {"choices": [{**inside, "delta": {"content": ""}}]}):
        stream = Stream()
        stream.feed(f"data: {chunk('half')}\n\ndata: {json.dumps(event)}\n\n{END}\n\n".encode())
        assert stream.answer().unscored == reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"object": "error", "message": "engine dead", "code": 500}, "server_error"),
        ({"type": "error", "error": {"type": "rate_limit_error"}}, "rate_limited"),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "error"}]}, "server_error"),
    ],
)
def test_errors_in_forms_of_their_own(content: Any, reason: str) -> None:
    """What no `error` field says, and what is an error nonetheless: never an empty answer that is scored 0."""
    assert parse(json.dumps(content).encode()).unscored == reason


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS"])
def test_an_answer_that_was_cut_off_is_not_judged(reason: str) -> None:
    """In a body and in a stream: what the model would have said is not known, and the limit is named."""
    whole = {"choices": [{"message": {"content": "The refund takes"}, "finish_reason": reason}]}
    last = {"choices": [{"delta": {}, "finish_reason": reason}]}
    answers = [
        parse(json.dumps(whole).encode()),
        streamed({"choices": [{"delta": {"content": "The refund takes"}}]}, last),
    ]

    assert [answer.unscored for answer in answers] == ["cut_short"] * 2
    assert all("max_tokens" in answer.detail and "The refund takes" in answer.detail for answer in answers)


def test_an_event_that_is_called_an_error_is_one() -> None:
    """The field `event` says so, whatever its data looks like."""
    stream = Stream()
    stream.feed(b'event: error\ndata: {"message": "Internal"}\n\ndata: [DONE]\n\n')

    assert stream.answer().unscored == "server_error"


def streamed(*events: Any) -> Answer:
    """The answer of a stream of these events."""
    stream = Stream()
    for event in events:
        stream.feed(f"data: {json.dumps(event)}\n\n".encode())
    stream.feed(b"data: [DONE]\n\n")
    return stream.answer()


def delta(*calls: Any, **fields: Any) -> Any:
    return {"choices": [{"delta": {"tool_calls": list(calls), **fields}, "error": None}], "error": None, "usage": None}


def part(arguments: Any, name: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments, **({"name": name} if name else {})}, **fields}


@pytest.mark.parametrize(
    "events",
    [
        [delta(part('{"n":1}', "f", id="a"), part('{"n":2}', "g", id="b"))],
        [delta(part('{"n":1}', "f", id="a", index=0)), delta(part('{"n":2}', "g", id="b", index=0))],
        [delta(part("", "f", id="a")), delta(part('{"n":1}')), delta(part("", "g", id="b")), delta(part('{"n":2}'))],
        [delta(part('{"n"', "f", id="a", index=0)), delta(part('{"n"', "g", id="b", index=1)),
         delta(part(":1}", index=0)), delta(part(":2}", index=1))],
        [delta(part('{"n"', "f", id="a")), delta(part('{"n"', "g", id="b")), delta(part(":1}", id="a")),
         delta(part(":2}", id="b"))],
        [delta(part('{"n"', "f", id="a", index="0")), delta(part(":1}", id=None, index=0)),
         delta(part({"n": 2}, "g", id="b", index=None))],
    ],
    ids=["no index", "one index", "no index, in pieces", "by index", "by id", "of all kinds"],
)  # fmt: skip
def test_parallel_calls_are_told_apart(events: list[Any]) -> None:
    """By index, by id, by both or by neither: two calls, each with its own arguments."""
    found = [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in streamed(*events).tool_calls
    ]

    assert found == [("a", "f", '{"n":1}'), ("b", "g", '{"n":2}')]


def test_calls_without_any_mark_are_told_apart_when_whole() -> None:
    """Neither id nor index: a new name behind complete arguments begins another call; a name told twice does not."""
    whole = streamed(delta(part('{"n":1}', "f")), delta(part('{"n":2}', "f")))
    pieces = streamed(delta(part('{"n"', "f")), delta(part(":1}", "f")))

    assert [call["function"]["arguments"] for call in whole.tool_calls] == ['{"n":1}', '{"n":2}']
    assert [call["function"]["arguments"] for call in pieces.tool_calls] == ['{"n":1}']


@pytest.mark.parametrize(
    "events",
    [
        [{"choices": None, "usage": {"prompt_tokens": 1}}, {"choices": [{"delta": {"content": "A"}}]}],
        [{"choices": [{"delta": None}]}, {"choices": [{"delta": {"content": "A", "tool_calls": None}}], "error": None}],
        [{"choices": [{"index": n, "delta": {"content": text}}]} for n, text in ((0, "A"), (1, "B"), (2, "C"))],
        [{"choices": [{"index": 1, "delta": {}}]}, {"choices": [{"index": 1, "delta": {"content": "A"}}]}],
        [{"choices": [{"delta": {"content": [{"type": "text", "text": "A"}]}}]}],
        [
            {"choices": [{"delta": {"content": [{"type": "thinking", "thinking": "hm"}]}}]},
            {"choices": [{"delta": {"content": "A"}}]},
        ],
        [{"choices": [{"delta": {"content": {"type": "output_text", "text": "A"}}}]}],
        [{"choices": [{"message": {"content": "A"}}]}],
        [{"choices": [{"delta": {"refusal": "A", "content": None}}]}],
    ],
    ids=str,
)
def test_null_is_absent_and_forms_of_content_are_one(events: list[Any]) -> None:
    """What one server leaves out another says with null; lists, parts and refusals are read as in bodies."""
    assert (streamed(*events).output, streamed(*events).unscored) == ("A", None)


@pytest.mark.parametrize(
    ("message", "output", "calls"),
    [
        ({"content": [{"type": "text", "text": None}, {"type": "text", "text": "A"}]}, "A", 0),
        ({"content": [{"type": "output_text", "text": "A"}], "tool_calls": None, "refusal": None}, "A", 0),
        ({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, None, 1),
        ({"content": None, "tool_calls": [{"type": "custom", "custom": {"name": "sh", "input": "ls"}}]}, None, 1),
        ({"content": "", "refusal": "A"}, "A", 0),
        ({"content": None, "audio": {"transcript": "A"}}, "A", 0),
    ],
    ids=str,
)
def test_a_body_is_read_in_every_form(message: Any, output: str | None, calls: int) -> None:
    """What a chat message may be, an answer may be."""
    answer = parse(json.dumps({"error": None, "choices": [{"index": 0, "message": message, "error": None}]}).encode())

    assert (answer.unscored, answer.output, len(answer.tool_calls)) == (None, output, calls)
    assert (
        parse(
            json.dumps(
                {"choices": [{"index": 1, "message": {"content": "B"}}, {"index": 0, "message": {"content": "A"}}]}
            ).encode()
        ).text
        == "A"
    )


BODY = json.dumps({"choices": [{"message": {"content": "hi"}}]})


@pytest.mark.parametrize(
    ("content_type", "sent", "text", "reason"),
    [
        ("text/event-stream", BODY, "hi", None),
        ("text/event-stream", f"\ufeff \n{BODY}", "hi", None),
        ("text/plain", FRAMES["LF"], "hi", None),
        ("application/json", FRAMES["comments"], "hi", None),
        ("application/octet-stream", FRAMES["CR"], "hi", None),
        ("text/plain", BODY, "hi", None),
        ("", BODY, "hi", None),
        ("text/event-stream", "<html>busy</html>", "", "not_json"),
        ("text/plain", "data: {half", "", "torn_stream"),
        ("text/event-stream", "", "", "not_json"),
    ],
)  # fmt: skip
def test_a_content_type_that_lies_is_seen_through_or_named(
    content_type: str, sent: str, text: str, reason: str | None
) -> None:
    """The bytes say what they are; where they say nothing, the reason names the content type."""
    for size in (1, 7, 10_000):
        incoming = Incoming(content_type)
        for start in range(0, len(sent.encode()), size):
            incoming.feed(sent.encode()[start : start + size])
        answer = incoming.answer()
        assert (answer.text, answer.unscored) == (text, reason)
        assert reason is None or content_type in answer.detail


def test_an_empty_line_behind_a_cut_line_end_is_an_empty_line() -> None:
    """CR, LF, LF in three pieces: one end of a line, then an empty line (found by the fuzzer)."""
    for parts in ([b"data: 1\r\n\ndata: 2\r\n\n"], [bytes([letter]) for letter in b"data: 1\r\n\ndata: 2\r\n\n"]):
        reader = Events()
        assert [event.data for part in parts for event in reader.feed(part)] == [b"1", b"2"]


def test_a_stream_that_is_cut_in_an_event_is_torn() -> None:
    """Half a chunk at the end is a torn stream, to be tried again; half a chunk in the middle is nonsense."""
    cut, broken = Stream(), Stream()
    cut.feed(f"data: {chunk('hi')}\n\ndata: {chunk('ho')[:-9]}".encode())
    broken.feed(f"data: {chunk('hi')[:-9]}\n\n{END}\n\n".encode())

    assert (cut.answer().unscored, broken.answer().unscored) == ("torn_stream", "malformed_answer")


@given(streams())
@settings(max_examples=150, deadline=None)
def test_a_stream_says_what_was_said(drawn: tuple[list[bytes], Said]) -> None:
    """Any text in any script, any calls, framed and cut in any way: the answer is what went in."""
    chunks, (text, calls) = drawn
    for reader in (Stream(), Incoming("text/event-stream"), Incoming("text/plain")):
        for part in chunks:
            reader.feed(part)
        answer = reader.answer()
        found = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in answer.tool_calls]
        assert (answer.unscored, answer.text, found) == (None, text, calls)
