"""A judge's errors: measured on people's labels, taken out, and honest about what that costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.evaluate.compare import compare
from flows.evaluate.correction import corrected_mean, kappa
from flows.promote.gate import decide
from flows.statistics import cluster_mean
from schemas.records import Comparison, Score, make_candidate
from schemas.settings import GateSettings

CHAMPION = make_candidate("old", "http://127.0.0.1:1/v1")
CANDIDATE = make_candidate("new", "http://127.0.0.1:1/v1")


def reference(judged: np.ndarray, labels: np.ndarray, alpha: float) -> tuple[float, float, float]:
    """PPI++ for a mean, written down again from the paper: estimate and normal interval for single items."""
    known = np.isfinite(labels)
    y, f, rest = labels[known], judged[known], judged[~known]
    n, big = len(y), len(rest)
    trust = np.clip(np.cov(y, f)[0, 1] / ((1 + n / big) * np.var(f, ddof=1)), 0, 1)
    mean = trust * rest.mean() + (y - trust * f).mean()
    se = np.sqrt(trust**2 * rest.var(ddof=1) / big + (y - trust * f).var(ddof=1) / n)
    reach = 1.959964 * se
    return mean, mean - reach, mean + reach


def judged_data(seed: int, n: int = 3000, labelled: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.6).astype(float)
    judged = np.where(rng.random(n) < 0.85, truth, 1 - truth) * 0.9 + 0.1
    labels = np.where(np.arange(n) < labelled, truth, np.nan)
    return judged, labels


@pytest.mark.parametrize("seed", range(5))
def test_the_corrected_mean_is_that_of_the_reference(seed: int) -> None:
    """Estimate and interval agree with PPI++, up to the t distribution and n against n - 1."""
    judged, labels = judged_data(seed)
    mean, low, high = reference(judged, labels, 0.05)
    found = corrected_mean(judged, labels, np.arange(len(judged))).estimate

    assert found.mean == pytest.approx(mean, abs=1e-3)
    assert found.interval(0.025) == pytest.approx((low, high), abs=1e-3)


def test_it_agrees_with_the_papers_own_package() -> None:
    """The same interval as ppi_py's, where that is installed."""
    ppi = pytest.importorskip("ppi_py")
    judged, labels = judged_data(7)
    known = np.isfinite(labels)
    low, high = ppi.ppi_mean_ci(labels[known], judged[known], judged[~known], alpha=0.05)
    found = corrected_mean(judged, labels, np.arange(len(judged))).estimate.interval(0.025)

    assert found == pytest.approx((float(low[0]), float(high[0])), abs=2e-3)


def test_a_perfect_judge_is_trusted_and_a_random_one_is_not() -> None:
    """Trust runs from 0 (people's labels alone decide) to 1."""
    rng = np.random.default_rng(3)
    truth = (rng.random(2000) < 0.6).astype(float)
    labels = np.where(np.arange(2000) < 200, truth, np.nan)
    units = np.arange(2000)
    perfect, random = (corrected_mean(j, labels, units) for j in (truth, (rng.random(2000) < 0.5).astype(float)))
    alone = cluster_mean(truth[:200], units[:200])

    assert perfect.trust > 0.85
    assert perfect.estimate.se < 0.5 * alone.se
    assert random.trust < 0.15
    assert random.estimate.se == pytest.approx(alone.se, rel=0.05)


def test_labels_of_few_users_count_as_few() -> None:
    """The same labels from five users leave a wider interval than from two hundred."""
    judged, labels = judged_data(5)
    many, few = (corrected_mean(judged, labels, u).estimate for u in (np.arange(3000), np.arange(3000) % 5))

    assert (many.units, few.units) == (300, 5)
    assert np.diff(few.interval(0.025)) > np.diff(many.interval(0.025))  # type: ignore[arg-type]


def test_kappa_is_cohens() -> None:
    """Agreement beyond chance, as printed in textbooks; undefined where a side never varies."""
    yes, no = [True], [False]

    assert kappa(yes * 25 + no * 25, yes * 20 + no * 5 + yes * 10 + no * 15) == pytest.approx(0.4)
    assert kappa(yes * 9, yes * 9) is None
    assert kappa([], []) is None


def evaluation(labelled: int, lenient: float, truly: float = -0.1) -> Comparison:
    """A judge that favours the candidate, a candidate that is truly worse, and people's labels of some answers."""
    rng = np.random.default_rng(11)
    scores, labels = [], []
    for n in range(1500):
        for role, rate in (("champion", 0.7), ("candidate", 0.7 + truly)):
            real = float(rng.random() < rate)
            wrong = rng.random() < (0.06 + (lenient if role == "candidate" and not real else 0))
            fields: dict[str, Any] = {"item_id": f"i{n}", "role": role, "unit": f"u{n}"}
            scores.append(Score(scorer="judge", score=1 - real if wrong else real, **fields))
            if n < labelled:
                labels.append(Score(scorer="people", score=real, **fields))
    return compare(scores, CANDIDATE, CHAMPION, "d", "e", GateSettings(), labels)


def test_a_judge_that_favours_the_candidate_does_not_promote_it() -> None:
    """The judge alone sees a gain where there is a loss; with labels the interval holds the truth."""
    comparison = evaluation(labelled=500, lenient=0.5)
    overall = comparison.overall

    assert comparison.judge["uncorrected_difference"] > 0  # type: ignore[operator]
    assert overall.low is not None
    assert overall.high is not None
    assert overall.low <= -0.1 <= overall.high
    assert decide(comparison, GateSettings()).verdict != "promote"


def test_a_judge_without_labels_proves_nothing() -> None:
    """No labels, no proof: the verdict says how many are missing."""
    comparison = evaluation(labelled=0, lenient=0.0, truly=0.2)
    verdict = decide(comparison, GateSettings())

    assert (comparison.overall.p_superior, verdict.verdict) == (None, "inconclusive")
    assert "labelled; 100 are needed" in verdict.reasons[0]


def test_a_good_judge_with_labels_promotes_a_better_candidate() -> None:
    """The labels make the judge's many scores count."""
    comparison = evaluation(labelled=400, lenient=0.0, truly=0.15)

    assert decide(comparison, GateSettings()).verdict == "promote"
    assert comparison.judge["kappa"] > 0.8  # type: ignore[operator]
