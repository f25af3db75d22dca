"""The estimator that reviews decide by: held against statsmodels, ppi-python, scipy and its own simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flows.evaluate.reviewed import (
    Evidence,
    bounds,
    difference,
    level_at,
    levels,
    needed,
    surely_within,
    youden,
)

LEVEL, MARGIN = 0.025, 0.03


def evidence(
    rng: np.random.Generator,
    n: int = 800,
    share: float = 0.3,
    reviewed: int = 80,
    gain: float = 0.0,
    agree: float = 0.6,
    users: int | None = None,
) -> Evidence:
    """Requests of which `share` differ; `gain` is wins less losses among these, `agree` how often guesses are right."""
    differs = rng.random(n) < share
    z = rng.choice([1.0, -1.0, 0.0], n, p=[0.4 + gain / 2, 0.4 - gain / 2, 0.2])
    guess = np.where(differs & (rng.random(n) < agree), z, 0.0)
    said = np.full(n, np.nan)
    chosen = rng.permutation(np.flatnonzero(differs))[:reviewed]
    said[chosen] = z[chosen]
    groups = rng.integers(0, users, n) if users else np.arange(n)
    return Evidence(differs, said, guess, (groups,), np.zeros(n, bool))


def without_guess(given: Evidence) -> Evidence:
    return Evidence(given.differs, given.said, np.zeros(len(given.said)), given.groups, given.missing)


def test_without_guesses_the_standard_error_is_hc3_of_statsmodels() -> None:
    """Where everything differs and part is reviewed, it is the HC3 error of a mean, with m/(m - 1)."""
    sm = pytest.importorskip("statsmodels.api")
    given = without_guess(evidence(np.random.default_rng(1), share=1.1, gain=0.2))
    said = given.said[np.isfinite(given.said)]
    fitted = sm.OLS(said, np.ones(len(said))).fit(cov_type="HC3")

    found = difference(given, LEVEL, MARGIN)

    assert found.mean == pytest.approx(said.mean())
    assert found.se == pytest.approx(float(fitted.bse[0]) * np.sqrt(len(said) / (len(said) - 1)))


def test_with_guesses_the_estimate_is_that_of_ppi_python() -> None:
    """It is lambda * mean(all guesses) + mean(said - lambda * guess), with the lambda that was found."""
    ppi = pytest.importorskip("ppi_py")
    given = evidence(np.random.default_rng(2), share=1.1, gain=0.1)
    known = np.isfinite(given.said)

    found = difference(given, LEVEL, MARGIN)
    theirs = ppi.ppi_mean_pointestimate(given.said[known], given.guess[known], given.guess, lam=found.trust)

    assert 0.3 < found.trust <= 1
    assert found.mean == pytest.approx(float(np.squeeze(theirs)))


def test_trust_is_the_slope_of_scipys_regression() -> None:
    """How far a guess is followed is the slope of what was said on it, between 0 and 1."""
    given = evidence(np.random.default_rng(3))
    known = np.isfinite(given.said)
    slope = stats.linregress(given.guess[known], given.said[known]).slope

    assert difference(given, LEVEL, MARGIN).trust == pytest.approx(min(slope, 1.0))


def test_a_guess_is_followed_no_further_than_it_says_and_never_against_it() -> None:
    """Half of what was said has the slope 2, its opposite -1: trust is 1 and 0."""
    given = evidence(np.random.default_rng(3))
    said = np.where(np.isfinite(given.said), given.said, 0.0)

    for factor, trust in ((0.5, 1.0), (-1.0, 0.0)):
        guessed = Evidence(given.differs, given.said, factor * said, given.groups, given.missing)
        assert difference(guessed, LEVEL, MARGIN).trust == trust


def test_where_all_was_reviewed_nobody_need_guess() -> None:
    """Every disagreement reviewed: estimate, interval and tests are those without a guess."""
    given = evidence(np.random.default_rng(3), reviewed=10_000, gain=0.1)
    found, alone = (difference(one, LEVEL, MARGIN) for one in (given, without_guess(given)))

    assert found.trust == 0
    assert (found.mean, found.low, found.p_superior) == (alone.mean, alone.low, alone.p_superior)


def test_a_handful_of_wins_is_as_likely_as_a_coin() -> None:
    """Six of six: no spread, so a t test would be certain; McNemar's exact test says one in 64."""
    six = np.arange(60) < 6
    said = np.where(six, 1.0, np.nan)
    given = Evidence(six, said, np.zeros(60), (np.arange(60),), np.zeros(60, bool))

    assert difference(given, LEVEL, MARGIN).p_superior == pytest.approx(0.5**6)
    assert difference(given.mirrored(), LEVEL, MARGIN).p_harm == pytest.approx(0.5**6)


