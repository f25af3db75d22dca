"""Blind reviews: which disagreements people see next, what they said, and what becomes of it.

A review says of each of two answers whether it is right; nothing tells which model gave it, and no reference is shown:
it is often the champion's own answer. It is kept for the gate, as scores of the scorer `human:NAME`, and told to Kafka
as feedback on the interaction, where it enters outcomes and the next training like any other. Go on to `reviewing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from flows.evaluate.disagreements import Asked, opinion_of
from flows.ledger import decision_id
from flows.opinions import EITHER, HUMAN, TAKEN_BACK, Opinions, spoken
from schemas.errors import InputFileError
from schemas.events import Feedback
from schemas.kinds import Kind
from schemas.messages import Chat
from schemas.records import content_hash
from streams.files import objects_of

SKIPPED = "skipped"
OUT_OF_ORDER = "lines stand in another order than they came in: whoever picks what to review picks the result"
TWICE = 5
"""Each so many-th disagreement is shown to a second person too: how far two agree says how often one errs."""
VERDICTS = {"1": (1.0, 0.0), "2": (0.0, 1.0), "b": (1.0, 1.0), "n": (0.0, 0.0)}
"""A key → whether the first and the second answer are right: in the terminal and in the web app."""
SKIP = "s"
"""The key of whoever cannot tell."""
Right = Annotated[float, Meta(ge=0, le=1)]


class Question(Struct, frozen=True, kw_only=True):
    """One request and two answers to it. Who gave them is not said: people too have favourites."""

    id: str
    """Hash of the request and both answers."""
    item_id: str
    order: str
    """Its place: lines stand in this order, and are reviewed in it."""
    conversation: list[dict[str, Any]]
    reply_1: str
    reply_2: str
    rubric: str
    right_1: Right | None = None
    """To be filled in: 1 right, 0 wrong, or between."""
    right_2: Right | None = None
    correction: str | None = None
    """The right answer, if you care to write it."""
    skip: bool = False
    """True where you cannot tell; too many of these and nothing is decided."""
    again: Annotated[int, Meta(ge=0)] = 0
    """How often you took back what you said of it: what is said anew is another event."""

    @property
    def answered(self) -> bool:
        """Whether it was filled in."""
        return self.skip or (self.right_1 is not None and self.right_2 is not None)


class About(Struct, frozen=True):
    """The interaction that somebody judges."""

    interaction_id: str
    application: str
    conversation_id: str


class Served(About, frozen=True):
    """The interaction that a request came from."""

    answer: str


def filled(question: Question, key: str) -> Question:
    """A question as a key of VERDICTS, or SKIP, answers it."""
    if key == SKIP:
        return msgspec.structs.replace(question, skip=True)
    first, second = VERDICTS[key]
    return msgspec.structs.replace(question, right_1=first, right_2=second)


def next_questions(
    order: Sequence[Asked], opinions: Opinions, rubric: str, count: int, by: str, again: Mapping[str, int]
) -> list[Question]:
    """The next `count` disagreements without a review, and of those that another person has reviewed each fifth.

    `again`: how often this person took back what they said of an item.
    """
    told = [opinion_of(one, opinions) is not None for one in order]
    first = [one for one, known in zip(order, told, strict=True) if not known][:count]
    second = [
        one
        for n, (one, known) in enumerate(zip(order, told, strict=True))
        if known and n % TWICE == 0 and len(names := _reviewers(one, opinions)) == 1 and by not in names
    ]
    chosen = [_question(one, rubric, again.get(one.item.item_id, 0)) for one in [*second, *first]]
    return sorted(chosen, key=lambda question: question.order)


def read_answers(path: Path) -> list[Question]:
    """The filled-in questions of a file: JSON lines, or what a spreadsheet makes of them.

    Raises InputFileError naming the line that is wrong: not JSON, an edited answer, half filled in, or out of order.
    """
    found: list[Question] = []
    for where, question in objects_of(path, Question, {"conversation": [], "rubric": ""}):
        if reason := _wrong(question) or (found and question.order < found[-1].order and OUT_OF_ORDER):
            raise InputFileError(f"{where}: {reason}")
        found.append(question)
    return [question for question in found if question.answered]


def rows_of(answers: Sequence[Question], by: str, batch: str, told: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows of the table `scores`: what one person said of each answer; `told` is the feedback event of an item."""
    return [
        {
            "evaluation_id": batch,
            "item_id": answer.item_id,
            "role": EITHER,
            "sample": place,
            "scorer": HUMAN + by,
            "score": None if answer.skip else right,
            "unscored": SKIPPED if answer.skip else None,
            "output": reply,
            "answered": True,
            "feedback_id": told.get(answer.item_id),
        }
        for answer in answers
        for place, (reply, right) in enumerate(((answer.reply_1, answer.right_1), (answer.reply_2, answer.right_2)))
    ]


