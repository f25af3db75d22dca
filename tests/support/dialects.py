"""One conversation, written in every dialect: a grammar for tests that must not depend on examples somebody chose.

`conversations` draws turns; `WRITERS` is each dialect's way of writing them; `as_chat` is what every reader must find.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Turn = dict[str, Any]
"""`{"who": "user" | "system", "text"}`, `{"who": "assistant", "text", "calls": [[id, name, object]]}` or
`{"who": "tool", "answers": [[id, name, text]]}`."""

ALPHABETS = {
    "latin": "abcé ß'-", "devanagari": "दिनदानक्या ", "thai": "ป่าป้าไม่", "tamil": "கிகுதமிழ்", "han": "中国的首都是北京",
    "arabic": "مرحبا كيف", "emoji": "👍🏽👎👨‍👩‍👧", "json": '{"a":[1]}\\n"',
    "marks": "a\u0301e\u0308\u200b\u00ad\u202e\u2028\u2029\ufeff",
    "markup": "<b>[INST]</b>[/]```</think>", "spaces": " \t\u00a0\u3000",
}  # fmt: skip
"""Letters of many scripts, and signs that end lines, texts or markup where a program takes them for its own."""
texts = st.sampled_from(sorted(ALPHABETS)).flatmap(
    lambda name: st.text(st.sampled_from(sorted(set(ALPHABETS[name]))), min_size=1, max_size=12)
)
names = st.sampled_from(["search", "get_order", "send-mail", "f"])
plain_values = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(-1e9, 1e9) | texts
values = st.recursive(
    plain_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | inner.map(json.dumps),
    max_leaves=6,
)
"""JSON of any shape, and JSON within texts of JSON."""
objects = st.dictionaries(st.sampled_from(["id", "type", "role", "body", "to"]), values, max_size=3)


@st.composite
def conversations(draw: st.DrawFn, most: int = 4) -> list[Turn]:
    """Turns that a real conversation can have: every call is answered, in any order, before anybody speaks again."""
    turns: list[Turn] = [{"who": "system", "text": draw(texts)}] if draw(st.booleans()) else []
    number = 0
    for _ in range(draw(st.integers(1, most))):
        turns.append({"who": "user", "text": draw(texts)})
        calls = []
        for _ in range(draw(st.integers(0, 3))):
            number += 1
            calls.append([f"id-{number}", draw(names), draw(objects)])
        text = draw(texts) if not calls or draw(st.booleans()) else ""
        turns.append({"who": "assistant", "text": text, "calls": calls})
        if calls:
            answers = [[id_, name, draw(texts)] for id_, name, _ in draw(st.permutations(calls))]
            turns += [{"who": "tool", "answers": answers}, {"who": "assistant", "text": draw(texts), "calls": []}]
    return turns


def as_chat(turns: list[Turn]) -> list[dict[str, Any]]:
    """What every reader must find; arguments as objects, tools without their names."""
    chat: list[dict[str, Any]] = []
    for turn in turns:
        if turn["who"] == "tool":
            chat += [{"role": "tool", "content": text, "tool_call_id": id_} for id_, _, text in turn["answers"]]
            continue
        message: dict[str, Any] = {"role": turn["who"], "content": turn["text"]}
        if turn.get("calls"):
            message["tool_calls"] = [
                {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
                for id_, name, arguments in turn["calls"]
            ]
        chat.append(message)
    return chat


def bare(chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A chat that was read, in the form of `as_chat`."""
    found = []
    for message in chat:
        kept = {key: value for key, value in message.items() if key != "name"}
        if calls := kept.get("tool_calls"):
            kept["tool_calls"] = [{**call, "function": _object(call["function"])} for call in calls]
        found.append(kept)
    return found


