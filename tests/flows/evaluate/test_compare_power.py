"""Gates that can never pass, and the gate's own A/A test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.evaluate.compare import compare, differences, pair
from flows.evaluate.power import refuse_impossible
from flows.evaluate.selftest import flip_rates, swapped
from flows.promote.gate import decide
from flows.statistics import cluster_mean
from schemas.errors import SettingsError
from schemas.loading import load
from schemas.records import Item, Score, make_candidate
from schemas.settings import GateSettings

MODEL = make_candidate("m", "http://127.0.0.1:1/v1")


def items(n: int, small: int = 0, per_unit: int = 1) -> list[Item]:
    """`n` items, the first `small` of them in the slice `rare`."""
    return [
        Item(f"i{k}", (), None, slice="rare" if k < small else "common", unit=f"u{k // per_unit}") for k in range(n)
    ]


@pytest.mark.parametrize(
    ("found", "gate", "reason"),
    [
        (items(500, small=10), {"protected": ["rare"]}, "slice rare has 10 units; gate.slice_margin 0.1 needs 42"),
        (items(500, small=41), {"protected": ["rare"]}, "slice rare has 41 units"),
        (items(400, small=56, per_unit=2), {"protected": ["rare"]}, "slice rare has 28 units.* needs 29"),
        (items(500), {"protected": ["gone"]}, "protected slice gone has no item"),
        (items(60), {"policy": "as_good", "margin": 0.01}, "gate.margin 0.01 needs 446 units"),
        (items(600, per_unit=20), {"policy": "as_good", "margin": 0.05, "min_units": 10}, "needs 59 units.* has 30"),
        (items(30), {"alpha": 1e-12}, "cannot be reached"),
    ],
)
def test_a_gate_that_can_never_pass_is_refused_before_anything_is_paid(
    found: list[Item], gate: dict[str, Any], reason: str
) -> None:
    """The message names the setting, what it needs, and what there is."""
    with pytest.raises(SettingsError, match=reason):
        refuse_impossible(found, GateSettings(**gate))


def test_a_gate_that_can_pass_and_a_set_that_still_grows_are_not_refused() -> None:
    """An eval set below `gate.min_items` gets the verdict inconclusive, not an error."""
    refuse_impossible(items(500, small=42), GateSettings(protected=["rare"]))
    refuse_impossible(items(5), GateSettings(protected=["gone"]))
    refuse_impossible(items(400, small=60, per_unit=2), GateSettings(protected=["rare"]))
    nobodys = [Item(f"i{k}", (), None, slice="rare") for k in range(500)]
    refuse_impossible(nobodys, GateSettings(protected=["rare"], policy="as_good"))


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", "0"), ("alpha", "0.6"), ("margin", "0"), ("slice_margin", "1"), ("policy", "best")]
)
def test_settings_that_make_no_gate_are_refused(name: str, value: str) -> None:
    """A level of nought or a half, a margin of nothing or everything, an unknown policy: named when settings load."""
    with pytest.raises(SettingsError, match=name):
        load({}, {f"FLYWHEEL_GATE_{name.upper()}": value})


def scores(seed: int) -> list[Score]:
    rng = np.random.default_rng(seed)
    return [
        Score(f"i{n}", role, "exact", float(rng.random() < rate), unit=f"u{n // 2}", slice=f"s{n % 4}")  # type: ignore[arg-type]
        for n in range(400)
        for role, rate in (("champion", 0.6), ("candidate", 0.9))
    ]


def test_equal_models_are_seldom_told_apart_on_this_eval_set() -> None:
    """Dealing the answers anew keeps ties, units and slices and takes the difference away: alpha is for both errors."""
    found = scores(1)
    comparison = compare(found, MODEL, MODEL, "d", "e", GateSettings())
    rates = flip_rates(pair(found), comparison, GateSettings(), decide, repeats=600, seed=1)

    assert decide(comparison, GateSettings()).verdict == "promote"
    assert sum(rates.values()) == pytest.approx(1)
    assert rates["block"] + rates["promote"] <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 600)


def test_the_interval_shown_is_that_of_the_test_that_decides() -> None:
    """Overall its end is at nought when superiority is just shown, at the margin when non-inferiority is."""
    for policy, level in (("better", 0.025), ("as_good", 0.05)):
        gate = GateSettings(policy=policy)  # type: ignore[arg-type]
        paired = pair(scores(1))
        overall, slices = differences(paired, gate)
        estimate = cluster_mean(paired.candidate - paired.champion, paired.units)

        assert (overall.low, overall.high) == pytest.approx(estimate.interval(level))
        assert all(s.high - s.low > overall.high - overall.low for s in slices)  # type: ignore[operator]


def test_a_units_answers_stay_together() -> None:
    """A coin is thrown for each unit, not for each item, or the units' likeness would be lost."""
    paired = pair(scores(2))
    dealt = swapped(paired, np.random.default_rng(3))
    kept = (dealt.champion == paired.champion) & (dealt.candidate == paired.candidate)

    for unit in np.unique(paired.units):
        moved = (paired.units == unit) & (paired.champion != paired.candidate)
        assert len(set(kept[moved].tolist())) <= 1
