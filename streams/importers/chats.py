"""Public chat data sets (WildChat, LMSYS-Chat-1M, ShareGPT): each answer of a conversation becomes an interaction.

Its request is all that was said before. A flag of OpenAI's moderation is a verdict on the message that it is about.
Go on to `importer.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from llm_flywheel.events import MAX_MESSAGES
from streams.importers.index import Index
from streams.importers.made import (
    FEEDBACK,
    INTERACTION,
    Format,
    Left,
    Options,
    Outcome,
    Row,
    event,
    name,
    own_id,
    time_of,
)

SOURCE = "chats"
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
            "bard": "assistant", "system": "system"}  # fmt: skip


def read(row: Row, options: Options, _: Index) -> Iterator[Outcome]:
    """Events of one conversation."""
    said = row.get("conversation") or row.get("conversations") or row.get("messages")
    if not isinstance(said, list):
        yield Left("unknown_row")
        return
    turns = [_turn(each) for each in said]
    key = row.get("conversation_hash") or row.get("conversation_id") or row.get("id") or str(said)
    time = time_of(row.get("timestamp") or row.get("tstamp"), options.time)
    if time is None:
        yield Left("no_time")
        return
    answers = 0
    for at, turn in enumerate(turns):
        if turn["role"] != "assistant" or not at:
            continue
        answers += 1
        if at > MAX_MESSAGES:  # each answer holds all that was said before: a longer one is refused, and not made
            yield Left(f"invalid_field: {at} messages before the answer; {MAX_MESSAGES} are taken")
            continue
        yield from _answer(row, options, str(key), turns[: at + 1], said[at], time)
    if not answers:
        yield Left("no_messages")


CHATS = Format(read)


def _turn(each: Any) -> dict[str, Any]:
    if not isinstance(each, Mapping):
        return {"role": "user", "content": str(each)}
    role = SPEAKERS.get(str(each.get("role") or each.get("from")).lower(), "user")
    content = each["content"] if "content" in each else each.get("value")
    return {"role": role, "content": content}


def _answer(
    row: Row, options: Options, key: str, turns: list[dict[str, Any]], raw: Any, start: str
) -> Iterator[Outcome]:
    number = len(turns) - 1
    id_ = own_id(SOURCE, options.application, key, number)
    stated = raw.get("timestamp") if isinstance(raw, Mapping) else None
    # Turns of one conversation keep their order: where only the conversation has a time, a second lies between them.
    time = time_of(stated) or (datetime.fromisoformat(start) + timedelta(seconds=number)).isoformat()
    conversation = name(key if len(key) <= 64 else own_id(SOURCE, key))
    yield event(
        INTERACTION,
        id=id_,
        time=time,
        application=options.application,
        conversation_id=conversation,
        user_id=name(row.get("hashed_ip") or row.get("user_id")),
        request_model=name(row.get("model")) or "unknown",
        input_messages=turns[:-1],
        output_messages=turns[-1:],
    )
    flags = row.get("openai_moderation")
    for at, target in ((number - 1, "input"), (number, "output")):
        found = flags[at] if isinstance(flags, list) and at < len(flags) else None
        if isinstance(found, Mapping) and isinstance(found.get("flagged"), bool):
            yield event(
                FEEDBACK,
                id=own_id(SOURCE, "moderation", options.application, key, number, target),
                time=time,
                application=options.application,
                conversation_id=conversation,
                interaction_id=id_,
                kind="guardrail",
                source="guardrail:openai-moderation",
                value=0.0 if found["flagged"] else 1.0,
                label=_categories(found),
                target=target,
            )


def _categories(found: Mapping[str, Any]) -> str | None:
    given = found.get("categories")
    return (
        ",".join(sorted(key for key, value in given.items() if value)) or None if isinstance(given, Mapping) else None
    )
