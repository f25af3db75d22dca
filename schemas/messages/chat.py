"""Messages of any dialect as one chat, in OpenAI's form, with what that form cannot carry named beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from schemas.messages.anthropic import KEYED as BEDROCK
from schemas.messages.anthropic import KEYED_RESULTS as BEDROCK_RESULTS
from schemas.messages.anthropic import PARTS as ANTHROPIC
from schemas.messages.anthropic import RESULTS as ANTHROPIC_RESULTS
from schemas.messages.anthropic import is_hosted
from schemas.messages.gemini import KEYED as GEMINI
from schemas.messages.gemini import KEYED_RESULTS as GEMINI_RESULTS
from schemas.messages.langchain import of_langchain
from schemas.messages.openai import PARTS as OPENAI
from schemas.messages.openai import calls_of, is_item, is_output, item, single_call
from schemas.messages.openinference import of_openinference
from schemas.messages.otel import PARTS as OTEL
from schemas.messages.otel import RESULTS as OTEL_RESULTS
from schemas.messages.parts import Call, Other, Part, Piece, Result, Text, json_text, name_of, words

Chat = list[dict[str, Any]]
"""OpenAI / TRL conversational messages: `{"role", "content", "tool_calls"?, "tool_call_id"?, "name"?}`; arguments of
calls are text or objects, as they came."""


class Conversation(Struct, frozen=True):
    """Messages, read."""

    chat: Chat
    left_out: frozenset[str] = frozenset()
    """Kinds of what the chat does not hold although it was said: `image`, `audio`, `hosted_tool`, `unknown`, …
    (`parts.Other`). What a model thought is not said."""
    refused: bool = False
    """Whether a model said, in a field of its own, that it will not answer."""


ROLES = {
    "developer": "system", "model": "assistant", "ai": "assistant", "gpt": "assistant", "human": "user",
    "function": "tool",
}  # fmt: skip
"""Roles under other names."""
_SPEAKERS = ("system", "user", "assistant")
"""Whose messages need nothing but a text."""
_PARTS = {**OTEL, **ANTHROPIC, **OPENAI}
_RESULTS = {**OTEL_RESULTS, **ANTHROPIC_RESULTS}
_KEYED = {**BEDROCK, **GEMINI}
_KEYED_RESULTS = {**BEDROCK_RESULTS, **GEMINI_RESULTS}


def parse(messages_json: str | None) -> Chat:
    """The messages of a lake row (a JSON column) in chat form; an absent column is no messages."""
    return read(messages_json).chat


def to_chat(messages: Any) -> Chat:
    """Messages in chat form, whichever dialect they came in."""
    return read_messages(messages).chat


def read(messages_json: str | None) -> Conversation:
    """The messages of a lake row. Raises nothing for what an archived event holds."""
    return read_messages(msgspec.json.decode(messages_json)) if messages_json else Conversation([])


def read_messages(messages: Any) -> Conversation:
    """Messages that are decoded already. What is no message is `unknown`; a text alone is the user's."""
    chat: Chat = []
    left_out: set[str] = set()
    refused = odd = False
    for message in _listed(messages):
        if (
            type(message) is dict
            and len(message) == 2
            and type(message.get("content")) is str
            and message.get("role") in _SPEAKERS
        ):  # in chat form as it stands, as nearly all are
            chat.append(message)
            continue
        odd = True
        pieces = _append(chat, message)
        left_out.update(piece.kind for piece in pieces if isinstance(piece, Other))
        refused = refused or any(isinstance(piece, Text) and piece.refusal for piece in pieces)
    if odd:
        _pair(chat)
    return Conversation(chat, frozenset(left_out), refused)


def text_of(messages: Chat, role: str | None = None) -> str:
    """All text of the messages (of one role, if given), joined by line breaks."""
    texts = [message.get("content") or "" for message in messages if role in {None, message["role"]}]
    return "\n".join(text for text in texts if text)


def last_text(messages: Chat, role: str) -> str:
    """The text of the last message of a role; empty where there is none."""
    return next((message.get("content") or "" for message in reversed(messages) if message["role"] == role), "")


def pieces_of(content: Any) -> list[Piece]:
    """What content says: a text, a part, or a list of either."""
    if isinstance(content, list):
        return [piece for part in content for piece in (_part(part) if isinstance(part, Mapping) else words(part))]
    return _part(content) if isinstance(content, Mapping) else words(content)


def _listed(messages: Any) -> list[Any]:
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return messages if isinstance(messages, list) else [messages]


def _append(chat: Chat, message: Any) -> list[Piece]:
    """Add what a message says to the chat; its pieces."""
    if isinstance(message, str):
        message = {"role": "user", "content": message}
    if not isinstance(message, Mapping):
        return [Other("unknown")]
    message = of_openinference(message) or message
    message = of_langchain(message) or message
    if isinstance(message.get("from"), str) and "value" in message:  # ShareGPT's, in files
        message = {"role": message["from"], "content": message["value"]}
    if is_item(message):
        return _append_item(chat, message)
    role = name_of(message.get("role")) or ("user" if "parts" in message else "")
    if not role:
        return [Other("unknown")]
    pieces = _pieces(message)
    _append_turn(chat, ROLES.get(role, role), message, pieces)
    return pieces


