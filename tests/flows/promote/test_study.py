"""The simulation study keeps its promises, with draws enough to see an error twice as frequent as it may be."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

STUDY = Path(__file__).resolve().parents[3] / "benchmarks" / "gate.py"
PATIENCE_S = 2400
"""A study takes five minutes of one core, and its machine has other work."""


@pytest.fixture(scope="module")
def study() -> Any:
    """The benchmark as a module: how many draws each of its parts has."""
    spec = importlib.util.spec_from_file_location("study", STUDY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bound(level: float, draws: int, cells: int) -> float:
    """What the worst of so many cells shows at most, in 999 of 1,000 studies, where each errs at its level.

    A cell that errs twice as often must be above it in 19 of 20 studies: a bound that sees less is none.
    """
    most = binom.isf(0.001 / cells, draws, level)
    assert binom.cdf(most, draws, 2 * level) <= 0.05
    return float(most / draws)


@pytest.mark.integration
@pytest.mark.timeout(PATIENCE_S + 30)
def test_the_gate_errs_as_seldom_and_finds_as_much_as_it_says(study: Any) -> None:
    """False promotions, false blocks, rollbacks and missed truths are within their levels, and power is .8."""
    command = [sys.executable, str(STUDY), "--quick"]
    environment = {**os.environ, "PYTHONPATH": str(STUDY.parents[1])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=PATIENCE_S)
    figures = json.loads(done.stdout.splitlines()[-1])
    draws = {name: quick for name, (_, _, quick) in study.SECTIONS.items()}
    cells = len(study.DESIGNS) * len(study.QUICK_SIZES)

    assert figures["false_promotion_better"] <= bound(0.025, draws["false_promotion"], cells)
    assert figures["false_promotion_as_good"] <= bound(0.05, draws["false_promotion"], cells)
    assert (
        figures["twenty_candidates"]
        <= binom.isf(0.001, draws["twenty_candidates"], 0.0375) / draws["twenty_candidates"]
    )
    assert figures["worst_rare_segment"] <= bound(0.05, draws["worst_rare_segment"], 16)
    assert figures["unscored_worst_case"] <= bound(0.05, draws["unscored_worst_case"], 6)
    assert figures["ratchet_ten_turns"] <= 0.03 + 1e-9
    assert figures["family_wise"] <= bound(0.05, draws["family_wise"], 2)
    assert figures["aa_flip"] <= bound(0.05, draws["aa_flip"], 6)
    assert figures["false_rollback"] <= bound(0.05, draws["canary"], 2)
    assert 1 - figures["judge_coverage"] <= bound(0.05, draws["judge_coverage"], 10)
    assert figures["slice_blocked"] >= binom.ppf(0.001 / 2, draws["slice_blocked"], 0.8) / draws["slice_blocked"]
    assert figures["false_rollback_production_order"] <= 0.05  # of 100 worlds a cell, 20 of a thousand users: none was
    assert figures["rollback_by_12_sybils"] == 0
    assert figures["false_announcements_overdispersed"] <= binom.isf(0.001 / 6, draws["quiet"], 0.05) / draws["quiet"]
    assert figures["false_closures"] <= binom.isf(0.001 / 6, draws["quiet"], 0.05) / draws["quiet"]
    assert figures["rollback_delay_median"] <= 4000


@pytest.mark.integration
@pytest.mark.timeout(PATIENCE_S + 30)
def test_reviews_measure_the_truth_where_references_do_not() -> None:
    """Twelve worlds, 60 samples a cell: unbiased, and false promotions within their level over all 720 comparisons."""
    command = [sys.executable, str(STUDY.with_name("validity.py")), "--reps", "60"]
    environment = {**os.environ, "PYTHONPATH": str(STUDY.parents[1])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=PATIENCE_S)
    figures = json.loads(done.stdout.splitlines()[-1])

    assert figures["bias_present"] >= 0.1
    assert figures["bias_now"] <= 0.016
    assert figures["coverage"] >= 0.93
    assert figures["false_promotion_present"] >= 0.5
    assert figures["false_promotion"] <= binom.isf(0.001 / 12, 60, 0.025) / 60
    assert figures["false_promotion_mean"] <= binom.isf(0.001, 720, 0.025) / 720
    assert figures["false_promotion_of_worse"] <= 1 / 60
    assert figures["power_200_labels_where_3_in_10_differ"] >= 0.75
    assert figures["false_hold_of_better"] <= 0.1
