"""Finished evaluations in the lake: what was compared with what, and every score. Read by evaluate, promote, commands.

Go on to `flows/evaluate/plan.py`.
"""

from __future__ import annotations

from schemas.errors import UsageError
from schemas.records import Difference, Evaluation, Score
from streams.lake import Lake
from streams.lake.query import rows
from streams.lake.rows import from_row

UNSEEN = "unseen"
"""The slice of requests whose words no training row of either model has."""


def told(found: Difference) -> int:
    """How many items tell of a difference: reviewed ones, or those with both scores."""
    return found.items if found.reviewed is None else found.reviewed


def evaluation_of(lake: Lake, application: str, evaluation_id: str) -> Evaluation:
    """A finished evaluation of an application. Raises UsageError for an id that is none."""
    for row in rows(lake, "evaluations", evaluation_id=evaluation_id, application=application):
        return from_row(Evaluation, row)
    raise UsageError(f"{application}: no finished evaluation {evaluation_id[:64]!r}; `flywheel evaluate` makes one")


def evaluations(lake: Lake, application: str) -> list[Evaluation]:
    """Every finished evaluation of an application, oldest first."""
    found = [from_row(Evaluation, row) for row in rows(lake, "evaluations", application=application)]
    return sorted(found, key=lambda evaluation: (evaluation.created, evaluation.evaluation_id))


def scores_of(lake: Lake, evaluation_id: str) -> list[Score]:
    """Every score of an evaluation, in the order in which they lie."""
    return [from_row(Score, row) for row in rows(lake, "scores", evaluation_id=evaluation_id)]
