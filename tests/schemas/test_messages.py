"""Messages of every dialect are read as one chat, and what a chat cannot carry has a name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.testing.events import interaction
from schemas.messages import last_text, parse, read, text_of, to_chat
from schemas.rows import fields_of, row
from tests.support.dialects import WRITERS, Turn, as_chat, bare, conversations, written

INTERACTION = "llm.interaction.v1"


def _readable(value: Any) -> str:
    """A name of a case that is the same in every process: sets have no order of their own."""
    return str(sorted(value) if isinstance(value, set) else value)


def call(id_: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {})}


def tool(text: str, id_: str, **more: str) -> dict[str, Any]:
    return {"role": "tool", "content": text, **more, "tool_call_id": id_}


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
WHOLE: dict[str, tuple[list[Any], list[dict[str, Any]]]] = {
    "openai chat": (
        [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Weather in "}, {"type": "text", "text": "Oslo?"}]},
            {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call("a", "w", '{"c":"Oslo"}')]},
            {"role": "tool", "content": "rain", "tool_call_id": "a"},
            {"role": "assistant", "content": "Rain.", "annotations": [], "audio": None, "function_call": None},
        ],
        [
            {"role": "system", "content": "Be kind."},
            user("Weather in Oslo?"),
            said("", call("a", "w", '{"c":"Oslo"}')),
            tool("rain", "a"),
            said("Rain."),
        ],
    ),
    "openai's calls of old": (
        [
            user("Weather?"),
            {"role": "assistant", "content": None, "function_call": {"name": "w", "arguments": "{}"}},
            {"role": "function", "name": "w", "content": "rain"},
        ],
        [user("Weather?"), said("", call("call_1", "w", "{}")), tool("rain", "call_1", name="w")],
    ),
    "responses": (
        [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Both?"}]},
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}", "id": "fc_1"},
            {"type": "function_call", "call_id": "y", "name": "g", "arguments": '{"n":1}'},
            {"type": "function_call_output", "call_id": "y", "output": "2"},
            {"type": "function_call_output", "call_id": "x", "output": [{"type": "output_text", "text": "1"}]},
        ],
        [
            user("Both?"),
            said("I look.", call("x", "f", "{}"), call("y", "g", '{"n":1}')),
            tool("2", "y"),
            tool("1", "x"),
        ],
    ),
    "anthropic": (
        [
            {"role": "user", "content": [{"type": "text", "text": "Two cities"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "secret", "signature": "s"},
                    {"type": "text", "text": "Looking."},
                    {"type": "tool_use", "id": "t1", "name": "w", "input": {"c": "Rome"}},
                    {"type": "tool_use", "id": "t2", "name": "w", "input": {"c": "Bonn"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "wet"}]},
                    {"type": "tool_result", "tool_use_id": "t1", "content": "dry", "is_error": False},
                    {"type": "text", "text": "So?"},
                ],
            },
        ],
        [
            user("Two cities"),
            said("Looking.", call("t1", "w", {"c": "Rome"}), call("t2", "w", {"c": "Bonn"})),
            tool("wet", "t2"),
            tool("dry", "t1"),
            user("So?"),
        ],
    ),
    "bedrock": (
        [
            {"role": "user", "content": [{"text": "Hi"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "b", "name": "f", "input": {"k": 1}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "b", "content": [{"json": {"v": 2}}]}}]},
        ],
        [user("Hi"), said("", call("b", "f", {"k": 1})), tool('{"v":2}', "b")],
    ),
    "gemini": (
        [
            {"role": "user", "parts": [{"text": "Time in "}, {"text": "Lima?"}]},
            {
                "role": "model",
                "parts": [
                    {"text": "thinking aloud", "thought": True},
                    {"functionCall": {"name": "clock", "args": {"city": "Lima"}}, "thoughtSignature": "x"},
                ],
            },
            {"role": "function", "parts": [{"functionResponse": {"name": "clock", "response": {"h": 9}}}]},
            {"role": "model", "parts": [{"text": "Nine."}]},
        ],
        [
            user("Time in Lima?"),
            said("", call("call_1", "clock", {"city": "Lima"})),
            tool('{"h":9}', "call_1", name="clock"),
            said("Nine."),
        ],
    ),
    "opentelemetry": (
        [
            {"role": "user", "parts": [{"type": "text", "content": "Both"}]},
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "secret"},
                    {"type": "tool_call", "id": "a", "name": "f", "arguments": {"n": 1}},
                    {"type": "tool_call", "id": "b", "name": "f", "arguments": {"n": 2}},
                ],
                "finish_reason": "tool_call",
            },
            {
                "role": "tool",
                "parts": [
                    {"type": "tool_call_response", "id": "a", "response": "one"},
                    {"type": "tool_call_response", "id": "b", "result": {"two": 2}},
                ],
            },
        ],
        [
            user("Both"),
            said("", call("a", "f", {"n": 1}), call("b", "f", {"n": 2})),
            tool("one", "a"),
            tool('{"two":2}', "b"),
        ],
    ),
    "langchain dumps": (
        [
            {"lc": 1, "type": "constructor", "id": ["langchain", "SystemMessage"], "kwargs": {"content": "S"}},
            {"lc": 1, "type": "constructor", "id": ["x", "HumanMessage"], "kwargs": {"content": "Q", "type": "human"}},
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "schema", "messages", "AIMessageChunk"],
                "kwargs": {
                    "content": [{"type": "tool_use", "id": "l", "name": "f", "input": {"a": 1}}],
                    "tool_calls": [{"name": "f", "args": {"a": 1}, "id": "l", "type": "tool_call"}],
                },
            },
            {"lc": 1, "type": "constructor", "id": ["ToolMessage"], "kwargs": {"content": "R", "tool_call_id": "l"}},
        ],
        [{"role": "system", "content": "S"}, user("Q"), said("", call("l", "f", {"a": 1})), tool("R", "l")],
    ),
    "langchain dicts": (
        [
            {"type": "human", "data": {"content": "Q", "additional_kwargs": {}}},
            {"type": "ai", "data": {"content": "", "additional_kwargs": {"tool_calls": [call("o", "f", "{}")]}}},
            {"type": "tool", "content": "R", "tool_call_id": "o", "name": "f"},
            {"type": "ai", "content": "A", "tool_calls": [], "invalid_tool_calls": []},
        ],
        [user("Q"), said("", call("o", "f", "{}")), tool("R", "o", name="f"), said("A")],
    ),
    "openinference": (
        [
            {"message.role": "user", "message.contents": [{"message_content.text": "Q"}]},
            {
                "message.role": "assistant",
                "message.tool_calls": [
                    {"tool_call.id": "i", "tool_call.function.name": "f", "tool_call.function.arguments": "{}"}
                ],
            },
            {"message": {"role": "tool", "content": "R", "tool_call_id": "i"}},
            {"message.role": "assistant", "message.contents.0.message_content.text": "A",
             "message.contents.0.message_content.type": "text"},
        ],
        [user("Q"), said("", call("i", "f", "{}")), tool("R", "i"), said("A")],
    ),
    "choices": (
        [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A"}}],
        [said("A")],
    ),
    "texts": (["Q", {"role": "assistant", "content": ["a", "b", None]}], [user("Q"), said("ab")]),
}  # fmt: skip


@pytest.mark.parametrize("dialect", WHOLE)
def test_a_dialect_is_read_as_a_chat(dialect: str) -> None:
    """Roles, texts, calls and answers are where trainers and endpoints look for them; thoughts are said to nobody."""
    messages, expected = WHOLE[dialect]

    found = read(json.dumps(messages))

    assert found.chat == expected
    assert (found.left_out, found.refused) == (frozenset(), False)
    assert to_chat(found.chat) == found.chat, "a chat is read as itself"


@pytest.mark.parametrize(
    ("content", "text", "kinds"),
    [
        ([{"type": "text", "text": None}, {"type": "text", "text": "hi"}], "hi", set()),
        ([{"type": "text", "content": None}, {"type": "text", "content": "hi"}], "hi", set()),
        ([{"type": "text", "text": {"value": "hi", "annotations": []}}], "hi", set()),
        ([{"type": "text", "text": {"odd": 1}}, {"type": "text", "text": "hi"}], "hi", {"unknown"}),
        ([{"type": "text", "content": [1]}, "hi"], "hi", {"unknown"}),
        ([None, {"text": None}, {}, "hi"], "hi", set()),
        ({"type": "text", "text": "hi"}, "hi", set()),
        (42, "42", set()),
        (None, "", set()),
        ([IMAGE, {"type": "text", "text": "hi"}], "hi", {"image"}),
        ([{"type": "input_image", "image_url": "x"}, {"type": "input_text", "text": "hi"}], "hi", {"image"}),
        ([{"type": "image", "source": {"type": "base64", "data": "AA"}}], "", {"image"}),
        ([{"type": "input_audio", "input_audio": {"data": "AA"}}, "hi"], "hi", {"audio"}),
        ([{"type": "output_audio", "transcript": "hi", "audio": "AA"}], "hi", {"audio"}),
        ([{"type": "input_file", "file_id": "f"}, "hi"], "hi", {"file"}),
        ([{"type": "document", "source": {}}, {"type": "text", "text": "hi"}], "hi", {"file"}),
        ([{"inlineData": {"mimeType": "video/mp4", "data": "A"}}, {"text": "hi"}], "hi", {"video"}),
        ([{"file_data": {"mime_type": "application/pdf"}}, {"text": "hi"}], "hi", {"file"}),
        ([{"type": "blob", "modality": "image", "content": "A"}], "", {"image"}),
        ([{"type": "uri", "mime_type": "audio/wav", "uri": "x"}, {"type": "text", "content": "hi"}], "hi", {"audio"}),
        ([{"type": "server_tool_use", "id": "s"}, {"type": "web_search_tool_result"}, "hi"], "hi", {"hosted_tool"}),
        ([{"executableCode": {"code": "1"}}, {"text": "hi"}], "hi", {"hosted_tool"}),
        ([{"type": "hologram", "data": 1}, "hi"], "hi", {"unknown"}),
        ([{"type": "markdown", "text": "hi"}], "hi", {"unknown"}),
    ],
    ids=_readable,
)
def test_text_is_text_and_the_rest_has_a_name(content: Any, text: str, kinds: set[str]) -> None:
    """Null says nothing, an object is never its Python form, and what a chat cannot carry is named."""
    found = read(json.dumps([{"role": "user", "content": content}]))

    assert found.chat == [user(text)]
    assert found.left_out == kinds


@pytest.mark.parametrize(
    ("message", "text", "kinds"),
    [
        ({"role": "assistant", "content": None, "refusal": "I will not."}, "I will not.", set()),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]}, "I will not.", set()),
        ({"type": "ai", "content": "", "additional_kwargs": {"refusal": "I will not."}}, "I will not.", set()),
    ],
)
def test_a_refusal_is_a_refusal(message: dict[str, Any], text: str, kinds: set[str]) -> None:
    """What is said in refusing is the answer, and it is known to be one."""
    found = read(json.dumps([message]))

    assert (last_text(found.chat, "assistant"), found.refused, found.left_out) == (text, True, kinds)


@pytest.mark.parametrize(
    ("message", "chat", "kinds"),
    [
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "custom": {"name": "sh", "input": "ls"}}]},
            [said("", call("c", "sh", {"input": "ls"}))],
            {"custom_tool"},
        ),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"},
            [said("", call("c", "sql", {"input": "select 1"}))],
            {"custom_tool"},
        ),
        ({"type": "web_search_call", "id": "w", "status": "completed"}, [], {"hosted_tool"}),
        ({"type": "image_generation_call", "result": "AAAA"}, [], {"image", "hosted_tool"}),
        ({"type": "item_reference", "id": "i"}, [], {"unknown"}),
        ({"role": "assistant", "audio": {"id": "a", "transcript": "Hello"}}, [said("Hello")], {"audio"}),
        ({"role": "user", "content": "see", "images": ["AAAA"]}, [user("see")], {"image"}),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": None}}, None, "odd"]},
         [said("", call("call_1", "f", ""))], {"unknown"}),
        ({"role": "assistant", "tool_calls": [{"id": None, "function": {"name": "f", "arguments": {"a": 1}}}]},
         [said("", call("call_1", "f", {"a": 1}))], set()),
        ({"content": "nobody's"}, [], {"unknown"}),
        (7, [], {"unknown"}),
    ],
    ids=_readable,
)  # fmt: skip
def test_calls_and_items_of_other_kinds(message: Any, chat: list[Any], kinds: set[str]) -> None:
    """What is shown in the chat although the chat cannot say all of it, and what is not shown at all."""
    found = read(json.dumps([message]))

    assert (found.chat, found.left_out) == (chat, kinds)


def test_answers_without_ids_find_their_calls() -> None:
    """By name where they have one, else in order; an id that is there is left alone."""
    messages = [
        {"role": "model", "parts": [{"functionCall": {"name": n, "args": {}}} for n in ("f", "g", "f")]},
        {"role": "user", "parts": [{"functionResponse": {"name": n, "response": n}} for n in ("g", "f", "f")]},
    ]

    ids = [message.get("tool_call_id") for message in to_chat(messages)]

    assert ids == [None, "call_2", "call_1", "call_3"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    "role", "type", "content", "parts", "text", "refusal", "tool_calls", "function_call", "function", "name",
    "arguments", "input", "id", "call_id", "tool_call_id", "output", "message", "message.role", "data", "kwargs",
    "functionCall", "functionResponse", "toolUse", "toolResult", "inlineData", "audio", "images", "thought",
)  # fmt: skip
WORDS = (
    "user", "model", "ai", "tool", "human", "text", "tool_use", "tool_result", "tool_call", "tool_call_response",
    "refusal", "image_url", "blob", "function_call", "function_call_output", "constructor", "custom", "thinking",
)  # fmt: skip
hostile = st.recursive(
    json_values | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None)
@given(st.lists(hostile, max_size=4))
def test_no_message_stops_the_reader(messages: list[Any]) -> None:
    """Whatever stands where, the chat is one that every trainer can take, and reading it again changes nothing."""
    found = read(json.dumps(messages))

    for message in found.chat:
        assert isinstance(message["role"], str)
        assert message["role"]
        assert isinstance(message["content"], str)
        assert message.keys() <= {"role", "content", "name", "tool_calls", "tool_call_id"}
        for each in message.get("tool_calls", []):
            assert isinstance(each["function"]["arguments"], str | dict)
            assert each["id"]
    assert "None" not in text_of(found.chat) or "None" in json.dumps(messages)
    assert to_chat(found.chat) == found.chat
    assert parse(msgspec.json.encode(messages).decode()) == found.chat


@pytest.mark.parametrize("dialect", WRITERS)
@settings(max_examples=60, deadline=None)
@given(turns=conversations())
def test_one_conversation_in_every_dialect_is_one_chat(dialect: str, turns: list[Turn]) -> None:
    """Whoever writes it down, in whatever script, with JSON in texts of JSON: the same roles, texts, calls, answers."""
    messages = [message for turn in turns for message in WRITERS[dialect](turn)]

    found = read(json.dumps(messages))

    assert bare(found.chat) == as_chat(turns)
    assert (found.left_out, found.refused) == (frozenset(), False)


@settings(max_examples=100, deadline=None)
@given(written())
def test_dialects_may_be_mixed_and_are_archived_to_the_letter(sent: tuple[list[Any], list[Turn]]) -> None:
    """A conversation that wandered from one framework to another is accepted, kept as it was sent, and read."""
    messages, turns = sent
    event = {**msgspec.to_builtins(interaction(1)), "input_messages": messages, "output_messages": messages}

    kept = dict(zip(fields_of(INTERACTION), row(json.dumps(event).encode(), INTERACTION), strict=True))

    assert json.loads(bytes(kept["input_messages"])) == messages
    assert bare(read(bytes(kept["input_messages"]).decode()).chat) == as_chat(turns)
