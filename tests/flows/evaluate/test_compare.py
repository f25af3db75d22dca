"""The comparison: what counts, what is missing, and what follows from swapping, shuffling and doubling."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flows.evaluate.compare import compare
from flows.evaluate.compare import pair as paired_of
from schemas.records import Comparison, Score, make_candidate
from schemas.settings import GateSettings

CHAMPION = make_candidate("old", "http://127.0.0.1:1/v1")
CANDIDATE = make_candidate("new", "http://127.0.0.1:1/v1")


def scores(pairs: list[tuple[Any, Any]], **fields: Any) -> list[Score]:
    """One item a pair (champion's score, candidate's score); None is unscored, a tuple is several samples."""
    found = []
    for n, pair in enumerate(pairs):
        for role, values in zip(("champion", "candidate"), pair, strict=True):
            for sample, value in enumerate(values if isinstance(values, tuple) else (values,)):
                why = "timeout" if value is None else None
                found.append(Score(f"item-{n:04}", role, "exact", value, why, sample, unit=f"user-{n}", **fields))
    return found


def compared(found: list[Score], **gate: Any) -> Comparison:
    return compare(found, CANDIDATE, CHAMPION, "set-1", "evaluation-1", GateSettings(**gate))


def test_wins_losses_and_ties_are_counted_by_item() -> None:
    """Each item is a win, a loss or a tie, and the difference is their balance."""
    overall = compared(scores([(0, 1)] * 3 + [(1, 0)] + [(1, 1)] * 4 + [(0, 0)] * 2)).overall

    assert (overall.wins, overall.losses, overall.ties, overall.items, overall.units) == (3, 1, 6, 10, 10)
    assert (overall.champion, overall.candidate) == (0.5, 0.7)
    assert overall.difference == pytest.approx(0.2)


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), -0.1, 1.1])
def test_a_missing_score_is_neither_a_pass_nor_a_zero(bad: float | None) -> None:
    """An item without a usable score on either side is left out and counted, with its reason in the notes."""
    comparison = compared(scores([(1, bad), (bad, 0), (1, 1), (0, 1)]))

    assert (comparison.overall.items, comparison.overall.unscored) == (2, 2)
    assert comparison.overall.difference == 0.5
    assert sum(" unscored " in note for note in comparison.notes) == 2
    assert comparison.regressed == ()


@pytest.mark.parametrize("gone", [(1, None), (None, 0), (None, None)])
def test_missing_scores_are_tested_at_their_worst(gone: tuple[float | None, float | None]) -> None:
    """60 of 3,000 unscored may all be lost: neither better, nor not worse, nor harm rests on what is there alone."""
    rest = [(0, 1)] * 220 + [(1, 0)] * 170 + [(1, 1)] * 2550
    whole, holed = (compared(scores([*rest, *60 * [pair]])).overall for pair in ((1, 1), gone))

    assert holed.difference == pytest.approx(50 / 2940)
    assert [whole.p_superior < 0.01, holed.p_superior > 0.5] == [True, True]  # type: ignore[operator]
    assert whole.p_non_inferior < holed.p_non_inferior  # type: ignore[operator]
    assert holed.low < 0 < whole.low  # type: ignore[operator]
    worse = [(1, 0)] * 220 + [(0, 1)] * 170 + [(1, 1)] * 2550
    whole, holed = (compared(scores([*worse, *60 * [pair]])).overall for pair in ((1, 1), gone[::-1]))
    assert [whole.p_harm < 0.01, holed.p_harm > 0.5] == [True, True]  # type: ignore[operator]


def test_every_missing_score_is_the_worst_that_fits_the_other_side() -> None:
    """Champion 1: a loss at worst, a tie at best; champion 0: a tie at worst, a win at best; neither: anything."""
    paired = paired_of(scores([(1, None), (0, None), (None, 1), (None, 0), (None, None), (0.5, 0.75)]))
    worst, best = paired.limits()

    assert worst.tolist() == [-1, 0, 0, -1, -1, 0.25]
    assert best.tolist() == [0, 1, 1, 0, 1, 0.25]


@pytest.mark.parametrize("pairs", [[], [(None, None)] * 3, [(1, 1)], [(1, 1)] * 3, [(0, 1)]])
def test_tiny_sets_give_a_comparison_without_certainty(pairs: list[tuple[Any, Any]]) -> None:
    """Eval sets of 0, 1 and 3 items, unscored or all alike, prove nothing and break nothing."""
    overall = compared(scores(pairs)).overall

    for p in (overall.p_superior, overall.p_harm, overall.p_non_inferior):
        assert p is None or p > 0.05


def test_ties_alone_do_not_prove_non_inferiority_in_a_small_slice() -> None:
    """Where nothing differs the t test has no standard error; the score test still asks for enough items."""
    few, many = (compared(scores([(1, 1)] * n)).overall for n in (30, 200))

    assert few.p_non_inferior is not None
    assert few.p_non_inferior > 0.05
    assert many.p_non_inferior is not None
    assert many.p_non_inferior < 0.05


def test_samples_are_averaged_and_only_unanimous_flips_are_listed() -> None:
    """With several samples, an item that wavers is flaky: neither fixed nor regressed."""
    comparison = compared(
        scores([((0, 0, 0), (1, 1, 1)), ((1, 1, 1), (0, 0, 0)), ((1, 0, 1), (0, 0, 0)), ((0, 0, 0), (0, 0, 0))])
    )

    assert comparison.fixed == ("item-0000",)
    assert comparison.regressed == ("item-0001",)
    assert comparison.flaky == ("item-0002",)
    assert comparison.still_failing == ("item-0003",)
    assert comparison.overall.difference == pytest.approx(-2 / 3 / 4)


def test_slices_are_compared_each_on_its_own() -> None:
    """A flat mean hides nothing: each slice has its own difference."""
    comparison = compared(scores([(0, 1)] * 20, slice="a") + relabelled(scores([(1, 0)] * 20, slice="b"), "b-"))

    assert comparison.overall.difference == 0
    assert {s.slice: s.difference for s in comparison.slices} == {"a": 1, "b": -1}


def relabelled(found: list[Score], prefix: str) -> list[Score]:
    return [Score(prefix + s.item_id, s.role, s.scorer, s.score, unit=prefix + s.unit, slice=s.slice) for s in found]


@st.composite
def drawn(draw: st.DrawFn) -> list[Score]:
    """A random eval: clustered, with ties and gaps."""
    rng = random.Random(draw(st.integers(0, 10**6)))
    samples = rng.choice([1, 3])
    found = []
    for n in range(rng.randrange(2, 60)):
        for role in ("champion", "candidate"):
            for sample in range(samples):
                value = rng.choice([0.0, 1.0, 1.0, None])
                found.append(
                    Score(
                        f"i{n}",
                        role,
                        "exact",
                        value,
                        None if value is not None else "timeout",
                        sample,
                        unit=f"u{n // 3}",
                        slice=rng.choice(["", "a"]) if n % 2 else "b",
                        duration_ms=rng.random() + 1,
                    )
                )
    return found


@settings(max_examples=50, deadline=None)
@given(drawn(), st.randoms(use_true_random=False))
def test_the_order_of_scores_changes_nothing(case: list[Score], shuffle: random.Random) -> None:
    """Answers arrive in any order; the comparison is the same to the last bit."""
    ordered = sorted(case, key=lambda s: (s.item_id, s.role, s.sample))
    fixed_slice = {s.item_id: s.slice for s in ordered}
    ordered = [
        Score(s.item_id, s.role, s.scorer, s.score, s.unscored, s.sample, unit=s.unit, slice=fixed_slice[s.item_id])
        for s in ordered
    ]
    shuffled = list(ordered)
    shuffle.shuffle(shuffled)

    assert compared(shuffled) == compared(ordered)


@settings(max_examples=50, deadline=None)
@given(drawn())
def test_swapping_the_models_mirrors_the_comparison(case: list[Score]) -> None:
    """Candidate and champion are treated alike: swapped, gain is harm and harm is gain."""
    other = {"champion": "candidate", "candidate": "champion"}
    swapped = [
        Score(s.item_id, other[s.role], s.scorer, s.score, s.unscored, s.sample, unit=s.unit, slice=s.slice)  # type: ignore[arg-type]
        for s in case
    ]
    here, there = compared(case), compared(swapped)

    assert (here.fixed, here.regressed) == (there.regressed, there.fixed)
    if here.overall.difference is not None and there.overall.difference is not None:
        assert here.overall.difference == pytest.approx(-there.overall.difference)
        assert here.overall.p_harm == pytest.approx(there.overall.p_superior)
        assert here.overall.p_superior == pytest.approx(there.overall.p_harm)


@settings(max_examples=50, deadline=None)
@given(drawn())
def test_asking_the_same_users_the_same_again_proves_no_more(case: list[Score]) -> None:
    """Copies of every item inside its unit do not narrow the interval."""
    copies = [
        Score("copy-" + s.item_id, s.role, s.scorer, s.score, s.unscored, s.sample, unit=s.unit, slice=s.slice)
        for s in case
    ]
    once, twice = compared(case).overall, compared(case + copies).overall

    if once.low is not None and once.high is not None and twice.low is not None and twice.high is not None:
        assert twice.high - twice.low == pytest.approx(once.high - once.low)


def test_latency_and_cost_are_compared_where_they_were_measured() -> None:
    """Guards take only answers with a finite, positive measure on both sides."""
    rng = np.random.default_rng(1)
    found = []
    for n in range(40):
        for role, slower in (("champion", 1.0), ("candidate", 3.0)):
            bad = n == 0
            duration = float("nan") if bad else float(slower * rng.uniform(90, 110))
            found.append(Score(f"i{n}", role, "exact", 1.0, duration_ms=duration, cost_usd=0.001 * slower))  # type: ignore[arg-type]
    guards = compared(found).guards

    assert guards["duration_ms"]["ratio"] == pytest.approx(3, rel=0.05)
    assert guards["duration_ms"]["ratio_low"] > 2.8  # type: ignore[operator]
    assert guards["cost_usd"]["ratio"] == pytest.approx(3)
    assert guards["duration_ms"]["unusable"] == 2
    assert "time_to_first_chunk_ms" not in guards


def answered(wins: int, losses: int, ties: int, per_unit: int = 1, **fields: Any) -> list[Score]:
    """So many items won, lost and even, `per_unit` of them in a row from one user."""
    pairs = [(0, 1)] * wins + [(1, 0)] * losses + [(1, 1)] * ties
    return [
        msgspec.structs.replace(score, unit=f"user-{int(score.item_id[-4:]) // per_unit}")
        for score in scores(pairs, **fields)
    ]


def test_the_whole_and_its_slices_have_margins_of_their_own() -> None:
    """A loss of .06 beyond doubt is more than a margin of .03 and less than one of .1, each where it belongs."""
    lost = answered(40, 160, 1800, slice="a")
    strict, loose = (compared(lost, margin=here, slice_margin=there) for here, there in ((0.03, 0.1), (0.1, 0.03)))

    assert strict.overall.difference == pytest.approx(-0.06)
    assert strict.overall.p_non_inferior > 0.99  # type: ignore[operator]
    assert strict.slices[0].p_non_inferior < 0.01  # type: ignore[operator]
    assert loose.overall.p_non_inferior < 0.01  # type: ignore[operator]
    assert loose.slices[0].p_non_inferior > 0.99  # type: ignore[operator]


def test_users_who_are_all_of_one_mind_are_no_more_than_they_are() -> None:
    """12 of 20 users like the candidate better in all of their 20 answers: 12 voices against 8, not 240 against 160."""
    overall = compared(answered(240, 160, 0, per_unit=20)).overall

    assert (overall.wins, overall.losses, overall.units) == (240, 160, 20)
    assert overall.p_superior > 0.1  # type: ignore[operator]
    assert overall.p_superior > stats.binomtest(12, 20, alternative="greater").pvalue / 2  # type: ignore[operator]


def test_a_slice_says_what_it_can_find_among_all_slices() -> None:
    """The more slices are tested, the larger a harm must be to be found in one: what is stated knows of the others."""
    some = answered(10, 10, 80)
    sliced = [msgspec.structs.replace(score, slice="a") for score in some]
    others = [
        msgspec.structs.replace(score, item_id=f"{n}-{score.item_id}", unit=f"{n}-{score.unit}", slice=f"s{n}")
        for n in range(9)
        for score in some
    ]
    alone, among = (compared(found).slices[0] for found in (sliced, sliced + others))

    assert (alone.slice, among.slice, alone.difference) == ("a", "a", among.difference)
    assert among.minimum_detectable > 1.05 * alone.minimum_detectable  # type: ignore[operator]


def test_a_user_asked_often_narrows_no_bound_of_latency_or_cost() -> None:
    """Twenty equal answers of each user give the bounds of one."""
    rng = np.random.default_rng(3)
    factors = rng.lognormal(0.1, 0.3, 30)

    def measured(times: int) -> list[Score]:
        return [
            Score(f"i{user}-{n}", role, "exact", 1.0, unit=f"u{user}", duration_ms=100 * scale, cost_usd=0.01 * scale)  # type: ignore[arg-type]
            for user, factor in enumerate(factors)
            for n in range(times)
            for role, scale in (("champion", 1.0), ("candidate", float(factor)))
        ]

    once, often = (compared(measured(times)).guards for times in (1, 20))

    for name in ("duration_ms", "cost_usd"):
        for figure in ("ratio", "ratio_low", "ratio_high"):
            assert often[name][figure] == pytest.approx(once[name][figure], rel=1e-6)
        assert once[name]["ratio_low"] < once[name]["ratio"] < once[name]["ratio_high"]  # type: ignore[operator]


def test_latency_is_the_typical_answers_and_cost_the_whole_bill() -> None:
    """One long answer in ten that became ten times as dear hardly moves the typical one, and triples the bill."""
    found = []
    for n in range(100):
        long = n % 10 == 0
        for role in ("champion", "candidate"):
            dear = (10.0 if role == "candidate" else 1.0) * 2.0 if long else 1.0
            found.append(Score(f"i{n}", role, "exact", 1.0, unit=f"u{n}", duration_ms=dear, cost_usd=dear))  # type: ignore[arg-type]
    guards = compared(found).guards

    assert guards["cost_usd"]["ratio"] == pytest.approx((10 * 20 + 90) / (10 * 2 + 90))
    assert guards["duration_ms"]["ratio"] == pytest.approx(stats.gmean([10.0] * 10 + [1.0] * 90))


def test_only_an_item_that_wavers_on_neither_side_is_fixed_or_regressed() -> None:
    """One wavering sample, of the champion or of the candidate, makes an item flaky."""
    comparison = compared(scores([((1, 1), (0, 1)), ((0, 1), (0, 0)), ((1, 1), (0, 0))]))

    assert (comparison.flaky, comparison.regressed) == (("item-0000", "item-0001"), ("item-0002",))
