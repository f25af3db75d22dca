"""Where two models' answers differ, in the order in which people review them, with what is known of each.

Scores, items and reviews become the arrays that `reviewed.py` estimates from. Pure. A review counts only as part of an
unbroken beginning of the order: whoever reviews what they like, or what another candidate brought up, moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

from flows.evaluate.reviewed import Evidence, youden
from flows.opinions import Opinions, spoken
from flows.statistics import Codes, Floats
from schemas.events import Candidate
from schemas.messages import text_of
from schemas.records import GOLDEN, Item, Score


class Asked(Struct, frozen=True):
    """One request with both models' answers."""

    item: Item
    champion: str | None
    """The answer; None where there is none."""
    candidate: str | None
    guess: float
    """Score(candidate) - score(champion), 0 where either has none."""

    @property
    def missing(self) -> bool:
        """Whether a model gave no answer."""
        return self.champion is None or self.candidate is None

    @property
    def differs(self) -> bool:
        """Whether both answered, and not the same."""
        return not self.missing and spoken(self.champion or "") != spoken(self.candidate or "")


class Standing(Struct, frozen=True):
    """How far reviews have come, and what they said; arrays have one entry for each request, by item id."""

    asked: tuple[Asked, ...]
    said: Floats
    """NaN where nobody reviewed, or where the review does not count yet."""
    skipped: Codes
    """1 where reviewers could not tell; `said` is 0 there."""
    reviewed: int
    look: int
    next_look: int | None
    youden: tuple[float, float]

    def evidence(self, skipped_as: float = 0.0) -> Evidence:
        """The arrays that the estimator takes; what reviewers could not tell counts as given."""
        users = [one.item.unit or one.item.item_id for one in self.asked]
        words = [spoken(text_of(list(one.item.messages), "user")) for one in self.asked]
        return Evidence(
            np.array([one.differs for one in self.asked], bool),
            np.where(self.skipped == 1, skipped_as, self.said),
            np.array([one.guess for one in self.asked], float),
            (_codes(users), _codes(words)),
            np.array([one.missing for one in self.asked], bool),
        )


def is_golden(items: Sequence[Item]) -> bool:
    """Whether every reference came with the set: then scores can be believed, and nobody need review."""
    return all(item.source == GOLDEN for item in items)


def asked_of(items: Sequence[Item], scores: Iterable[Score]) -> tuple[Asked, ...]:
    """The requests by item id. The first sample's answers are compared; scores are means over all samples."""
    answers: dict[tuple[str, str], str] = {}
    values: dict[tuple[str, str], list[float]] = {}
    for score in scores:
        key = (score.item_id, score.role)
        if score.answered and score.sample == 0:
            answers[key] = score.output or ""
        if score.score is not None and 0 <= score.score <= 1:
            values.setdefault(key, []).append(score.score)

    def guess(item_id: str) -> float:
        sides = [values.get((item_id, role)) for role in ("candidate", "champion")]
        if any(side is None for side in sides):
            return 0.0
        candidate, champion = (sum(side) / len(side) for side in sides if side)
        return candidate - champion

    return tuple(
        Asked(
            item,
            answers.get((item.item_id, "champion")),
            answers.get((item.item_id, "candidate")),
            guess(item.item_id),
        )
        for item in sorted(items, key=lambda item: item.item_id)
    )


def answers_of(asked: Iterable[Asked]) -> list[tuple[str, str]]:
    """What a review of any of it would be about: (item, answer)."""
    return [(one.item.item_id, text) for one in asked for text in (one.champion, one.candidate) if text is not None]


def in_order(asked: Iterable[Asked]) -> list[Asked]:
    """The disagreements, first to be reviewed first."""
    return sorted((one for one in asked if one.differs), key=lambda one: one.item.order)


def standing(asked: Sequence[Asked], opinions: Opinions, looks: Sequence[int]) -> Standing:
    """What counts of the reviews: the longest look that an unbroken beginning of the order has reached."""
    order = in_order(asked)
    verdicts = [opinion_of(one, opinions) for one in order]
    reviewed = next((n for n, verdict in enumerate(verdicts) if verdict is None), len(verdicts))
    look = max((look for look in looks if look <= reviewed), default=0)
    if reviewed == len(order) and reviewed <= max(looks):
        look = reviewed
    coming = [min(step, len(order)) for step in looks if step > look]
    place = {one.item.item_id: n for n, one in enumerate(asked)}
    said, skipped = np.full(len(asked), np.nan), np.zeros(len(asked), np.intp)
    for one, verdict in zip(order[:look], verdicts, strict=False):
        at = place[one.item.item_id]
        said[at] = 0.0 if verdict is None or np.isnan(verdict) else verdict
        skipped[at] = verdict is None or bool(np.isnan(verdict))
    next_look = coming[0] if coming and look < len(order) else None
    return Standing(tuple(asked), said, skipped, reviewed, look, next_look, _agreement(order, opinions))


def opinion_of(one: Asked, opinions: Opinions) -> float | None:
    """Right(candidate) - right(champion), the mean of those who judged both; NaN: skipped; None: not reviewed yet."""
    sides = [opinions.get((one.item.item_id, spoken(text or "")), {}) for text in (one.candidate, one.champion)]
    both = sides[0].keys() & sides[1].keys()
    if not both:
        return None
    pairs = [(sides[0][name], sides[1][name]) for name in sorted(both)]
    told = [candidate - champion for candidate, champion in pairs if candidate is not None and champion is not None]
    return sum(told) / len(told) if told else float("nan")


def reference_from(item: Item, champion: Candidate, reviewed: bool = False, frozen: bool = False) -> str:
    """Whose word it is: `own` (the champion's), `other` (another model's; `frozen`, where its set is), or a person's.

    A `correction` of a request whose answers reviewers judged is the `reviewer`'s; `golden` came with the set.
    """
    if item.reference is None:
        return "none"
    if item.source == "correction":
        return "reviewer" if reviewed else "correction"
    if item.source == GOLDEN:
        return GOLDEN
    return "own" if item.model == champion.model else "frozen" if frozen else "other"


def _agreement(order: Sequence[Asked], opinions: Opinions) -> tuple[float, float]:
    """Youden's J of the reviewers, from answers that two of them judged: the first two by name."""
    first, second = [], []
    for one in order:
        for text in (one.candidate, one.champion):
            given = opinions.get((one.item.item_id, spoken(text or "")), {})
            told = [value for _, value in sorted(given.items()) if value is not None]
            if len(told) > 1:
                first.append(told[0] >= 0.5)
                second.append(told[1] >= 0.5)
    return youden(first, second)


def _codes(names: Sequence[str]) -> Codes:
    return np.unique(np.array(names), return_inverse=True)[1] if names else np.empty(0, np.intp)
