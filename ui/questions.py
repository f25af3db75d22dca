"""What a reviewer sees: a request with the answer that was given, or with two answers side by side. Blind.

No model, no prompt version, no word of anybody else is read here, so that no page can show it before the answer. Go on
to `saving.py`, which takes what they say.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from msgspec import Struct

from flows.evaluate.reviewing import to_review
from flows.evaluate.reviews import Question
from schemas.messages import parse
from ui.index.rows import id_of
from ui.queue import Filters, ticket
from ui.state import State
from ui.talk import Said, said_of, stored_of

REMEMBERED = 5_000
"""Interactions whose conversation is kept in memory."""
SHOWN = 4
"""Messages before the question that are open; older ones are folded."""


class Asked(Struct, frozen=True, kw_only=True):
    """One question to a person."""

    item: str
    id: str
    """A fresh UUID: what is said under it, however often it is sent, is said once."""
    time: datetime | None = None
    folded: tuple[Said, ...] = ()
    """Instructions, and what was said long before."""
    asked: tuple[Said, ...] = ()
    answered: tuple[Said, ...] = ()
    error: str = ""
    replies: tuple[str, str] | None = None
    """Two answers to be compared; which model gave which is nowhere."""
    rubric: str = ""
    again: int = 0
    ticket: str = ""
    """Shows that chance chose the item for whoever is asked; empty where somebody chose it."""


def fresh_id() -> str:
    """A UUIDv7: ids that grow with time lie together in the lake's files."""
    bits = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(76)
    return str(uuid.UUID(int=bits & ~(0x3 << 62) | 0x2 << 62))


def asked_of(state: State, dealt: Sequence[Mapping[str, Any]], drawn_for: str = "") -> list[Asked]:
    """Interactions as questions, read from the lake by their days; those that are gone there are left out.

    `drawn_for`: the person for whom chance chose them; empty where somebody did.
    """
    stored = stored_of(state, dealt) if dealt else {}
    found = []
    for row in (stored[each["id"]] for each in dealt if each["id"] in stored):
        _remember(state, row["id"], row["conversation_id"])
        chat = [said_of(message) for message in parse(row["input_messages"])]
        folded, shown = _folded(chat, row["system_instructions"])
        answer = tuple(said_of(message) for message in parse(row["output_messages"]))
        found.append(
            Asked(
                item=row["id"], id=fresh_id(), time=row["time"], folded=folded, asked=shown, answered=answer,
                error=row["error_type"] or "", rubric=state.settings.evaluate.rubric,
                ticket=ticket(state.lots, drawn_for, row["id"]) if drawn_for else "",
            )
        )  # fmt: skip
    return found


def conversation_of(state: State, item: str) -> str | None:
    """The conversation of an interaction; None where the index knows no such, or no more."""
    with state.reading() as sql:
        known = sql.execute("SELECT arrived FROM interaction WHERE id = ?", (id_of(item),)).fetchone()
    if known is None:
        state.conversations.pop(item, None)
        return None
    if item not in state.conversations:
        asked_of(state, [{"id": item, "arrived": known[0]}])
    return state.conversations.get(item)


def pairs_of(
    state: State, filters: Filters, person: str, count: int, besides: Sequence[str]
) -> tuple[list[Asked], int]:
    """The next disagreements that the gate asks about, in the order that chance gave them, and how many wait.

    Raises UsageError for an evaluation that is none, NotEnoughData where the answers differ nowhere.
    """
    waiting = to_review(state.lake, state.settings, filters.evaluation, person)
    known = {question.item_id: question for question in waiting}
    dealt = state.reservations.deal(person, known, lambda _item, others: not others, count, besides)
    return [_pair(known[item]) for item in dealt], len(waiting)


def _pair(question: Question) -> Asked:
    chat = [Said(str(message["role"]), str(message["content"] or "")) for message in question.conversation]
    folded, shown = _folded(chat, None)
    return Asked(
        item=question.item_id, id=question.id, folded=folded, asked=shown, replies=(question.reply_1, question.reply_2),
        rubric=question.rubric, again=question.again,
    )  # fmt: skip


def _folded(chat: Sequence[Said], instructions: str | None) -> tuple[tuple[Said, ...], tuple[Said, ...]]:
    system = [Said("system", instructions)] if instructions else []
    told = [said for said in chat if said.role == "system"]
    talk = [said for said in chat if said.role != "system"]
    return (*system, *told, *talk[:-SHOWN]), tuple(talk[-SHOWN:])


def _remember(state: State, item: str, conversation: str) -> None:
    state.conversations[item] = conversation
    while len(state.conversations) > REMEMBERED:
        with suppress(KeyError, RuntimeError, StopIteration):  # another request forgets the same one at this moment
            state.conversations.pop(next(iter(state.conversations)))
