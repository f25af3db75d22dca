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
from schemas.messages.called import calls_in
from schemas.prompts import Examples, unprompted
from schemas.records import Example
from schemas.unit import unit_of

Row = Mapping[str, Any]
"""A row of `examples.sql`."""


class Dropped(msgspec.Struct, frozen=True):
    """An interaction or example that was left out, with the reason and what it resembles, if anything."""

    interaction_id: str
    reason: str
    resembles: str = ""
    feedback_id: str | None = None
    origin: str = ""
    contributor: str = ""
    """Of a row in quarantine: whose it is, as a keyed hash."""


VOUCHED = {"correction": "correction_reviewed", "accepted": "praise_reviewed"}
"""Origin → the column that says whether a reviewer told it."""


class Found(msgspec.Struct, frozen=True):
    """All examples of the lake's rows, and every row that gives none."""

    examples: tuple[Example, ...]
    dropped: tuple[Dropped, ...]
    golden: tuple[Example, ...] = ()
    """Eval items that people wrote."""


class _Read(msgspec.Struct, frozen=True):
    """A row with its messages read."""

    row: Row
    asked: Conversation
    answered: Conversation
    shots: Examples = ()


def examples_of(
    rows: Iterable[Row],
    verdicts: Iterable[Row],
    salt: str,
    consent: bool,
    *,
    mask: bool = True,
    shots: Examples = (),
) -> Found:
    """What the rows of `examples.sql` and `guardrails.sql` give.

    `consent` is what a row without `training_consent` counts as; `mask` whether turns that failed are named, to be
    masked where a form can say so; `shots` are the examples of known prompts, which are no part of a conversation.
    """
    examples: list[Example] = []
    dropped: list[Dropped] = []
    turns = Turns()
    for row in rows:
        one = _read(row, shots)
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
        one = _read(row, shots)
        _add(one, _verdict, salt, consent, kept, dropped)
    return Found(tuple(kept), tuple(dropped))


def _read(row: Row, shots: Examples) -> _Read:
    asked = read(row["input_messages"])
    if shots:
        asked = msgspec.structs.replace(asked, chat=unprompted(asked.chat, shots))
    return _Read(row, asked, read(row["output_messages"]), shots)


def _add(one: _Read, make: Any, salt: str, consent: bool, examples: list[Example], dropped: list[Dropped]) -> None:
    if reason := _unusable(one, consent):
        dropped.append(Dropped(one.row["interaction_id"], reason))
    else:
        examples.append(make(one, salt, consent))


def _unusable(one: _Read, consent: bool) -> str | None:
    """Why a row cannot be an example; None where it can."""
    row = one.row
    if gone := next((name for name in ("erased", "excluded") if row.get(name)), None):
        return gone
    if not _agreed(row["training_consent"], consent):
        return "no_consent"
    kinds = one.asked.left_out if row.get("correction") else one.asked.left_out | one.answered.left_out
    if kinds:  # a dataset of texts would teach an answer to what it does not hold
        return f"has_{min(kinds)}"
    if not text_of(one.asked.chat, "user").strip():
        return "no_question"
    if not row.get("correction"):
        return None if _answer(one.answered) else "no_answer"
    return "broken_call" if _corrected(one) is None else None


def _agreed(given: bool | None, consent: bool) -> bool:
    return consent if given is None else given


def _example(one: _Read, salt: str, consent: bool) -> Example:
    answer, origin, feedback_id, other_id = _good_answer(one, consent)
    output = "" if one.answered.left_out else _answer(one.answered)
    return msgspec.structs.replace(
        _base(one, salt),
        answer=answer,
        origin=origin,
        told_by=_told_by(one.row, origin, salt),
        reviewed=bool(one.row.get("vouched") or (origin in VOUCHED and one.row.get(VOUCHED[origin]))),
        rejected=output if origin != "accepted" and output and output != answer else None,
        other_id=other_id,
        feedback_id=feedback_id,
        cluster_id=one.row["cluster_id"],
        score=one.row["score"],
    )


def _told_by(row: Row, origin: str, salt: str) -> str:
    """Who said what is taught, where it was somebody else than the person who asked; empty where it was they."""
    said = (
        row.get("corrected_by") if origin == "correction" else row.get("praised_by") if origin == "accepted" else None
    )
    return pseudonym(said, salt) if said else ""


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


def request_of(row: Row, salt: str, shots: Examples = ()) -> Example | None:
    """What an interaction's row asks, without an answer; None where a dataset of texts cannot hold it."""
    one = _read({**row, "output_messages": None}, shots)
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
        return to_json([_corrected(one)]), "correction", row["correction_id"], None
    if row["outcome"] == "ok":
        return _answer(one.answered), "accepted", None, None
    if row["replacement_outcome"] == "ok" and _agreed(row["replacement_consent"], consent):
        asked, given = read(row["replacement_input"]), read(row["replacement_output"])
        same = unprompted(asked.chat, one.shots) == one.asked.chat and not asked.left_out and not given.left_out
        if same and (answer := _answer(given)):
            return answer, row["replacement_origin"], row["replacement_feedback_id"], row["replacement_id"]
    return "", "rejected", None, None


def _corrected(one: _Read) -> dict[str, Any] | None:
    """The answer as it should have been: words or, where tools could be called, calls. None for calls nobody can make.

    Such are half a call, one of a tool that was not offered, and arguments that are no object.
    """
    text = one.row["correction"]
    offered = _offered(one)
    if offered is None:
        return {"role": "assistant", "content": text}
    calls = calls_in(text)
    if calls is None:
        half = text.lstrip()[:1] in {"[", "{"} and '"arguments"' in text
        return None if half else {"role": "assistant", "content": text}
    if any(not isinstance(arguments, dict) or (offered and name not in offered) for name, arguments in calls):
        return None
    made = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": to_json(arguments)}}
        for n, (name, arguments) in enumerate(calls, 1)
    ]
    return {"role": "assistant", "content": "", "tool_calls": made}


def _offered(one: _Read) -> set[str] | None:
    """The names of the tools that could be called; none where only calls tell of them, None where nothing does."""
    tools = msgspec.json.decode(one.row["tool_definitions"] or "[]")
    if not tools:
        return set() if any(m.get("tool_calls") for m in (*one.asked.chat, *one.answered.chat)) else None
    names = [tool.get("function", tool) for tool in tools if isinstance(tool, dict)]
    return {tool["name"] for tool in names if isinstance(tool, dict) and isinstance(tool.get("name"), str)}


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