def _object(function: dict[str, Any]) -> dict[str, Any]:
    arguments = function["arguments"]
    return {**function, "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments}


def _openai_call(id_: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def openai(turn: Turn) -> list[Any]:
    """Chat completions, as a client library dumps them."""
    if turn["who"] == "tool":
        return [{"role": "tool", "tool_call_id": id_, "content": text} for id_, _, text in turn["answers"]]
    if turn["who"] == "system":
        return [{"role": "developer", "content": [{"type": "text", "text": turn["text"]}]}]
    message = {"role": turn["who"], "content": turn["text"] or None, "refusal": None, "audio": None}
    calls = [_openai_call(*call) for call in turn.get("calls", ())]
    return [{**message, "tool_calls": calls or None}]


def responses(turn: Turn) -> list[Any]:
    """Items of the Responses API."""
    if turn["who"] == "tool":
        return [{"type": "function_call_output", "call_id": id_, "output": text} for id_, _, text in turn["answers"]]
    kind = "output_text" if turn["who"] == "assistant" else "input_text"
    items: list[Any] = [{"type": "reasoning", "summary": []}] if turn["who"] == "assistant" else []
    if turn["text"]:
        items.append({"type": "message", "role": turn["who"], "content": [{"type": kind, "text": turn["text"]}]})
    return items + [
        {"type": "function_call", "call_id": id_, "name": name, "arguments": json.dumps(arguments)}
        for id_, name, arguments in turn.get("calls", ())
    ]


def anthropic(turn: Turn) -> list[Any]:
    """Blocks of content; all answers of tools in one message of the user."""
    if turn["who"] == "tool":
        blocks = [{"type": "tool_result", "tool_use_id": id_, "content": text} for id_, _, text in turn["answers"]]
        return [{"role": "user", "content": blocks}]
    if turn["who"] == "system":
        return [{"role": "system", "content": turn["text"]}]
    said: list[Any] = [{"type": "text", "text": turn["text"]}] if turn["text"] else []
    uses = [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in turn.get("calls", ())]
    return [{"role": turn["who"], "content": [*said, *uses]}]


def bedrock(turn: Turn) -> list[Any]:
    """The same without types, as Converse has it."""
    if turn["who"] == "tool":
        blocks = [{"toolResult": {"toolUseId": i, "content": [{"text": text}]}} for i, _, text in turn["answers"]]
        return [{"role": "user", "content": blocks}]
    said = [{"text": turn["text"]}] if turn["text"] else []
    uses = [{"toolUse": {"toolUseId": i, "name": n, "input": a}} for i, n, a in turn.get("calls", ())]
    return [{"role": turn["who"], "content": [*said, *uses]}]


def gemini(turn: Turn) -> list[Any]:
    """Contents with parts."""
    if turn["who"] == "tool":
        parts: list[Any] = [
            {"functionResponse": {"id": id_, "name": name, "response": text}} for id_, name, text in turn["answers"]
        ]
        return [{"role": "user", "parts": parts}]
    parts = [{"text": turn["text"]}] if turn["text"] else []
    parts += [{"functionCall": {"id": i, "name": n, "args": a}} for i, n, a in turn.get("calls", ())]
    return [{"role": {"assistant": "model"}.get(turn["who"], turn["who"]), "parts": parts}]


def otel(turn: Turn) -> list[Any]:
    """OpenTelemetry's parts; several answers in one message."""
    if turn["who"] == "tool":
        answers = [{"type": "tool_call_response", "id": i, "response": text} for i, _, text in turn["answers"]]
        return [{"role": "tool", "parts": answers}]
    parts: list[Any] = [{"type": "text", "content": turn["text"]}] if turn["text"] else []
    parts += [{"type": "tool_call", "id": i, "name": n, "arguments": a} for i, n, a in turn.get("calls", ())]
    return [{"role": turn["who"], "parts": [*parts, {"type": "reasoning", "content": "hm"}]}]


def langchain(turn: Turn) -> list[Any]:
    """`dumps` of LangChain's messages."""

    def dumped(cls: str, **kwargs: Any) -> dict[str, Any]:
        return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", cls], "kwargs": kwargs}

    if turn["who"] == "tool":
        return [dumped("ToolMessage", content=text, tool_call_id=id_) for id_, _, text in turn["answers"]]
    cls = {"user": "HumanMessage", "system": "SystemMessage", "assistant": "AIMessage"}[turn["who"]]
    calls = [{"name": n, "args": a, "id": i, "type": "tool_call"} for i, n, a in turn.get("calls", ())]
    return [dumped(cls, content=turn["text"], tool_calls=calls, additional_kwargs={})]


def openinference(turn: Turn) -> list[Any]:
    """Attributes of spans, flat."""
    if turn["who"] == "tool":
        return [
            {"message.role": "tool", "message.content": text, "message.tool_call_id": id_}
            for id_, _, text in turn["answers"]
        ]
    message: dict[str, Any] = {"message.role": turn["who"]}
    if turn["text"]:
        message["message.contents.0.message_content.type"] = "text"
        message["message.contents.0.message_content.text"] = turn["text"]
    for place, (id_, name, arguments) in enumerate(turn.get("calls", ())):
        at = f"message.tool_calls.{place}.tool_call"
        message |= {f"{at}.id": id_, f"{at}.function.name": name, f"{at}.function.arguments": json.dumps(arguments)}
    return [message]


WRITERS: dict[str, Callable[[Turn], list[Any]]] = {
    writer.__name__: writer
    for writer in (openai, responses, anthropic, bedrock, gemini, otel, langchain, openinference)
}


@st.composite
def written(draw: st.DrawFn) -> tuple[list[Any], list[Turn]]:
    """A conversation as it was sent, each turn in a dialect of its own, and what it says."""
    turns = draw(conversations())
    return [message for turn in turns for message in WRITERS[draw(st.sampled_from(sorted(WRITERS)))](turn)], turns
