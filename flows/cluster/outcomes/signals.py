"""How far each kind of feedback is trusted before anything has been measured, and every voice in columns.

What a kind says stands in `schemas/kinds.py`. Signals keep their types: nothing is summed here. Go on to
`reliability.py`, which replaces these guesses by estimates where sources overlap, and to `outcomes.py`, which folds the
signals of an interaction into its outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.kinds import KINDS, says

MAX_NAME = 64
"""Characters of a label, source or error that enter a reason: reasons are counted, not read as text."""
BAD, OK = 1, 0


@dataclass(frozen=True)
class Signal:
    """How often a kind of feedback is right.

    A two-sided kind says bad or ok by its value. A one-sided kind speaks or is silent; its silence is no evidence.
    """

    bad: float
    """Two-sided: P(says bad | bad). One-sided: P(speaks | bad). A prior mean of
    `reliability.PRIOR_WEIGHT` voices."""
    good: float
    """The same given a good interaction. `bad / good` is the likelihood ratio of one voice that says bad."""


SIGNALS: dict[str, Signal] = {
    "thumb": Signal(0.90, 0.10),  # people click by mood and by mistake: about one in ten
    "rating": Signal(0.88, 0.12),
    "comment": Signal(0.5, 0.5),  # its words are kept, not judged: that would take a model
    "correction": Signal(0.10, 0.004),  # nobody rewrites a good answer: odds of 25
    "label": Signal(0.10, 0.02),  # only where the setting `failing_labels` names it
    "regenerate": Signal(0.20, 0.05),  # also out of curiosity
    "copy": Signal(0.07, 0.20),
    "abandon": Signal(0.20, 0.10),  # people also leave when they have what they came for
    "escalate": Signal(0.15, 0.03),
    "retry": Signal(0.25, 0.06),
    "guardrail": Signal(0.80, 0.10),
    "judge": Signal(0.80, 0.15),  # LLM judges agree with people in 80 to 85 % of cases
    "rule": Signal(0.95, 0.03),
    "reviewer": Signal(0.97, 0.03),
    "found": Signal(0.30, 0.003),  # our own rules (`rules.py`): odds of 100
}
"""Ratios, not promises: each is the starting point that data of the installation then moves."""

INFERRED = {kind for kind, what in KINDS.items() if what.voice == "implicit"} | {"guardrail", "judge"}
"""Kinds that are signs of how an interaction was; all others state it. Signs alone are weighed against how rare
failures are."""


@dataclass(frozen=True)
class Voices:
    """Every voice, in columns: who spoke of which interaction, and what it said."""

    item: NDArray[np.int64]
    """Row of the interaction."""
    source: NDArray[np.int64]
    """Index into `sources`."""
    says: NDArray[np.int8]
    """BAD or OK."""
    sources: tuple[str, ...]
    """`thumb`, `judge:NAME`, `found:empty_answer`, …: what one reliability is estimated for. Sorted."""
    reasons: tuple[str, ...]
    """The reason that each voice gives, by row: `thumb_down`, `correction`, `error:timeout`, …"""


def kind_of(source: str) -> str:
    """The kind that a source's voices are of: `judge` of `judge:NAME`."""
    return source.partition(":")[0]


def is_two_sided(source: str) -> bool:
    """Whether a source says bad or ok by its value; the others speak or are silent."""
    kind = kind_of(source)
    return kind in KINDS and KINDS[kind].says == "value"


def voices(
    items: dict[str, int],
    signals: pa.Table,
    found: Sequence[tuple[int, str]],
    failing_labels: Sequence[str],
    off: Sequence[str],
) -> Voices:
    """The rows of `signals.sql` that say something, and what our own rules found (`(item, reason)` pairs)."""
    rows = [(item, f"found:{reason.partition(':')[0]}", BAD, reason) for item, reason in found]
    for row in signals.select(["interaction_id", "kind", "source", "value", "label", "over_cap"]).to_pylist():
        good = says(row["kind"], row["value"], row["label"], failing_labels)
        if good is None or row["over_cap"] or row["interaction_id"] not in items:
            continue
        said = OK if good else BAD
        named = KINDS[row["kind"]].voice == "verdict" and row["source"] != "user"
        source = f"{row['kind']}:{_short(row['source'])}" if named else row["kind"]
        rows.append((items[row["interaction_id"]], source, said, _reason(row, said)))
    votes = [row for row in rows if row[1] not in off and kind_of(row[1]) not in off]
    names = tuple(sorted({row[1] for row in votes}))
    index = {name: i for i, name in enumerate(names)}
    return Voices(
        item=np.array([row[0] for row in votes], dtype=np.int64),
        source=np.array([index[row[1]] for row in votes], dtype=np.int64),
        says=np.array([row[2] for row in votes], dtype=np.int8),
        sources=names,
        reasons=tuple(row[3] for row in votes),
    )


def _reason(row: dict[str, str], vote: int) -> str:
    kind = row["kind"]
    if kind in {"thumb", "rating"}:
        return f"{kind}_{'down' if vote == BAD else 'up'}" if kind == "thumb" else f"{'low' if vote else 'high'}_rating"
    if kind == "label":
        return f"label:{_short(row['label'])}"
    if KINDS[kind].voice == "verdict":
        who = row["label"] if kind == "guardrail" and row["label"] else row["source"].rpartition(":")[2]
        return f"{kind}:{_short(who)}" + ("" if vote == BAD else ":pass")
    return kind


def _short(text: str | None) -> str:
    return (text or "")[:MAX_NAME]
