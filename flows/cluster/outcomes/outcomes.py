"""What was said of an interaction, and what that makes of it: ok, failed or unknown, with a score and every reason.

The outcome follows from the combination of voices alone (`signals.key_of`), and the reliability of sources from how
often each combination was heard: nothing here grows with the number of interactions. Go on to `judging.py`, the user.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from flows.cluster.outcomes.reliability import Reliability, estimate
from flows.cluster.outcomes.signals import BAD, Voice, key_of, voice_of, voices_of, voices_of_rules
from schemas.settings import ClusterSettings

NOTHING = key_of(())
"""The combination of no voices."""
Verdict = tuple[Literal["ok", "failed", "unknown"], float | None]
"""An outcome and its score."""


class Heard(Struct, frozen=True, kw_only=True):
    """All that was said of one interaction."""

    voices: str
    """The combination, as `key_of` names it."""
    against: tuple[str, ...]
    """Reasons of those that say bad, sorted."""
    pro: tuple[str, ...]
    signals: int
    """Voices that count."""
    left_out: int
    """Voices that do not: their unit had judged more of one day's interactions than the cap allows."""
    speakers: tuple[str, ...]
    """The units of the people among them, whether they count or not."""


@dataclass(frozen=True)
class Fitted:
    """How the sources fared, and what each combination of voices makes of an interaction."""

    reliability: Reliability
    verdicts: Mapping[str, Verdict]
    """Combination → outcome and score."""


def heard(signals: Iterable[Mapping[str, Any]], found: Sequence[str], settings: ClusterSettings) -> Heard:
    """The rows of `signals.sql` on one interaction and the findings of our own rules, put together."""
    voices: list[Voice] = voices_of_rules(found, settings.signals_off)
    speakers, left_out = set(), 0
    for row in signals:
        left_out += bool(row["over_cap"])
        if row["person"]:
            speakers.add(row["unit"])
        if (voice := voice_of(row, settings.failing_labels, settings.signals_off)) is not None:
            voices.append(voice)
    return Heard(
        voices=key_of(voices),
        against=tuple(sorted({voice.reason for voice in voices if voice.says == BAD})),
        pro=tuple(sorted({voice.reason for voice in voices if voice.says != BAD})),
        signals=len(voices),
        left_out=left_out,
        speakers=tuple(sorted(speakers)),
    )


def reasons_of(against: Sequence[str], pro: Sequence[str], outcome: str) -> Sequence[str]:
    """The reasons that speak for an outcome; all of them where it is unknown."""
    if outcome == "unknown":
        return sorted({*against, *pro})
    return against if outcome == "failed" else pro


def fit(counts: Mapping[str, int], settings: ClusterSettings) -> Fitted:
    """The verdict on each combination of voices; `counts` says of how many interactions it was heard."""
    keys = sorted(key for key in counts if key != NOTHING)
    times = np.array([counts[key] for key in keys], dtype=np.float64)
    reliability = estimate(voices_of(keys), len(keys), settings.signal_weights, times)
    good = (1 - reliability.probability_bad).tolist()
    verdicts: dict[str, Verdict] = {
        key: (_outcome(share, settings), round(share, 6)) for key, share in zip(keys, good, strict=True)
    }
    return Fitted(reliability, {**verdicts, NOTHING: ("unknown", None)})


def _outcome(good: float, settings: ClusterSettings) -> Literal["ok", "failed", "unknown"]:
    return "failed" if good < settings.failed_below else "ok" if good >= settings.ok_from else "unknown"
