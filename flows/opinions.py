"""What people said of answers, and what of it still stands: reviews as they lie in the table `scores`.

A review is kept by request and answer, so that another candidate with the same answer re-uses it. It is told to Kafka
as feedback too; whoever takes that back, or is forgotten, takes the review back. Written by `flows/evaluate`, which
decides by it; `flows/promote` asks whether it is still what a comparison stood on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.messages.called import calls_in, canonical
from schemas.records import content_hash
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.query import query, rows

HUMAN = "human:"
"""Scorer names of people begin so."""
EITHER = "any"
"""The role of a review: the same answer of either model is the same answer. No other score has it."""
TAKEN_BACK = "taken_back"
"""Why a row has no score: whoever said something of this answer took it back."""
Opinions = Mapping[tuple[str, str], Mapping[str, float | None]]
"""(item, answer as `spoken`) → reviewer → right (1) or wrong (0), None where they could not tell."""
SQL = Path(__file__).with_name("taken_back.sql")


def opinions(lake: Lake, settings: Settings, items: Collection[str]) -> Opinions:
    """What people said of answers to these items, and did not take back. Reads no other item's reviews."""
    return _standing(lake, settings, review_rows(lake, items))


def all_opinions(lake: Lake, settings: Settings) -> Opinions:
    """The same of every item. Files of scores say which roles are in them, so that only those of reviews are read."""
    return _standing(lake, settings, rows(lake, "scores", role=EITHER))


def review_rows(lake: Lake, items: Collection[str]) -> list[dict[str, Any]]:
    """The rows of all reviews of some items, as they were recorded."""
    return rows(lake, "scores", role=EITHER, item_id=items) if items else []


def opinions_of(reviews: Iterable[Mapping[str, Any]]) -> Opinions:
    """What people said, from rows of `scores`; of a person who said two things of one answer, the later batch's."""
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in sorted(reviews, key=lambda row: row["evaluation_id"]):
        name, of_answer = row["scorer"].removeprefix(HUMAN), (row["item_id"], spoken(row["output"] or ""))
        if row["unscored"] == TAKEN_BACK:
            found.get(of_answer, {}).pop(name, None)
        else:
            found.setdefault(of_answer, {})[name] = row["score"]
    return found


def _standing(lake: Lake, settings: Settings, found: Sequence[Mapping[str, Any]]) -> Opinions:
    gone = _taken_back(lake, settings, {row["feedback_id"] for row in found} - {None})
    return opinions_of(row for row in found if row["feedback_id"] not in gone)


def fingerprint(said: Opinions, answers: Iterable[tuple[str, str]]) -> str:
    """A hash of what was said of these answers (item, text): with other reviews, a comparison is another one."""
    wanted = {(item, spoken(text)) for item, text in answers}
    return content_hash(sorted((key, sorted(names.items())) for key, names in said.items() if key in wanted))[:32]


def spoken(text: str) -> str:
    """What an answer says, for comparing two: Unicode form, case, spacing and a final stop do not count.

    Tool calls, as their JSON, by name and arguments: the ids that a server gives them say nothing.
    """
    if (calls := calls_in(text)) is not None:
        return "\n".join(map(canonical, calls))
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip().casefold().rstrip(" .!")


def _taken_back(lake: Lake, settings: Settings, events: Collection[str]) -> set[str]:
    """Which of these feedback events are archived and stand no longer."""
    if not events:
        return set()
    known = lake.versions(("feedback", "interactions", "erasures"))
    wanted = {"application": settings.application, "ids": sorted(events)}
    after = settings.archive.after_erasure
    return set(query(lake, SQL.read_text(), known, wanted, after_erasure=after)["id"].to_pylist())
