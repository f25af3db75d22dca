"""All feedback on each interaction, folded into ok, failed or unknown, with a probability and every reason.

Pure functions of the rows that `interactions.sql` and `signals.sql` give. Go on to `flows/cluster/stage.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from flows.cluster.outcomes.reliability import Reliability, estimate
from flows.cluster.outcomes.rules import Asked, findings
from flows.cluster.outcomes.signals import BAD, Voices, voices
from schemas.messages import last_text, parse, read
from schemas.records import Outcome
from schemas.settings import ClusterSettings


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Every interaction with its outcome, and how the sources fared."""

    outcomes: tuple[Outcome, ...]
    """In the order of the interactions."""
    texts: tuple[str, ...]
    """What the person asked: the last user message of each interaction."""
    reliability: Reliability
    over_cap: int
    """Voices left out because their unit had judged more of one day's interactions than the cap allows."""


def judge(interactions: pa.Table, signals: pa.Table, settings: ClusterSettings) -> Judged:
    """Outcomes of all interactions; the same set of rows gives the same outcomes."""
    columns = [field.name for field in msgspec.structs.fields(Asked)]
    rows = msgspec.convert(interactions.select(columns).to_pylist(), list[Asked])
    items = {row.id: i for i, row in enumerate(rows)}
    found = [(i, reason) for i, row in enumerate(rows) for reason in findings(row, read(row.output_messages))]
    heard = voices(items, signals, found, settings.failing_labels, settings.signals_off)
    fitted = estimate(heard, len(rows), settings.signal_weights)
    over_cap = int(np.sum(signals["over_cap"].to_numpy(zero_copy_only=False))) if len(signals) else 0
    texts = tuple(last_text(parse(row.input_messages), "user") for row in rows)
    return Judged(
        outcomes=tuple(_outcomes(rows, heard, fitted, settings)),
        texts=texts,
        reliability=fitted,
        over_cap=over_cap,
    )


def _outcomes(rows: Sequence[Asked], heard: Voices, fitted: Reliability, settings: ClusterSettings) -> list[Outcome]:
    said: list[list[tuple[int, str]]] = [[] for _ in rows]
    for item, says, reason in zip(heard.item, heard.says, heard.reasons, strict=True):
        said[item].append((int(says), reason))
    return [
        _outcome(row.id, voices_of, 1 - bad, settings)
        for row, voices_of, bad in zip(rows, said, fitted.probability_bad.tolist(), strict=True)
    ]


def _outcome(id_: str, verdicts: list[tuple[int, str]], good: float, settings: ClusterSettings) -> Outcome:
    if not verdicts:
        return Outcome(id_, "unknown", None)
    failed, ok = good < settings.failed_below, good >= settings.ok_from
    against = {reason for says, reason in verdicts if says == BAD}
    pro = {reason for says, reason in verdicts if says != BAD}
    reasons = against if failed else pro if ok else against | pro
    name = "failed" if failed else "ok" if ok else "unknown"
    return Outcome(id_, name, round(good, 6), tuple(sorted(reasons)), len(verdicts))  # type: ignore[arg-type] # one of 3
