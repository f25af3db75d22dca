"""One table of what kinds of feedback say: complete, and what every reader goes by."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from flows.cluster.outcomes.signals import INFERRED, SIGNALS
from flows.testing.events import feedback, interaction
from schemas.events import Feedback, Kind
from schemas.kinds import EVEN, KINDS, says

WHOLE: dict[str, Any] = {"value": 1.0, "text": "so", "label": "wrong"}


def test_no_kind_is_left_out() -> None:
    """A kind that validation lets in has a meaning, and a guess of how far it is trusted."""
    assert set(KINDS) == set(get_args(Kind))
    assert set(SIGNALS) == {*KINDS, "found"}
    assert INFERRED - {"guardrail", "judge"} == {k for k, what in KINDS.items() if what.voice == "implicit"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_needs_is_asked_for(kind: str) -> None:
    """Without the field that the table names an event is refused; a retraction says nothing and needs none."""
    whole = feedback(1, interaction(1), kind, **WHOLE)
    needed = KINDS[kind].needs
    if needed:
        with pytest.raises(ValueError, match=f"{needed} is required for kind '{kind}'"):
            feedback(1, interaction(1), kind, **{**WHOLE, needed: None})
        feedback(1, interaction(1), kind, **{**WHOLE, needed: None}, retracts=interaction(2).id)
    else:
        feedback(1, interaction(1), kind, **dict.fromkeys(WHOLE))

    assert msgspec.convert(msgspec.to_builtins(whole), Feedback) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_speaks_by_what_it_says(kind: str) -> None:
    """Values speak in both directions and not in the middle; one-sided kinds whatever their value; words never."""
    answers = [says(kind, value, "Wrong", ["wrong"]) for value in (0.0, EVEN, 1.0, None)]

    assert (
        answers
        == {
            "value": [False, None, True, None],
            "label": [False] * 4,
            "bad": [False] * 4,
            "good": [True] * 4,
            "nothing": [None] * 4,
        }[KINDS[kind].says]
    )
    assert says("label", None, "billing", ["wrong"]) is None
    assert says("label", None, None, ["wrong"]) is None