def test_the_sign_is_mcnemars_where_nobody_guesses() -> None:
    """All disagreements reviewed, no guess: p is never below that of scipy's exact test of wins and losses."""
    given = without_guess(evidence(np.random.default_rng(4), reviewed=10_000, gain=0.15))
    found = difference(given, LEVEL, MARGIN)
    exact = stats.binomtest(found.wins, found.wins + found.losses, 0.5, alternative="greater").pvalue

    assert found.p_superior >= exact * (1 - 1e-9)
    assert found.p_superior == pytest.approx(exact, rel=0.5)


@pytest.mark.parametrize("agree", [0.0, 0.6, 0.95])
def test_the_standard_error_is_how_far_estimates_lie_apart(agree: float) -> None:
    """A numeric oracle: over 1,500 samples the mean standard error is the spread of the estimates, within a tenth."""
    rng = np.random.default_rng(5)
    found = [difference(evidence(rng, gain=0.2, agree=agree), LEVEL, MARGIN) for _ in range(1500)]
    means = np.array([one.mean for one in found])

    assert means.mean() == pytest.approx(0.3 * 0.2, abs=0.003)
    assert np.mean([one.se for one in found]) == pytest.approx(means.std(), rel=0.1)


@pytest.mark.parametrize("guess", ["none", "for the candidate", "random", "against the truth"])
def test_no_guess_however_wrong_promotes_an_equal_model(guess: str) -> None:
    """A hostile judge widens or narrows the interval; false promotions stay at the level (2,000 samples)."""
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(2000):
        given = evidence(rng, n=500, reviewed=60, agree=0.0)
        said = np.where(np.isfinite(given.said), given.said, rng.choice([1.0, -1.0, 0.0], 500))
        guesses = {
            "none": np.zeros(500),
            "for the candidate": np.ones(500) * given.differs,
            "random": rng.choice([1.0, -1.0], 500) * given.differs,
            "against the truth": -said * given.differs,
        }
        made = Evidence(given.differs, given.said, guesses[guess], given.groups, given.missing)
        wrong += difference(made, LEVEL, MARGIN).p_superior <= LEVEL

    assert wrong / 2000 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 2000)


@pytest.mark.parametrize("ahead", [0.1, 0.2])
def test_what_no_review_has_contradicted_yet_is_believed_no_further_than_it_was_looked_at(ahead: float) -> None:
    """A judge that agreed with all of 50 reviewers proves of 1,000 disagreements what 50 reviews can, and no more.

    It favours the candidate by `ahead`; where it is wrong of so many as make both equal, 50 reviews meet none of these
    with the chance that must be p at least.
    """
    judged = np.where(np.arange(1000) < 500 * (1 + ahead), 1.0, -1.0)
    order = np.random.default_rng(9).permutation(1000)
    said = np.full(1000, np.nan)
    said[order[:50]] = judged[order[:50]]
    given = Evidence(np.ones(1000, bool), said, judged, (np.arange(1000),), np.zeros(1000, bool))
    unmet = (1 - ahead / 2) ** 50

    found = difference(given, LEVEL, MARGIN)

    assert found.trust == pytest.approx(1)
    assert found.p_superior >= unmet * (1 - 0.04)
    assert difference(given.mirrored(), LEVEL, MARGIN).p_harm == pytest.approx(found.p_superior)
    assert found.low <= ahead - 2 * (1 - LEVEL ** (1 / 50))


