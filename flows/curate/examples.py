"""Lake rows into examples, or the named reason why a row gives none.

One interaction can give two: a corrected answer teaches, and with the answer that was corrected it makes a pair.
Go on to `split.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from flows.curate.split import unit_of
from schemas.events import to_json
from schemas.messages import Chat, parse, text_of
from schemas.records import Example

Row = Mapping[str, Any]
"""A row of `examples.sql`."""


class Dropped(msgspec.Struct, frozen=True):
    """An interaction or example that was left out, with the reason and what it resembles, if anything."""

    interaction_id: str
    reason: str
    resembles: str = ""


def examples_of(rows: Iterable[Row], salt: str, consent: bool) -> tuple[list[Example], list[Dropped]]:
    """All examples that the rows give, in the rows' order, and every row that gives none with its reason.

    `consent` is what a row without `training_consent` counts as.
    """
    examples: list[Example] = []
    dropped: list[Dropped] = []
    for row in rows:
        if reason := _unusable(row, consent):
            dropped.append(Dropped(row["interaction_id"], reason))
            continue
        examples.append(_example(row, salt))
    return examples, dropped


def _unusable(row: Row, consent: bool) -> str | None:
    """Why a row cannot be an example; None where it can."""
    if row["erased"]:
        return "erased"
    if not (consent if row["training_consent"] is None else row["training_consent"]):
        return "no_consent"
    if not text_of(parse(row["input_messages"]), "user").strip():
        return "no_question"
    if row["outcome"] == "ok" and not row["correction"] and not _says_something(parse(row["output_messages"])):
        return "no_answer"
    return None


def _example(row: Row, salt: str) -> Example:
    prompt = _prompt(row)
    answer, origin, feedback_id = _good_answer(row)
    output = _answer(row["output_messages"])
    rejected = output if origin != "accepted" and output and output != answer else None
    return Example(
        interaction_id=row["interaction_id"],
        unit=unit_of(row["user_id"], row["conversation_id"], salt),
        prompt=to_json(prompt),
        answer=answer,
        text=text_of(prompt, "user"),
        origin=origin,
        rejected=rejected,
        feedback_id=feedback_id,
        cluster_id=row["cluster_id"],
        score=row["score"],
        model=row["request_model"],
        time=row["time"],
        tools=row["tool_definitions"],
    )


def _good_answer(row: Row) -> tuple[str, str, str | None]:
    """The answer that was good, which signal says so, and its feedback event. No good answer: empty, `rejected`."""
    if row["correction"]:
        return to_json([{"role": "assistant", "content": row["correction"]}]), "correction", row["correction_id"]
    if row["outcome"] == "ok":
        return _answer(row["output_messages"]), "accepted", None
    same = row["replacement_outcome"] == "ok" and parse(row["replacement_input"]) == parse(row["input_messages"])
    if same and (answer := _answer(row["replacement_output"])):
        return answer, "regenerate", row["replacement_feedback_id"]
    return "", "rejected", None


def _prompt(row: Row) -> Chat:
    messages = parse(row["input_messages"])
    if row["system_instructions"] and not any(message["role"] == "system" for message in messages):
        return [{"role": "system", "content": row["system_instructions"]}, *messages]
    return messages


def _answer(messages_json: str | None) -> str:
    messages = parse(messages_json)
    return to_json(messages) if _says_something(messages) else ""


def _says_something(messages: Chat) -> bool:
    return any((message.get("content") or "").strip() or message.get("tool_calls") for message in messages)
