"""Lake rows into examples, or the named reason why a row gives none.

One interaction can give two: a corrected answer teaches, and with the answer that was corrected it makes a pair.
Go on to `turns.py`, which finds the earlier turns of a conversation that failed, and to `split.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from flows.curate.split import pseudonym
from flows.curate.turns import Turns, says_something
from schemas.events import to_json
from schemas.messages import Chat, Conversation, read, text_of
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


class _Read(msgspec.Struct, frozen=True):
    """A row with its messages read."""

    row: Row
    asked: Conversation
    answered: Conversation


def examples_of(rows: Iterable[Row], verdicts: Iterable[Row], salt: str, consent: bool, *, mask: bool = True) -> Found:
    """What the rows of `examples.sql` and `guardrails.sql` give.

    `consent` is what a row without `training_consent` counts as; `mask` whether turns that failed are named, to be
    masked where a form can say so.
    """
    examples: list[Example] = []
    dropped: list[Dropped] = []
    turns = Turns()
    for row in rows:
        one = _Read(row, read(row["input_messages"]), read(row["output_messages"]))
        if row["outcome"] == "failed" or row["correction"]:
            turns.fail(row["conversation_id"], one.asked.chat, one.answered.chat)
        _add(one, _example, salt, consent, examples, dropped)
        if examples and examples[-1].interaction_id == row["interaction_id"]:
            turns.expect(len(examples) - 1, row["conversation_id"], one.asked.chat)
    kept = []
    for place, example in enumerate(examples):
        marked = turns.marked(place, example, mask=mask)
        if marked is None:
            dropped.append(Dropped(example.interaction_id, "failed_context"))
        else:
            kept.append(marked)
    for row in verdicts:
        one = _Read(row, read(row["input_messages"]), read(row["output_messages"]))
        _add(one, _verdict, salt, consent, kept, dropped)
    return Found(tuple(kept), tuple(dropped))


def _add(one: _Read, make: Any, salt: str, consent: bool, examples: list[Example], dropped: list[Dropped]) -> None:
    if reason := _unusable(one, consent):
        dropped.append(Dropped(one.row["interaction_id"], reason))
    else:
        examples.append(make(one, salt, consent))


def _unusable(one: _Read, consent: bool) -> str | None:
    """Why a row cannot be an example; None where it can."""
    row = one.row
    if row.get("erased"):
        return "erased"
    if not _agreed(row["training_consent"], consent):
        return "no_consent"
    kinds = one.asked.left_out if row.get("correction") else one.asked.left_out | one.answered.left_out
    if kinds:  # a dataset of texts would teach an answer to what it does not hold
        return f"has_{min(kinds)}"
    if not text_of(one.asked.chat, "user").strip():
        return "no_question"
    if not row.get("correction") and not _answer(one.answered):
        return "no_answer"
    return None


def _agreed(given: bool | None, consent: bool) -> bool:
    return consent if given is None else given


def _example(one: _Read, salt: str, consent: bool) -> Example:
    answer, origin, feedback_id, other_id = _good_answer(one, consent)
    output = "" if one.answered.left_out else _answer(one.answered)
    return msgspec.structs.replace(
        _base(one, salt),
        answer=answer,
        origin=origin,
        rejected=output if origin != "accepted" and output and output != answer else None,
        other_id=other_id,
        feedback_id=feedback_id,
        cluster_id=one.row["cluster_id"],
        score=one.row["score"],
    )


def _verdict(one: _Read, salt: str, consent: bool) -> Example:  # noqa: ARG001 one signature with `_example`
    row = one.row
    guard = {
        "guard": row["source"],
        "category": row["label"],
        "passed": row["passed"],
        "right": row["passed"] == row["good"],
        "judged_by": row["judged_by"],
    }
    return msgspec.structs.replace(
        _base(one, salt),
        answer=_answer(one.answered),
        origin="guardrail",
        feedback_id=row["feedback_id"],
        guard=to_json(guard),
    )


def request_of(row: Row, salt: str) -> Example | None:
    """What an interaction's row asks, without an answer; None where a dataset of texts cannot hold it."""
    one = _Read(row, read(row["input_messages"]), read(None))
    asks = not one.asked.left_out and text_of(one.asked.chat, "user").strip()
    return _base(one, salt) if asks else None


def _base(one: _Read, salt: str) -> Example:
    row = one.row
    prompt = _prompt(one)
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


def _good_answer(one: _Read, consent: bool) -> tuple[str, str, str | None, str | None]:
    """(answer, origin, feedback id, interaction that gave it, if another). No good answer: empty, `rejected`."""
    row = one.row
    if row["correction"]:
        answer = to_json([{"role": "assistant", "content": row["correction"]}])
        return answer, "correction", row["correction_id"], None
    if row["outcome"] == "ok":
        return _answer(one.answered), "accepted", None, None
    if row["replacement_outcome"] == "ok" and _agreed(row["replacement_consent"], consent):
        asked, given = read(row["replacement_input"]), read(row["replacement_output"])
        same = asked.chat == one.asked.chat and not asked.left_out and not given.left_out
        if same and (answer := _answer(given)):
            return answer, row["replacement_origin"], row["replacement_feedback_id"], row["replacement_id"]
    return "", "rejected", None, None


def _prompt(one: _Read) -> Chat:
    """What was asked, without assistant turns that say nothing."""
    instructions = one.row["system_instructions"]
    messages = [message for message in one.asked.chat if says_something(message)]
    if instructions and not any(message["role"] == "system" for message in messages):
        return [{"role": "system", "content": instructions}, *messages]
    return messages


def _answer(output: Conversation) -> str:
    messages = [message for message in output.chat if says_something(message)]
    return to_json(messages) if any(message["role"] == "assistant" for message in messages) else ""