def taken_back_rows(answers: Sequence[Question], by: str, batch: str) -> list[dict[str, Any]]:
    """Rows of the table `scores` by which reviews stand no longer, those too that no event was told of."""
    rows = rows_of(answers, by, batch, {})
    return [row | {"score": None, "unscored": TAKEN_BACK} for row in rows]


def again_of(reviews: Iterable[Mapping[str, Any]], by: str) -> dict[str, int]:
    """Item → how often a person took back what they said of it, from rows of `scores`."""
    found: dict[str, int] = {}
    for row in reviews:
        if row["unscored"] == TAKEN_BACK and row["sample"] == 0 and row["scorer"] == HUMAN + by:
            found[row["item_id"]] = found.get(row["item_id"], 0) + 1
    return found


def batch_of(answers: Sequence[Question], by: str, *what: str) -> str:
    """The name of a file's reviews: the same ones twice have one name; `what` sets those apart that take back."""
    said = sorted((a.id, a.right_1, a.right_2, a.correction, a.skip, *([a.again] if a.again else [])) for a in answers)
    return content_hash([by, said, *what])[:32]


def feedback_of(
    answers: Iterable[Question], served: Mapping[str, Served], by: str, now: datetime
) -> dict[str, list[Feedback]]:
    """The reviews as feedback by item, with ids made of what was said: told again, it is the same event.

    A verdict where one of the two answers is the one that was served; a correction where the reviewer wrote the right
    answer, or found the served one wrong and the other right. `served` is by item.
    """
    events: dict[str, list[Feedback]] = {}
    for answer in answers:
        about = served.get(answer.item_id)
        if about is None or answer.skip:
            continue
        told = events.setdefault(answer.item_id, [])
        sides = {spoken(answer.reply_1): answer.right_1, spoken(answer.reply_2): answer.right_2}
        verdict = sides.get(spoken(about.answer))
        if verdict is not None:
            told.append(_event(about, by, now, "reviewer", answer.again, value=float(verdict)))
        if right := _right_answer(answer, about, verdict):
            told.append(_event(about, by, now, "correction", answer.again, text=right))
    return events


def retraction_of(event_id: str, kind: Kind, source: str, about: About, now: datetime) -> Feedback:
    """The event by which its source takes back another; of one event always the same one."""
    return Feedback(
        id=decision_id("taken back", event_id),
        time=now,
        application=about.application,
        conversation_id=about.conversation_id,
        interaction_id=about.interaction_id,
        kind=kind,
        source=source,
        retracts=event_id,
    )


def served_answer(messages: Chat) -> str:
    """The answer of an interaction as a model's answer is kept: its text, else its tool calls as JSON."""
    text = next((m["content"] for m in reversed(messages) if m.get("content")), None)
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    return text or (msgspec.json.encode(calls).decode() if calls else "")


def _right_answer(answer: Question, about: Served, verdict: float | None) -> str | None:
    if answer.correction and answer.correction.strip():
        return answer.correction
    if verdict is None or verdict >= 0.5:
        return None
    others = [
        reply
        for reply, right in ((answer.reply_1, answer.right_1), (answer.reply_2, answer.right_2))
        if spoken(reply) != spoken(about.answer) and right is not None and right > 0.5
    ]
    return next(iter(others), None)


def _event(about: Served, by: str, now: datetime, kind: str, again: int, **said: Any) -> Feedback:
    source = f"reviewer:{by}"
    anew = [str(again)] if again else []
    return msgspec.convert(
        {
            "id": decision_id("review", about.interaction_id, source, kind, str(sorted(said.items())), *anew),
            "time": now,
            "application": about.application,
            "conversation_id": about.conversation_id,
            "interaction_id": about.interaction_id,
            "kind": kind,
            "source": source,
            **said,
        },
        Feedback,
    )


def _question(one: Asked, rubric: str, again: int) -> Question:
    item = one.item
    replies = sorted((one.candidate or "", one.champion or ""), key=lambda reply: content_hash([item.item_id, reply]))
    return Question(
        id=_id(item.item_id, *replies),
        item_id=item.item_id,
        order=item.order,
        conversation=[{"role": m["role"], "content": m.get("content") or ""} for m in item.messages],
        reply_1=replies[0],
        reply_2=replies[1],
        rubric=item.rubric or rubric,
        again=again,
    )


def _id(item_id: str, reply_1: str, reply_2: str) -> str:
    return content_hash([item_id, reply_1, reply_2])[:16]


def _wrong(question: Question) -> str:
    """Why a line cannot be taken; empty where it can."""
    if question.id != _id(question.item_id, question.reply_1, question.reply_2):
        return "an answer was changed; reviews are of answers as they were"
    if (question.right_1 is None) != (question.right_2 is None) and not question.skip:
        return "only one of right_1 and right_2 is filled in: judge both answers, or set skip to true"
    return ""


def _reviewers(one: Asked, opinions: Opinions) -> set[str]:
    return {
        name
        for text in (one.candidate, one.champion)
        for name in opinions.get((one.item.item_id, spoken(text or "")), {})
    }
