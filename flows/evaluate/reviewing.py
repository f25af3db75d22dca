"""Reviews and the lake: what people see next of an evaluation, and what they said, told to Kafka and kept, once.

Pure parts are in `reviews.py`; `flywheel review` and the demo's reviewer call this.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from flows.evaluate.disagreements import Standing, asked_of, in_order, standing
from flows.evaluate.freshness import unseen
from flows.evaluate.items import of_version, read_items
from flows.evaluate.reviews import (
    About,
    Question,
    Served,
    again_of,
    batch_of,
    feedback_of,
    next_questions,
    retraction_of,
    rows_of,
    served_answer,
    taken_back_rows,
)
from flows.evaluate.sampled import Asking
from flows.evaluations import evaluation_of, scores_of
from flows.opinions import TAKEN_BACK, opinions, review_rows
from flows.pins import pinned_items, pins_of
from flows.run import plain
from flows.versions import versions
from schemas.errors import NotEnoughData
from schemas.events import Feedback
from schemas.messages import parse
from schemas.records import GOLDEN, Comparison, Item
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import query

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
    items = _items(lake, settings, evaluation_id)
    said = opinions(lake, settings, [item.item_id for item in items])
    return standing(asked_of(items, scores_of(lake, evaluation_id)), said, settings.gate.reviews)


def asking_of(lake: Lake, settings: Settings, comparison: Comparison) -> tuple[Standing, Asking]:
    """A finished comparison's sample with what was said of it until now, as the gate's own test deals it anew."""
    items = _items(lake, settings, comparison.evaluation_id)
    said = opinions(lake, settings, [item.item_id for item in items])
    asked = asked_of(items, scores_of(lake, comparison.evaluation_id))
    models = comparison.candidate, comparison.champion
    unknown = unseen(items, models, versions(lake, settings.application), settings)
    pinned = pinned_items(pins_of(lake, settings.application), items)
    return standing(asked, said, settings.gate.reviews), Asking(*models, items, said, unseen=unknown, pinned=pinned)


def to_review(lake: Lake, settings: Settings, evaluation_id: str, by: str, count: int | None = None) -> list[Question]:
    """The disagreements that a person reviews next: `count`, or as many as the gate's next look needs.

    Raises UsageError for an id that is none, NotEnoughData where the answers differ nowhere.
    """
    stood = standing_of(lake, settings, evaluation_id)
    order = in_order(stood.asked)
    if not order:
        raise NotEnoughData("the two models answered every request alike: there is nothing to review")
    missing = max(0, (stood.next_look or 0) - stood.reviewed)
    ids = [one.item.item_id for one in order]
    said, again = opinions(lake, settings, ids), again_of(review_rows(lake, ids), by)
    return next_questions(order, said, settings.evaluate.rubric, missing if count is None else count, by, again)


def questions(lake: Lake, settings: Settings, evaluation_id: str, items: Collection[str]) -> list[Question]:
    """Some disagreements of an evaluation as questions, answered or not. Raises UsageError for an id that is none."""
    order = in_order(standing_of(lake, settings, evaluation_id).asked)
    wanted = [one for one in order if one.item.item_id in items]
    return next_questions(wanted, {}, settings.evaluate.rubric, len(wanted), "", {})


def record_reviews(
    lake: Lake, settings: Settings, evaluation_id: str, answers: Sequence[Question], by: str, now: datetime, tell: Tell
) -> Recorded:
    """Keep a person's reviews, and tell Kafka of them as feedback; the same ones twice are kept and told once.

    1. The events, whose ids are made of what they say. 2. The rows that the gate reads.
    A kill in between leaves events without rows; recording again tells the same events and adds the rows.
    """
    answers, events = _events(lake, settings, evaluation_id, answers, by, now)
    if told := [event for of_item in events.values() for event in of_item]:
        tell(told)
    ids = {item: of_item[0].id for item, of_item in events.items() if of_item}
    _keep(lake, answers, batch_of(answers, by), now, lambda name: rows_of(answers, by, name, ids))
    return Recorded(len(answers), len(told), standing_of(lake, settings, evaluation_id))


def take_back_reviews(
    lake: Lake, settings: Settings, evaluation_id: str, answers: Sequence[Question], by: str, now: datetime, tell: Tell
) -> None:
    """Take back reviews as they were recorded: their events are retracted, and the gate reads them no longer.

    What is said of these items afterwards has `again` one higher. The same ones twice are taken back once.
    """
    answers, events = _events(lake, settings, evaluation_id, answers, by, now)
    told = [
        retraction_of(event.id, event.kind, event.source, about, now)
        for of_item in events.values()
        for event in of_item
        for about in [About(event.interaction_id, event.application, event.conversation_id)]
    ]
    if told:
        tell(told)
    _keep(lake, answers, batch_of(answers, by, TAKEN_BACK), now, lambda name: taken_back_rows(answers, by, name))


def _events(
    lake: Lake, settings: Settings, evaluation_id: str, answers: Sequence[Question], by: str, now: datetime
) -> tuple[list[Question], dict[str, list[Feedback]]]:
    """Those answers that are about items of the evaluation, and their feedback by item."""
    items = {item.item_id: item for item in _items(lake, settings, evaluation_id)}
    mine = [answer for answer in answers if answer.item_id in items]
    return mine, feedback_of(mine, _served(lake, settings, [items[answer.item_id] for answer in mine]), by, now)


def _keep(
    lake: Lake,
    answers: Sequence[Question],
    batch: str,
    now: datetime,
    made: Callable[[str], list[dict[str, Any]]],
) -> None:
    """Publish the rows that `made` makes for a name, once."""
    before = {row["evaluation_id"] for row in review_rows(lake, [answer.item_id for answer in answers])}
    if answers and not any(name.endswith(batch) for name in before):
        name = f"reviews-{plain(now).isoformat()}-{batch}"  # a later batch sorts behind an earlier one
        publish(lake, "scores", to_rows("scores", made(name)), name)


def _items(lake: Lake, settings: Settings, evaluation_id: str) -> list[Item]:
    """The items that an evaluation asked."""
    version = evaluation_of(lake, settings.application, evaluation_id).dataset_version
    found = next(v for v in versions(lake, settings.application) if v.version == version)
    asked = {score.item_id for score in scores_of(lake, evaluation_id)}
    eval_set = of_version(found, settings)
    changed = eval_set.folder.stat().st_mtime_ns if eval_set.folder.exists() else 0
    every = _read(eval_set.folder, tuple(sorted(eval_set.sha256.items())), changed)
    return [item for item in every if item.item_id in asked]


@lru_cache(maxsize=2)
def _read(folder: Path, sha256: tuple[tuple[str, str], ...], _changed: int) -> tuple[Item, ...]:
    """The items of a version, which never changes: each answer to a pair asks for them."""
    return tuple(read_items(folder, dict(sha256)))


def _served(lake: Lake, settings: Settings, items: Sequence[Item]) -> dict[str, Served]:
    """The interactions behind items, by item; golden ones have none, or one that may have been asked otherwise."""
    ids = {item.interaction_id: item.item_id for item in items if item.interaction_id and item.source != GOLDEN}
    known = lake.versions(("interactions",))
    rows = query(lake, SQL.read_text(), known, {"application": settings.application, "ids": sorted(ids)}).to_pylist()
    return {
        ids[row["id"]]: Served(
            row["id"], row["application"], row["conversation_id"], served_answer(parse(row["output_messages"]))
        )
        for row in rows
    }