def test_a_judge_that_is_seldom_wrong_and_then_for_one_side_promotes_no_equal_model() -> None:
    """One answer in twenty is wrong and passes: three looks took .062 of equal models for better, now .030."""
    rng = np.random.default_rng(10)
    looks = (50, 100, 200)
    wrong = {0: 0} | dict.fromkeys(looks, 0)
    for _ in range(600):
        guess = np.where(rng.random(900) < 0.55, 1.0, -1.0)
        truth = np.where((guess > 0) & (rng.random(900) < 0.05 / 0.55), -1.0, guess)
        passed = 0
        for look, level in zip(looks, levels(LEVEL, looks), strict=True):
            said = np.where(np.arange(900) < look, truth, np.nan)
            given = Evidence(np.ones(900, bool), said, guess, (np.arange(900),), np.zeros(900, bool))
            if difference(given, LEVEL, MARGIN).p_superior <= level:
                passed = passed or look
        wrong[passed] += 1

    assert wrong[50] <= 3
    assert (600 - wrong[0]) / 600 <= LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / 600)


def test_a_contradiction_that_was_seen_counts_by_its_variance() -> None:
    """A judge that one of 50 reviewers met wrong is held to the t test alone: it saves reviews for what it is worth."""
    judged = np.where(np.random.default_rng(11).random(1000) < 0.65, 1.0, -1.0)
    said = np.where(np.arange(1000) < 50, judged, np.nan)
    said[7] = -said[7]
    given = Evidence(np.ones(1000, bool), said, judged, (np.arange(1000),), np.zeros(1000, bool))

    found = difference(given, LEVEL, MARGIN)

    assert found.p_superior == pytest.approx(stats.t.sf((found.mean or 0) / found.se, 49))
    assert found.p_superior < 1e-4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, 40]))
def test_exchanging_the_models_mirrors_everything(seed: int, users: int | None) -> None:
    """Blind to who is who: estimate, interval and tests are mirrored."""
    given = evidence(np.random.default_rng(seed), n=200, reviewed=40, gain=0.1, users=users)
    here, there = (difference(one, LEVEL, MARGIN) for one in (given, given.mirrored()))

    assert here.mean == pytest.approx(-(there.mean or 0))
    assert (here.low, here.high) == pytest.approx((-there.high, -there.low))
    assert here.p_superior == pytest.approx(there.p_harm)
    assert here.p_harm == pytest.approx(there.p_superior)


def test_copies_of_a_text_narrow_nothing() -> None:
    """Each request six times in the same words, by different users: grouped by text it proves no more."""
    rng = np.random.default_rng(7)
    once = without_guess(evidence(rng, n=300, share=1.1, reviewed=10_000, gain=0.2))
    texts = np.repeat(np.arange(300), 6)
    copied = Evidence(
        np.repeat(once.differs, 6), np.repeat(once.said, 6), np.repeat(once.guess, 6),
        (np.arange(1800), texts), np.zeros(1800, bool),
    )  # fmt: skip
    turned = Evidence(copied.differs, copied.said, copied.guess, copied.groups[::-1], copied.missing)
    narrow, wide, other = (difference(one, LEVEL, MARGIN) for one in (once, copied, turned))

    assert wide.high - wide.low == pytest.approx(narrow.high - narrow.low, rel=0.01)
    assert (other.low, other.high) == (wide.low, wide.high)


def test_what_is_missing_is_tested_at_its_worst() -> None:
    """60 of 3,000 requests unanswered by the candidate prove neither better, nor not worse, nor harm."""
    rng = np.random.default_rng(8)
    given = without_guess(evidence(rng, n=3000, share=0.1, reviewed=200, gain=0.25))
    missing = np.zeros(3000, bool)
    missing[np.flatnonzero(~given.differs)[:60]] = True
    gaps = Evidence(given.differs, given.said, given.guess, given.groups, missing)
    whole, holed = difference(given, LEVEL, MARGIN), difference(gaps, LEVEL, MARGIN)

    assert whole.p_superior < 0.01
    assert holed.p_superior > 0.1
    assert holed.p_non_inferior > whole.p_non_inferior
    assert holed.low == pytest.approx(whole.low - 0.02)
    assert holed.p_non_inferior == pytest.approx(difference(given, LEVEL, MARGIN - 0.02).p_non_inferior)
    assert difference(gaps.mirrored(), LEVEL, MARGIN).p_harm == pytest.approx(holed.p_superior)


