"""`gen_ai.evaluation.result` → feedback: what a person said of a response, or what a judge made of it.

The evaluation's name says whose word it is: `user_thumb`, `user_rating`, `user_comment`, `user_correction` and
`user_label` are the user's; any other is a judge's, under its name. Go on to `schemas/otel/values.py`.
"""

from __future__ import annotations

from typing import Any

from schemas.otel.span import Attributes
from schemas.otel.values import amount, first, name, number

EVALUATION = "gen_ai.evaluation.result"
USER = "user_"
USERS = {"user_thumb": "thumb", "user_rating": "rating", "user_comment": "comment", "user_correction": "correction",
         "user_label": "label"}  # fmt: skip
"""Evaluations that are a user's own words."""
GOOD, BAD = frozenset({"pass", "up", "good", "yes", "true"}), frozenset({"fail", "down", "bad", "no", "false"})
"""Labels that stand for a value where there is no number."""


def feedback_of(attributes: Attributes) -> dict[str, Any] | None:
    """Kind, source, value, label and text of an evaluation; None where it says nothing that can be used."""
    a = attributes
    named = first(a, "gen_ai.evaluation.name")
    kind = USERS.get(str(named), "judge")
    score, label = a.get("gen_ai.evaluation.score.value"), a.get("gen_ai.evaluation.score.label")
    measured = number(score)
    value = _value(measured, amount(a.get("gen_ai.evaluation.score.max")), label)
    said = {
        "kind": kind,
        "source": "user" if kind != "judge" else name(f"judge:{named or 'unnamed'}"),
        "value": value,
        "label": None if label is None else str(label),
        "text": first(a, "gen_ai.evaluation.explanation"),
        "score": measured,
    }
    if kind == "thumb":
        said["value"] = None if value is None else float(value >= 0.5)
    needed = {"comment": "text", "correction": "text", "label": "label"}.get(kind, "value")
    return said if said[needed] is not None else None


def _value(score: float | None, most: float | None, label: Any) -> float | None:
    """From 0 to 1: the score itself, its share of the highest possible, or what its label says."""
    if score is not None:
        share = score / most if most else score
        return float(share) if 0 <= share <= 1 else None
    word = str(label).lower()
    return 1.0 if word in GOOD else 0.0 if word in BAD else None
