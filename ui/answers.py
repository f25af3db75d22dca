"""What a reviewer says of one answer ▶ feedback events, and their retraction. Pure.

Every event's id is made of the answer's own, so that an answer sent twice is one answer, and taking it back needs no
memory of what it was. Go on to `queue.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from flows.evaluate.reviews import About, retraction_of
from flows.ledger import decision_id
from schemas.events import Feedback
from schemas.kinds import ADJUDICATED, CANNOT_TELL, EXCLUDE, RANDOM, Kind

REVIEWER = "reviewer:"
"""Sources of people begin so."""
LABELS = (
    ("off_topic", "off topic", "q"),
    ("incorrect", "wrong fact", "w"),
    ("incomplete", "incomplete", "t"),
    ("tone", "tone", "y"),
    ("harmful", "harmful", "u"),
)
"""What may be wrong with an answer: label, its words, its key."""
VERDICTS = {"good": 1.0, "bad": 0.0, "cannot_tell": None}
CORRECTION = "correction"


class Answer(Struct, frozen=True, kw_only=True):
    """What one person says of one interaction."""

    id: str
    """UUID made when it was shown: of all that this answer says, the ids are made of it."""
    verdict: str
    """A name in VERDICTS."""
    labels: tuple[str, ...] = ()
    correction: str = ""
    exclude: bool = False
    """Whether it must not be in a dataset."""
    random: bool = False
    """Whether it was asked in random order: only then it counts for rates and agreement."""
    reason: str = ""


def events_of(answer: Answer, about: About, by: str, now: datetime) -> list[Feedback]:
    """The events of an answer, its verdict first. Raises msgspec.ValidationError where its id is no UUID."""
    value = VERDICTS[answer.verdict]
    how = RANDOM if answer.random else None
    verdict = (
        {"kind": "label", "label": CANNOT_TELL} if value is None
        else {"kind": "reviewer", "value": value, "label": ADJUDICATED if answer.reason else how,
              "text": answer.reason or None}
    )  # fmt: skip
    parts: list[tuple[str, dict[str, Any]]] = [(answer.id, verdict)]
    wanted = [label for label, _, _ in LABELS if label in answer.labels] + ([EXCLUDE] if answer.exclude else [])
    parts += [(_part(answer.id, label), {"kind": "label", "label": label}) for label in wanted]
    if answer.correction.strip():
        parts.append((_part(answer.id, CORRECTION), {"kind": "correction", "text": answer.correction.strip()}))
    head = {**msgspec.structs.asdict(about), "time": now, "source": REVIEWER + by}
    return [msgspec.convert({**head, "id": id_, **said}, Feedback) for id_, said in parts]


def ids_of(answer_id: str) -> list[str]:
    """The ids of all events that an answer can have."""
    names = (*(label for label, _, _ in LABELS), EXCLUDE, CORRECTION)
    return [answer_id, *(_part(answer_id, name) for name in names)]


def retractions(said: Iterable[tuple[str, Kind]], about: About, by: str, now: datetime) -> list[Feedback]:
    """The events that take back others of this person, given by id and kind."""
    return [retraction_of(id_, kind, REVIEWER + by, about, now) for id_, kind in said]


def _part(answer_id: str, name: str) -> str:
    return decision_id("part of a review", answer_id, name)