def test_reviews_that_all_say_the_same_leave_room_for_those_that_would_not() -> None:
    """40 of 300 disagreements, all of them ties: no proof of "not worse by .03", and no interval of nought."""
    rng = np.random.default_rng(13)
    given = without_guess(evidence(rng, n=1000, reviewed=40))
    said = np.where(np.isfinite(given.said), 0.0, np.nan)
    tied = Evidence(given.differs, said, given.guess, given.groups, given.missing)
    found = difference(tied, LEVEL, MARGIN)
    share = float(tied.differs.mean()) * (1 - LEVEL ** (1 / 40))

    assert (found.mean, found.low, found.high) == pytest.approx((0.0, -share, share))
    assert found.p_non_inferior > 0.01
    assert difference(tied, LEVEL, 0.2).p_non_inferior < 1e-6


@pytest.mark.parametrize(("each", "proven"), [(3, True), (8, False)])
def test_a_small_gain_of_few_users_may_be_lost_by_one_who_was_not_seen(each: int, proven: bool) -> None:
    """110 users with 5 requests, one in `each` of whom gains one: a t test proves both.

    A share of .024 who lose all would eat up the smaller gain, and is not seen in 110 users one time in fifteen.
    """
    users = np.repeat(np.arange(110), 5)
    said = np.where(np.arange(550) % (5 * each) == 0, 1.0, 0.0)
    every = np.ones(550, bool)
    given = Evidence(every, said, np.zeros(550), (users,), ~every)

    assert stats.ttest_1samp(said, 0.0, alternative="greater").pvalue <= LEVEL
    assert (difference(given, LEVEL, MARGIN).p_superior <= LEVEL) == proven


def test_before_any_review_only_the_share_that_differs_is_known() -> None:
    """Bounds are the share of disagreements with its error; nothing is better, and nearly equal answers are as good."""
    rng = np.random.default_rng(9)
    far, near, same = (evidence(rng, n=1000, share=share, reviewed=0) for share in (0.3, 0.01, 0.0))
    low, high = bounds(far, LEVEL)

    assert (low, high) == pytest.approx((-high, high))
    assert 0.3 < high < 0.36
    assert difference(far, LEVEL, MARGIN).p_superior == 1.0
    assert surely_within(far, MARGIN) > 0.99
    assert surely_within(near, MARGIN) == pytest.approx(
        stats.binom.cdf(int(near.differs.sum()), 1000, MARGIN), rel=1e-6
    )
    assert difference(same, LEVEL, MARGIN).p_non_inferior < 1e-6
    users = np.arange(1000) % 20
    for groups in ((np.arange(1000), users), (users, np.arange(1000))):
        held = Evidence(near.differs, near.said, near.guess, groups, near.missing)
        touched = len(set(users[near.differs]))
        assert surely_within(held, MARGIN) == pytest.approx(stats.binom.cdf(touched, 20, MARGIN), rel=1e-6)


@pytest.mark.parametrize("looks", [(50, 100, 200), (30, 60, 90, 400), (100,)])
def test_looks_together_err_in_the_level(looks: tuple[int, ...]) -> None:
    """After each look its square's share of the level is spent.

    The numeric oracle is scipy's normal distribution of means that are parts of one another.
    """
    edges = stats.norm.isf(levels(LEVEL, looks))
    places = np.array(looks, float)
    together = np.sqrt(np.minimum.outer(places, places) / np.maximum.outer(places, places))

    for count in range(1, len(looks) + 1):
        within = stats.multivariate_normal(cov=together[:count, :count], seed=1, abseps=1e-8).cdf(edges[:count])
        assert 1 - within == pytest.approx(LEVEL * (looks[count - 1] / looks[-1]) ** 2, rel=0.01)