def _pieces(message: Part) -> list[Piece]:
    pieces = [*pieces_of(message.get("content")), *pieces_of(message.get("parts"))]
    pieces += [Text(text, refusal=True)] if isinstance(text := message.get("refusal"), str) and text else []
    known = {piece.id for piece in pieces if isinstance(piece, Call) and piece.id}  # LangChain has them in both places
    pieces += [
        piece for piece in calls_of(message.get("tool_calls")) if not (isinstance(piece, Call) and piece.id in known)
    ]
    pieces += single_call(message.get("function_call"))
    if isinstance(audio := message.get("audio"), Mapping):
        said = any(isinstance(piece, Text) for piece in pieces)
        pieces += [*([] if said else words(audio.get("transcript"))), Other("audio")]
    if message.get("images"):  # Ollama's
        pieces.append(Other("image"))
    return pieces


def _append_item(chat: Chat, message: Part) -> list[Piece]:
    """An item of the Responses API: a tool's answer is a message, a call belongs to the turn before it."""
    if is_output(message):
        results = _result(message.get("output"), name_of(message.get("call_id")), "")
        _append_turn(chat, "tool", {}, results)
        return results
    pieces = item(message)
    calls = [_to_call(piece) for piece in pieces if isinstance(piece, Call)]
    if calls and chat and chat[-1]["role"] == "assistant":
        chat[-1]["tool_calls"] = [*chat[-1].get("tool_calls", []), *calls]
    elif calls:
        chat.append({"role": "assistant", "content": "", "tool_calls": calls})
    return pieces


def _append_turn(chat: Chat, role: str, message: Part, pieces: Sequence[Piece]) -> None:
    """One message may hold several answers of tools: each is a message of its own, before what is said beside them."""
    results = [piece for piece in pieces if isinstance(piece, Result)]
    text = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    calls = [_to_call(piece) for piece in pieces if isinstance(piece, Call)]
    for result in results:
        beside = text if role == "tool" and result is results[-1] else ""
        chat.append(_named({"role": "tool", "content": result.text + beside}, result.name, result.id))
    if results and (role == "tool" or not (text or calls)):
        return
    said: dict[str, Any] = _named({"role": role, "content": text}, name_of(message.get("name")), "")
    if calls:
        said["tool_calls"] = calls
    if id_ := name_of(message.get("tool_call_id")):
        said["tool_call_id"] = id_
    chat.append(said)


def _named(message: dict[str, Any], name: str, id_: str) -> dict[str, Any]:
    return {**message, **({"name": name} if name else {}), **({"tool_call_id": id_} if id_ else {})}


def _to_call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _part(part: Part) -> list[Piece]:
    kind = part.get("type")
    if isinstance(kind, str):
        if kind in _RESULTS:
            id_, answer = _RESULTS[kind]
            result = part.get(answer) if part.get(answer) is not None else part.get("result")
            return _result(result, name_of(part.get(id_)), name_of(part.get("name")))
        if reader := _PARTS.get(kind):
            return reader(part)
        return [Other("hosted_tool")] if is_hosted(kind) else _unknown(part)
    for key, (id_, answer) in _KEYED_RESULTS.items():
        if isinstance(result := part.get(key), Mapping):
            return _result(result.get(answer), name_of(result.get(id_)), name_of(result.get("name")))
    readers = (reader for key, reader in _KEYED.items() if part.get(key) is not None)
    return next(readers, _unknown)(part)


def _unknown(part: Part) -> list[Piece]:
    """A part that nobody told us of: nothing if it is empty; its text, if it has any, is still a text."""
    if isinstance(text := part.get("text"), str) and text:
        return [Text(text), Other("unknown")]
    return [Other("unknown")] if any(value is not None for key, value in part.items() if key != "type") else []


def _result(answer: Any, id_: str, name: str) -> list[Piece]:
    """A tool's answer as text: of its parts where it has such, else as JSON."""
    if not (isinstance(answer, list) and answer and all(map(_is_part, answer))):
        return [Result(json_text(answer), id_, name)]
    pieces = [piece for part in answer for piece in _answered(part)]
    text = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    return [Result(text, id_, name), *(piece for piece in pieces if isinstance(piece, Other))]


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and (
        str(value.get("type")) in _PARTS or len(value.keys() & {"text", "json", *_KEYED}) > 0
    )


def _answered(part: Part) -> Iterable[Piece]:
    return [Text(json_text(part["json"]))] if "json" in part and "type" not in part else _part(part)


def _pair(chat: Chat) -> None:
    """Give calls and answers that came without an id one that joins them: by name where they have one, else in order.

    Ids are the position of the call, so that the same messages give the same chat.
    """
    waiting: list[tuple[str, str]] = []
    count = 0
    for message in chat:
        for call in message.get("tool_calls", ()):
            count += 1
            call["id"] = call["id"] or f"call_{count}"
            waiting.append((call["function"]["name"], call["id"]))
        if message["role"] != "tool":
            continue
        if id_ := message.get("tool_call_id"):
            waiting = [each for each in waiting if each[1] != id_]
        elif waiting:
            at = next((at for at, (name, _) in enumerate(waiting) if name == message.get("name")), 0)
            message["tool_call_id"] = waiting.pop(at)[1]
