"""How far each kind of feedback is trusted before anything has been measured, and every voice in columns.

What a kind says stands in `schemas/kinds.py`. Signals keep their types: nothing is summed here. Go on to
`reliability.py`, which replaces these guesses by estimates where sources overlap, and to `outcomes.py`, which folds the
signals of an interaction into its outcome.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.events import to_json
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
    """Every voice, in columns: who spoke of which item, and what it said."""

    item: NDArray[np.int64]
    """Number of the item: a combination of voices, or an interaction."""
    source: NDArray[np.int64]
    """Index into `sources`."""
    says: NDArray[np.int8]
    """BAD or OK."""
    sources: tuple[str, ...]
    """`thumb`, `judge:NAME`, `found:empty_answer`, …: what one reliability is estimated for. Sorted."""


def kind_of(source: str) -> str:
    """The kind that a source's voices are of: `judge` of `judge:NAME`."""
    return source.partition(":")[0]


def is_two_sided(source: str) -> bool:
    """Whether a source says bad or ok by its value; the others speak or are silent."""
    kind = kind_of(source)
    return kind in KINDS and KINDS[kind].says == "value"


@dataclass(frozen=True, order=True)
class Voice:
    """One voice on one interaction."""

    source: str
    says: int
    """BAD or OK."""
    reason: str
    """`thumb_down`, `correction`, `error:timeout`, …"""


def voice_of(row: Mapping[str, Any], failing_labels: Collection[str], off: Collection[str]) -> Voice | None:
    """What a row of `signals.sql` says; None where it says neither good nor bad, is over the cap or switched off."""
    good = says(row["kind"], row["value"], row["label"], failing_labels)
    if good is None or row["over_cap"]:
        return None
    said = OK if good else BAD
    named = KINDS[row["kind"]].voice == "verdict" and row["source"] != "user"
    source = f"{row['kind']}:{_short(row['source'])}" if named else row["kind"]
    return Voice(source, said, _reason(row, said)) if _is_heard(source, off) else None


def voices_of_rules(found: Sequence[str], off: Collection[str]) -> list[Voice]:
    """What our own rules found, as voices."""
    voices = [Voice(f"found:{reason.partition(':')[0]}", BAD, reason) for reason in found]
    return [voice for voice in voices if _is_heard(voice.source, off)]


def key_of(voices: Iterable[Voice]) -> str:
    """The combination of what was said, whoever's reasons: interactions with the same one have the same outcome."""
    return str(to_json(sorted((voice.source, voice.says) for voice in voices)))


def voices_of(keys: Sequence[str]) -> Voices:
    """The voices of combinations (`key_of`), one item each."""
    rows = [(i, source, said) for i, key in enumerate(keys) for source, said in msgspec.json.decode(key)]
    names = tuple(sorted({source for _, source, _ in rows}))
    index = {name: i for i, name in enumerate(names)}
    return Voices(
        item=np.array([item for item, _, _ in rows], dtype=np.int64),
        source=np.array([index[source] for _, source, _ in rows], dtype=np.int64),
        says=np.array([said for _, _, said in rows], dtype=np.int8),
        sources=names,
    )


def _is_heard(source: str, off: Collection[str]) -> bool:
    return source not in off and kind_of(source) not in off


def _reason(row: Mapping[str, Any], vote: int) -> str:
    kind = str(row["kind"])
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
