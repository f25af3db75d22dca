"""Live A/B: whether users of one variant fare better than those of another, in the gate's own terms.

Applications deal users (`llm_flywheel.variant`, or the same sum: docs/contracts.md) and put the variant into their
interactions. Offline comparisons pair answers to the same items; here each user sees one arm, so the arms are compared
unpaired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from scipy.special import bdtr

from flows.run import latest
from flows.statistics import Estimate, cluster_mean, minimum_detectable
from schemas.errors import NotEnoughData
from schemas.records import Difference
from streams.lake import Lake
from streams.lake.query import query

MISMATCH = 0.001
"""Below this p the arms' sizes are no accident: something drops users of one arm, and rates cannot be compared."""
_SQL = Path(__file__).with_name("variants.sql").read_text()


class Report(Struct, frozen=True):
    """What live traffic says of two arms."""

    difference: Difference
    """Of the shares of good interactions, treatment - control; `champion` is the control's, `candidate` the other."""
    users: dict[str, int]
    """Units that each arm was shown to, judged or not."""
    mismatch_p: float | None
    """Small: the arms' sizes do not fit the shares that were planned."""


def report(
    lake: Lake, application: str, control: str, treatment: str, alpha: float, share: float | None = None
) -> Report:
    """Compare two arms by the newest cluster run's outcomes; `share` is the treatment's planned share of users.

    Raises NotEnoughData where nothing was judged or an arm has fewer than two judged users.
    """
    if latest(lake, "cluster", application) is None:
        raise NotEnoughData(f"{application}: no outcomes yet: `flywheel turn` decides them")
    rows = query(
        lake,
        _SQL,
        {"outcomes": lake.version("outcomes")},
        {"application": application, "control": control, "treatment": treatment},
    ).to_pylist()
    return compare_arms(rows, control, treatment, alpha, share)


def compare_arms(
    rows: Sequence[Mapping[str, Any]], control: str, treatment: str, alpha: float, share: float | None = None
) -> Report:
    """The report from rows `{arm, unit, ok, failed}`, one for each unit in each arm."""
    users = {name: sum(row["arm"] == name for row in rows) for name in (control, treatment)}
    difference = _difference(_arm(rows, control), _arm(rows, treatment), alpha)
    mismatch = None if share is None else _mismatch(users[treatment], sum(users.values()), share)
    return Report(difference, users, mismatch)


def _arm(rows: Sequence[Mapping[str, Any]], name: str) -> Estimate:
    """An arm's share of good interactions among those that were judged."""
    counts = [(row["ok"], row["failed"]) for row in rows if row["arm"] == name and row["ok"] + row["failed"]]
    if len(counts) < 2:
        raise NotEnoughData(f"arm {name[:64]!r} has {len(counts)} users with judged interactions; two are the least")
    judged = np.array(counts, int)
    good = np.repeat(np.tile([1.0, 0.0], len(judged)), judged.ravel())
    return cluster_mean(good, np.repeat(np.arange(len(judged)), judged.sum(axis=1)))


def _difference(control: Estimate, treatment: Estimate, alpha: float) -> Difference:
    """Welch's t test of two cluster-robust rates; nothing is proven where no unit differs from another."""
    arms = (control, treatment)
    variance = sum(arm.se**2 for arm in arms)
    change = Estimate(
        treatment.mean - control.mean,
        variance**0.5,
        sum(arm.items for arm in arms),
        sum(arm.units for arm in arms),
        variance**2 / sum(arm.se**4 / arm.freedom for arm in arms) if variance else 1.0,
    )
    low, high = change.interval(alpha)
    return Difference(
        slice="",
        items=change.items,
        units=change.units,
        champion=control.mean,
        candidate=treatment.mean,
        difference=change.mean,
        low=low,
        high=high,
        p_non_inferior=None,
        p_superior=change.p_above(0.0) if change.se else 1.0,
        p_harm=change.mirrored().p_above(0.0) if change.se else 1.0,
        minimum_detectable=minimum_detectable(change, alpha) if change.se else None,
    )


def _mismatch(found: int, total: int, share: float) -> float:
    """Two-sided exact p of the treatment's number of users against its planned share."""
    if not total:
        return 1.0
    return float(min(1.0, 2 * min(bdtr(found, total, share), 1 - bdtr(found - 1, total, share) if found else 1.0)))