def test_a_look_that_was_not_reached_allows_nothing_and_the_last_what_is_left() -> None:
    """The first look has 1/16; where all were reviewed before the last, what is left is spent then, never more."""
    looks = (50, 100, 200)

    assert [level_at(LEVEL, looks, done, 500) for done in (0, 49)] == [0.0, 0.0]
    assert level_at(LEVEL, looks, 50, 500) == pytest.approx(LEVEL / 16, rel=1e-3)
    assert [level_at(LEVEL, looks, done, 500) for done in (120, 200)] == pytest.approx(levels(LEVEL, looks)[1:])
    assert level_at(LEVEL, looks, 40, 40) == pytest.approx(LEVEL, rel=1e-3)
    assert levels(LEVEL, looks)[-1] < level_at(LEVEL, looks, 150, 150) < level_at(LEVEL, looks, 70, 70) < LEVEL


def test_three_looks_at_equal_models_err_no_more_than_the_level() -> None:
    """2,500 comparisons, three looks each: at most .03 where looking three times uncorrected errs in .04."""
    rng = np.random.default_rng(10)
    right = uncorrected = 0
    for _ in range(2500):
        whole = evidence(rng, n=700, share=0.35, reviewed=10_000, agree=0.5)
        order = rng.permutation(np.flatnonzero(whole.differs))
        passes = []
        for look, level in zip((50, 100, 200), levels(LEVEL, (50, 100, 200)), strict=True):
            said = np.full(700, np.nan)
            said[order[:look]] = whole.said[order[:look]]
            made = Evidence(whole.differs, said, whole.guess, whole.groups, whole.missing)
            p = difference(made, LEVEL, MARGIN).p_superior
            passes.append((p <= level, p <= LEVEL))
        right += any(one for one, _ in passes)
        uncorrected += any(one for _, one in passes)

    assert right / 2500 <= 0.03
    assert uncorrected / 2500 > right / 2500


@pytest.mark.parametrize(("share", "effect", "one_right", "reviews"), [(0.2, 0.05, 0.85, 99), (0.4, 0.1, 0.55, 62)])
def test_needed_reviews_are_those_of_the_table(share: float, effect: float, one_right: float, reviews: int) -> None:
    """The formula's numbers, and that so many find the effect four times in five when it is simulated."""
    assert needed(share, effect, LEVEL, one_right) == reviews
    rng = np.random.default_rng(11)
    mu = effect / share
    found = 0
    for _ in range(600):
        z = rng.choice([1.0, -1.0, 0.0], reviews, p=[(one_right + mu) / 2, (one_right - mu) / 2, 1 - one_right])
        found += stats.ttest_1samp(z, 0, alternative="greater").pvalue <= LEVEL

    assert found / 600 == pytest.approx(0.8, abs=0.06)
    assert needed(share, 0.0, LEVEL) is None


def test_guesses_that_explain_half_halve_the_reviews() -> None:
    """What references and judges explain need not be reviewed."""
    assert needed(0.4, 0.03, LEVEL, 0.6, explained=0.5) == pytest.approx(needed(0.4, 0.03, LEVEL, 0.6) / 2, rel=0.02)


@pytest.mark.parametrize("error", [0.05, 0.15])
def test_reviewers_errors_are_taken_out_and_added_to_the_interval(error: float) -> None:
    """Two who err in 5 or 15 % shrink a difference by 1 - 2e: found from how often they agree, within its error."""
    rng = np.random.default_rng(12)
    truth = rng.random(4000) < 0.5
    first, second = (truth ^ (rng.random(4000) < error) for _ in range(2))
    j, se = youden(first, second)

    assert j == pytest.approx(1 - 2 * error, abs=3 * se)
    assert youden([], []) == (1.0, 0.0)
    given: Any = evidence(rng, gain=0.2)
    plain, stretched = difference(given, LEVEL, MARGIN), difference(given, LEVEL, MARGIN, (j, se))
    assert stretched.mean == pytest.approx((plain.mean or 0) / j)
    assert stretched.se == pytest.approx(float(np.hypot(plain.se, (plain.mean or 0) / j * se)) / j)
    assert stretched.p_superior == plain.p_superior


def test_reviewers_who_agree_as_coins_do_are_not_blown_up_beyond_a_fifth() -> None:
    """Half of the second looks say otherwise: J is nothing, and the estimate grows fivefold at most."""
    first = np.tile([1.0, 0.0], 100)

    assert youden(first, np.ones(200))[0] == pytest.approx(0.2)
    assert youden(first, 1 - first)[0] == pytest.approx(0.2)
