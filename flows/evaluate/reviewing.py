"""Reviews and the lake: what people see next of an evaluation, and what they said, told to Kafka and kept, once.

Pure parts are in `reviews.py`; `flywheel review` and the demo's reviewer call this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from flows.evaluate.disagreements import Standing, asked_of, in_order, standing
from flows.evaluate.items import of_version, read_items
from flows.evaluate.reviews import (
    Question,
    Served,
    batch_of,
    feedback_of,
    next_questions,
    opinions,
    rows_of,
    served_answer,
)
from flows.evaluations import evaluation_of, scores_of
from flows.versions import versions
from schemas.errors import NotEnoughData
from schemas.events import Feedback
from schemas.messages import parse
from schemas.records import Item
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import query, read

SQL = Path(__file__).with_name("served.sql")
Tell = Callable[[Sequence[Feedback]], None]
"""Tells Kafka of feedback; returns when it is acknowledged. The same event told twice is one event."""


class Recorded(msgspec.Struct, frozen=True):
    """What came of a file of reviews."""

    answers: int
    events: int
    standing: Standing


def standing_of(lake: Lake, settings: Settings, evaluation_id: str) -> Standing:
    """How far the reviews of an evaluation's disagreements have come. Raises UsageError for an id that is none."""
    asked = asked_of(_items(lake, settings, evaluation_id), scores_of(lake, evaluation_id))
    return standing(asked, opinions(lake), settings.gate.reviews)


def to_review(lake: Lake, settings: Settings, evaluation_id: str, by: str, count: int | None = None) -> list[Question]:
    """The disagreements that a person reviews next: `count`, or as many as the gate's next look needs.

    Raises UsageError for an id that is none, NotEnoughData where the answers differ nowhere.
    """
    stood = standing_of(lake, settings, evaluation_id)
    order = in_order(stood.asked)
    if not order:
        raise NotEnoughData("the two models answered every request alike: there is nothing to review")
    missing = max(0, (stood.next_look or 0) - stood.reviewed)
    return next_questions(order, opinions(lake), settings.evaluate.rubric, missing if count is None else count, by)


def record_reviews(
    lake: Lake, settings: Settings, evaluation_id: str, answers: Sequence[Question], by: str, now: datetime, tell: Tell
) -> Recorded:
    """Keep a person's reviews, and tell Kafka of them as feedback; the same ones twice are kept and told once.

    1. The events, whose ids are made of what they say. 2. The rows that the gate reads.
    A kill in between leaves events without rows; recording again tells the same events and adds the rows.
    """
    items = {item.item_id: item for item in _items(lake, settings, evaluation_id)}
    answers = [answer for answer in answers if answer.item_id in items]
    events = feedback_of(answers, _served(lake, settings, [items[answer.item_id] for answer in answers]), by, now)
    if events:
        tell(events)
    batch = batch_of(answers, by)
    before = {
        row["evaluation_id"] for row in read(lake, "scores").to_pylist() if row["evaluation_id"][:8] == "reviews-"
    }
    if answers and not any(name.endswith(batch) for name in before):
        name = f"reviews-{len(before):06d}-{batch}"
        publish(lake, "scores", to_rows("scores", rows_of(answers, by, name)), name)
    return Recorded(len(answers), len(events), standing_of(lake, settings, evaluation_id))


def _items(lake: Lake, settings: Settings, evaluation_id: str) -> list[Item]:
    """The items that an evaluation asked."""
    version = evaluation_of(lake, settings.application, evaluation_id).dataset_version
    found = next(v for v in versions(lake, settings.application) if v.version == version)
    asked = {score.item_id for score in scores_of(lake, evaluation_id)}
    eval_set = of_version(found, settings)
    return [item for item in read_items(eval_set.folder, eval_set.sha256) if item.item_id in asked]


def _served(lake: Lake, settings: Settings, items: Sequence[Item]) -> dict[str, Served]:
    """The interactions behind items, by item; items of a golden set have none."""
    ids = {item.interaction_id: item.item_id for item in items if item.interaction_id}
    known = lake.versions(("interactions",))
    rows = query(lake, SQL.read_text(), known, {"application": settings.application, "ids": sorted(ids)}).to_pylist()
    return {
        ids[row["id"]]: Served(
            row["id"], row["application"], row["conversation_id"], served_answer(parse(row["output_messages"]))
        )
        for row in rows
    }
