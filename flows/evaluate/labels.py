"""People's opinion of answers that a judge has scored: what the judge's own error is measured by.

`questions` draws a random sample of an evaluation's items as a file to fill in; `record` takes it back into the lake;
`known` finds what people said of the very same answers, in whatever evaluation they stand. Labels are scores of the
scorer `human:NAME`. Go on to `stage.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.errors import InputFileError, NotEnoughData
from schemas.records import Item, Score, content_hash
from streams.files import objects_of
from streams.lake import Lake, query
from streams.lake.append import publish
from streams.lake.rows import from_row, to_table

HUMAN = "human:"
"""Scorer names of people begin so."""


class Label(Struct, frozen=True, kw_only=True):
    """What a person said of an answer: a row of `scores`, beside those of models."""

    evaluation_id: str
    """`labels-` and the hash of the file."""
    item_id: str
    role: Literal["any"] = "any"
    """The same answer of either model is the same answer."""
    sample: int = 0
    scorer: str
    score: float
    output: str


class Question(Struct, frozen=True):
    """One answer to be labelled. Who gave it is not said: people too have favourites."""

    id: str
    """Hash of item and answer."""
    item_id: str
    conversation: list[dict[str, Any]]
    reply: str
    rubric: str
    reference: str | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    """To be filled in: 1 good, 0 bad, or between. None: skipped."""


def questions(scores: Iterable[Score], items: Sequence[Item], rubric: str, count: int, seed: str) -> list[Question]:
    """The answers of `count` random items that both models answered, all samples, in an order that tells nothing.

    `scores` are those of one evaluation; `rubric` is what counts where an item has none. Raises NotEnoughData where
    no item was answered by both.
    """
    answered: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"candidate": set(), "champion": set()})
    for score in scores:
        if score.score is not None:
            answered[score.item_id][score.role].add(score.output or "")
    both = [item for item in items if all(answered[item.item_id].values())]
    if not both:
        raise NotEnoughData("no item of this evaluation has a score for both models: there is nothing to label")
    drawn = sorted(both, key=lambda item: content_hash([seed, item.item_id]))[:count]
    asked = [_question(item, reply, rubric) for item in drawn for reply in set.union(*answered[item.item_id].values())]
    return sorted(asked, key=lambda question: content_hash([seed, question.id]))


def read_answers(path: Path) -> list[Question]:
    """The filled-in questions of a file: JSON lines, or a spreadsheet's CSV with id, item, reply and score.

    Raises InputFileError naming the line that is wrong.
    """
    found = []
    for where, question in objects_of(path, Question, {"conversation": [], "rubric": ""}):
        if question.id != _id(question.item_id, question.reply):
            raise InputFileError(f"{where}: the reply was changed; labels are of replies as they were")
        found.append(question)
    return [question for question in found if question.score is not None]


def record(lake: Lake, answers: Sequence[Question], by: str) -> int:
    """Keep a person's labels; the same file twice is recorded once. Returns how many there were."""
    batch = content_hash([by, *sorted((answer.id, answer.score) for answer in answers)])[:32]
    labels = [
        Label(
            evaluation_id=f"labels-{batch}",
            item_id=answer.item_id,
            scorer=HUMAN + by,
            score=answer.score,
            output=answer.reply,
        )
        for answer in answers
        if answer.score is not None
    ]
    publish(lake, "scores", to_table("scores", labels), f"labels-{batch}")
    return len(labels)


def known(lake: Lake, scores: Sequence[Score]) -> list[Score]:
    """People's scores of the same answers to the same items, as scores beside those given; the mean of several."""
    said: dict[tuple[str, str], list[float]] = defaultdict(list)
    for label in _stored(lake):
        said[label.item_id, label.output].append(label.score)
    return [
        msgspec.structs.replace(score, scorer="human", score=sum(opinions) / len(opinions), unscored=None)
        for score in scores
        if score.score is not None and (opinions := said.get((score.item_id, score.output or "")))
    ]


def fingerprint(lake: Lake) -> str:
    """A hash of all that people have said: with other labels, an evaluation by a judge is another evaluation."""
    return content_hash(sorted((label.item_id, label.output, label.scorer, label.score) for label in _stored(lake)))


def _stored(lake: Lake) -> list[Label]:
    return [from_row(Label, row) for row in query.rows(lake, "scores", role="any") if row["scorer"].startswith(HUMAN)]


def _question(item: Item, reply: str, rubric: str) -> Question:
    conversation = [{"role": m["role"], "content": m.get("content") or ""} for m in item.messages]
    return Question(_id(item.item_id, reply), item.item_id, conversation, reply, item.rubric or rubric, item.reference)


def _id(item_id: str, reply: str) -> str:
    return content_hash([item_id, reply])[:16]
