"""Lake rows into examples, or the named reason why a row gives none.

One interaction can give two: a corrected answer teaches, and with the answer that was corrected it makes a pair.
Go on to `split.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from flows.curate.split import pseudonym
from schemas.events import to_json
from schemas.messages import Chat, parse, text_of
from schemas.records import Example
from schemas.unit import unit_of

Row = Mapping[str, Any]
"""A row of `examples.sql`."""


class Dropped(msgspec.Struct, frozen=True):
    """An interaction or example that was left out, with the reason and what it resembles, if anything."""

    interaction_id: str
    reason: str
    resembles: str = ""


class Found(msgspec.Struct, frozen=True):
    """All examples of the lake's rows, and every row that gives none."""

    examples: tuple[Example, ...]
    dropped: tuple[Dropped, ...]


def examples_of(rows: Iterable[Row], verdicts: Iterable[Row], salt: str, consent: bool) -> Found:
    """What the rows of `examples.sql` and `guardrails.sql` give.

    `consent` is what a row without `training_consent` counts as.
    """
    examples: list[Example] = []
    dropped: list[Dropped] = []
    for make, given in ((_example, rows), (_verdict, verdicts)):
        for row in given:
            if reason := _unusable(row, consent):
                dropped.append(Dropped(row["interaction_id"], reason))
            else:
                examples.append(make(row, salt, consent))
    return Found(tuple(examples), tuple(dropped))


def _unusable(row: Row, consent: bool) -> str | None:
    """Why a row cannot be an example; None where it can."""
    if row.get("erased"):
        return "erased"
    if not _agreed(row["training_consent"], consent):
        return "no_consent"
    if not text_of(parse(row["input_messages"]), "user").strip():
        return "no_question"
    if not row.get("correction") and not _answer(row["output_messages"]):
        return "no_answer"
    return None


def _agreed(given: bool | None, consent: bool) -> bool:
    return consent if given is None else given


def _example(row: Row, salt: str, consent: bool) -> Example:
    answer, origin, feedback_id, other_id = _good_answer(row, consent)
    output = _answer(row["output_messages"])
    return msgspec.structs.replace(
        _base(row, salt),
        answer=answer,
        origin=origin,
        rejected=output if origin != "accepted" and output and output != answer else None,
        other_id=other_id,
        feedback_id=feedback_id,
        cluster_id=row["cluster_id"],
        score=row["score"],
    )


def _verdict(row: Row, salt: str, consent: bool) -> Example:  # noqa: ARG001 one signature with `_example`
    guard = {
        "guard": row["source"],
        "category": row["label"],
        "passed": row["passed"],
        "right": row["passed"] == row["good"],
        "judged_by": row["judged_by"],
    }
    return msgspec.structs.replace(
        _base(row, salt),
        answer=_answer(row["output_messages"]),
        origin="guardrail",
        feedback_id=row["feedback_id"],
        guard=to_json(guard),
    )


def _base(row: Row, salt: str) -> Example:
    prompt = _prompt(row)
    return Example(
        interaction_id=row["interaction_id"],
        unit=pseudonym(unit_of(row["user_id"], row["conversation_id"]), salt),
        prompt=to_json(prompt),
        answer="",
        text=text_of(prompt, "user"),
        origin="",
        model=row["request_model"],
        prompt_version=row["prompt_version"],
        time=row["time"],
        tools=row["tool_definitions"],
    )


def _good_answer(row: Row, consent: bool) -> tuple[str, str, str | None, str | None]:
    """(answer, origin, feedback id, interaction that gave it, if another). No good answer: empty, `rejected`."""
    if row["correction"]:
        answer = to_json([{"role": "assistant", "content": row["correction"]}])
        return answer, "correction", row["correction_id"], None
    if row["outcome"] == "ok":
        return _answer(row["output_messages"]), "accepted", None, None
    same = row["replacement_outcome"] == "ok" and parse(row["replacement_input"]) == parse(row["input_messages"])
    if same and _agreed(row["replacement_consent"], consent) and (answer := _answer(row["replacement_output"])):
        return answer, row["replacement_origin"], row["replacement_feedback_id"], row["replacement_id"]
    return "", "rejected", None, None


def _prompt(row: Row) -> Chat:
    messages = parse(row["input_messages"])
    if row["system_instructions"] and not any(message["role"] == "system" for message in messages):
        return [{"role": "system", "content": row["system_instructions"]}, *messages]
    return messages


def _answer(messages_json: str | None) -> str:
    messages = parse(messages_json)
    return to_json(messages) if any(map(_says_something, messages)) else ""


def _says_something(message: dict[str, Any]) -> bool:
    return bool((message.get("content") or "").strip() or message.get("tool_calls"))
