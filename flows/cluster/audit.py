"""The random audit: which interactions people are asked about, and what their answers say of all traffic.

Of each whole day (UTC) a few are drawn by a hash of their ids, `cluster.audit` a week, judged by anybody or not, so
that feedback is checked too. They wait in the review queue. A day counts once all of its few are answered, so that
nobody chooses which answers count; the rate rests on the newest week of such days. Go on to `audited.py`, the rate
itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.cluster.audited import Stratum, audited_rate
from flows.cluster.outcomes.changes import Source
from flows.cluster.outcomes.signals import BAD, kind_of
from flows.cluster.state import Now
from flows.cluster.summary import Audit
from schemas.kinds import ADJUDICATED, EVEN
from schemas.tables import TIME
from streams.lake.parts import within

_HERE = Path(__file__).parent
WEEK = 7
LOOKED_AT = 14
"""Whole days before a run that are asked about: an answer may come late, but not for ever."""
SAID = ("bad", "good", "")
"""What all but reviewers say of an interaction; the last: nothing."""


@dataclass
class _Day:
    """One day: what is asked of it, and how much there was."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """By what people say."""


def audit(now: Now, source: Source, a_week: int) -> Audit:
    """Draw, look who was answered, and estimate. Reads outcomes of `LOOKED_AT` days, and feedback on those drawn."""
    end = now.run.as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = _days(now, end - timedelta(days=LOOKED_AT), end, a_week) if a_week else {}
    ids = [row["interaction_id"] for day in days.values() for row in day.asked]
    told = answers(source.reviews(pa.array(sorted(ids), pa.string())).to_pylist()) if ids else {}
    asked = [day for day in sorted(days) if days[day].asked]  # of fewer than seven a week, some days have none
    whole = [day for day in asked if all(row["interaction_id"] in told for row in days[day].asked)][-WEEK:]
    waiting = [
        row["interaction_id"] for day in sorted(days) for row in days[day].asked if row["interaction_id"] not in told
    ]
    if not whole:
        return Audit(waiting=tuple(waiting))
    chosen = [days[day] for day in whole]
    found = audited_rate(_strata(chosen, told))
    said = [told[row["interaction_id"]] for day in chosen for row in day.asked]
    rate, low, high = found or (None, None, None)
    return Audit(
        rate=rate,
        low=low,
        high=high,
        interactions=sum(sum(day.counts.values()) for day in chosen),
        reviewed=sum(one is not None for one in said),
        unsure=sum(one is None for one in said),
        first=whole[0].isoformat(),
        last=whole[-1].isoformat(),
        waiting=tuple(waiting),
    )


def share_of_day(a_week: int) -> list[int]:
    """How many of a week's reviews are asked of each of its days: they differ by one at most."""
    return [a_week * (day + 1) // WEEK - a_week * day // WEEK for day in range(WEEK)]


def answers(rows: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """Interaction → the share of its reviewers who say bad, as far as known; None where they cannot tell.

    What was adjudicated stands for all of them.
    """
    heard: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        heard.setdefault(row["interaction_id"], []).append(row)
    found: dict[str, float | None] = {}
    for id_, said in heard.items():
        final = [one for one in said if one["label"] == ADJUDICATED]
        words = [one["value"] < EVEN for one in final or said if one["kind"] == "reviewer" and one["value"] != EVEN]
        if words or any(one["kind"] == "label" for one in said):
            found[id_] = sum(words) / len(words) if words else None
    return found


def others_say(voices: str) -> str:
    """What is said of an interaction beside reviewers' words: one of `SAID`; any word against it counts."""
    said = [bad for source, bad in msgspec.json.decode(voices) if kind_of(source) != "reviewer"]
    return "bad" if BAD in said else "good" if said else ""


def _days(now: Now, first: datetime, end: datetime, a_week: int) -> dict[date, _Day]:
    lake, per = now.lake, share_of_day(a_week)
    part = {"outcomes": within(lake, "outcomes", lake.version("outcomes"), pc.field("time") >= pa.scalar(first, TIME))}
    given = {"first": first, "end": end}
    found: dict[date, _Day] = {}
    for row in now.ask(_HERE / "audit_counts.sql", part, **given).to_pylist():
        counts = found.setdefault(row["day"], _Day()).counts
        said = others_say(row["voices"])
        counts[said] = counts.get(said, 0) + row["interactions"]
    for row in now.ask(_HERE / "audit.sql", part, most=max(per), **given).to_pylist():
        if row["nth"] <= per[row["day"].toordinal() % WEEK]:
            found[row["day"]].asked.append(row)
    return found


def _strata(days: Sequence[_Day], told: Mapping[str, float | None]) -> list[Stratum]:
    """By what people say; an answer stands for its part of its day."""
    bad: dict[str, list[float]] = {said: [] for said in SAID}
    weights: dict[str, list[float]] = {said: [] for said in SAID}
    for day in days:
        clear = [(row, value) for row in day.asked if (value := told[row["interaction_id"]]) is not None]
        for row, value in clear:
            said = others_say(row["voices"])
            bad[said].append(value)
            weights[said].append(sum(day.counts.values()) / len(clear))
    return [
        Stratum(
            interactions=sum(day.counts.get(said, 0) for day in days),
            bad=np.array(bad[said]),
            weights=np.array(weights[said]),
        )
        for said in SAID
    ]
