"""The canary's watch: rarely wrong however often one looks, and quick where it matters."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from streams.triage.sequential import BETS, PRIOR, Arm, Canary, describe, evidence, observe, worse

USERS = st.lists(st.tuples(st.sampled_from(["control", "canary"]), st.booleans()), max_size=300)


def stream(seed: int, control: float, canary: float, users: int, share: float = 0.5) -> list[tuple[Arm, bool]]:
    """Users who fail at each arm's rate."""
    rng = random.Random(seed)
    arms: list[Arm] = ["canary" if rng.random() < share else "control" for _ in range(users)]
    return [(arm, rng.random() < (canary if arm == "canary" else control)) for arm in arms]


def delay(users: list[tuple[Arm, bool]], state: Canary, alpha: float = 0.05) -> int | None:
    """After how many users the canary is rolled back; None: never."""
    for count, (arm, failed) in enumerate(users, 1):
        state = observe(state, arm, failed)
        if worse(state, alpha):
            return count
    return None


def test_an_equal_canary_is_seldom_rolled_back_however_long_one_looks() -> None:
    """Looking after each of 1,000 users errs in at most alpha of the streams, not in a quarter of them."""
    false = sum(delay(stream(seed, 0.2, 0.2, 1000), Canary()) is not None for seed in range(600))

    assert false <= binom.isf(0.001, 600, 0.05)  # 48; an error twice as frequent is above it in 19 of 20 runs


def test_a_worse_canary_is_found_within_a_bounded_number_of_users() -> None:
    """A rise of 20 points in the failure rate is found in every stream, half of them within 300 users."""
    delays = sorted(delay(stream(seed, 0.2, 0.4, 3000), Canary()) or 10**9 for seed in range(60))

    assert delays[-1] < 3000
    assert delays[30] < 300


def test_without_a_control_the_rate_before_is_the_measure() -> None:
    """After a full promotion nobody gets the old model: its failure rate before stands in for it."""
    found = delay(stream(1, 0.0, 0.4, 2000, share=1.0), Canary(baseline=0.2))
    equal = delay(stream(2, 0.0, 0.2, 2000, share=1.0), Canary(baseline=0.25))

    assert found is not None
    assert found < 400
    assert equal is None


def test_a_margin_is_tolerated() -> None:
    """A canary that is worse by less than the margin stays."""
    users = stream(3, 0.2, 0.25, 6000)

    assert delay(users, Canary(margin=0.1)) is None
    assert delay(users, Canary()) is not None


@settings(max_examples=50, deadline=None)
@given(USERS, st.floats(0, 0.5))
def test_capital_is_never_lost_altogether(users: list[tuple[Arm, bool]], margin: float) -> None:
    """No bet can lose more than it has, so evidence can always recover and is always a number."""
    state = Canary(margin=margin)
    for arm, failed in users:
        state = observe(state, arm, failed)

    assert evidence(state) > 0
    assert math.isfinite(state.peak)


@settings(max_examples=30, deadline=None)
@given(USERS, st.integers(0, 300))
def test_a_restart_changes_nothing(users: list[tuple[Arm, bool]], at: int) -> None:
    """The state goes through JSON and on, to the same end."""
    whole = halved = Canary()
    for n, (arm, failed) in enumerate(users):
        if n == at:
            halved = msgspec.json.decode(msgspec.json.encode(halved), type=Canary)
        whole, halved = observe(whole, arm, failed), observe(halved, arm, failed)

    assert whole == halved


def test_evidence_once_found_is_not_unfound() -> None:
    """A run of luck after the alarm does not call it off."""
    state = Canary(baseline=0.1)
    for _ in range(60):
        state = observe(state, "canary", True)
    assert worse(state, 0.05)
    for _ in range(500):
        state = observe(state, "canary", False)

    assert evidence(state) < 1
    assert worse(state, 0.05)
    assert describe(state)["canary_failure_rate"] == pytest.approx(60 / 560)


def capital(users: list[tuple[Arm, bool]], margin: float, baseline: float | None, accounts: int) -> list[float]:
    """The evidence after each user, by plain multiplication: five bettors with their shares of one coin.

    Each stakes its part of 1 / (1 + margin) on "the canary fails more often", whenever both sides have new users; and
    gives back what the luckiest bets won.
    """
    gains: list[float] = []
    waiting: dict[str, list[bool]] = {"control": [], "canary": []}
    found = []
    for arm, failed in users:
        waiting[arm].append(failed)
        if waiting["canary"] and (baseline is not None or waiting["control"]):
            rates = {name: sum(seen) / len(seen) for name, seen in waiting.items() if seen}
            gain = rates["canary"] - (rates["control"] if baseline is None else baseline) - margin
            gains.append(gain)
            waiting = {"control": [], "canary": []}
        won = sorted((gain for gain in gains if gain > 0), reverse=True)[accounts:]
        kept = won + [gain for gain in gains if gain <= 0]
        found.append(
            sum(coin * math.prod(1 + bet * gain / (1 + margin) for gain in kept)
                for bet, coin in zip(BETS, PRIOR, strict=True))
        )  # fmt: skip
    return found


@settings(max_examples=60, deadline=None)
@given(USERS, st.sampled_from([0.0, 0.02, 0.3]), st.none() | st.sampled_from([0.1, 0.5]), st.sampled_from([0, 1, 12]))
def test_the_evidence_is_the_capital_of_five_bettors(
    users: list[tuple[Arm, bool]], margin: float, baseline: float | None, accounts: int
) -> None:
    """They start with one coin together; the largest sum so far is what counts; and a rollback needs 1 / alpha."""
    state = Canary(margin=margin, baseline=baseline, accounts=accounts)
    assert evidence(state) == pytest.approx(1)
    expected = capital(users, margin, baseline, accounts)

    for n, (arm, failed) in enumerate(users):
        state = observe(state, arm, failed)
        assert evidence(state) == pytest.approx(expected[n])

    assert state.peak == pytest.approx(max(expected, default=1.0) if max(expected, default=1.0) > 1 else 1.0)
    for alpha in (0.99 / state.peak, 1.01 / state.peak):
        assert worse(state, alpha) == (alpha * state.peak >= 1)


def test_of_unequal_gains_the_largest_is_left_out() -> None:
    """A failure beside a success won 1, one of two beside it a half: with one account left out the half remains."""
    state = Canary(accounts=1)
    for arm, failed in (("control", False), ("canary", True), ("canary", True), ("canary", False), ("control", False)):
        state = observe(state, arm, failed)  # type: ignore[arg-type]

    expected = sum(share * (1 + bet * 0.5) for bet, share in zip(BETS, PRIOR, strict=True))
    assert state.gains == (1.0,)
    assert evidence(state) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(USERS)
def test_an_alert_has_the_counts_of_both_sides(users: list[tuple[Arm, bool]]) -> None:
    """Users and failures of each side are those that came; with a known rate before, no control is named."""
    beside, after = Canary(), Canary(baseline=0.2)
    for arm, failed in users:
        beside, after = observe(beside, arm, failed), observe(after, arm, failed)
    sides = {side: [failed for arm, failed in users if arm == side] for side in ("control", "canary")}

    numbers = describe(beside)

    for side, seen in sides.items():
        assert numbers[f"{side}_users"] == len(seen)
        assert numbers[f"{side}_failure_rate"] == (sum(seen) / len(seen) if seen else 0.0)
    assert {name for name in describe(after) if "control" in name} == set()
    assert describe(after)["baseline_failure_rate"] == 0.2
    assert describe(after)["canary_users"] == numbers["canary_users"]


World = Callable[[random.Random], list[tuple[float, bool]]]


def told_late(dice: random.Random) -> list[tuple[float, bool]]:
    """Failures are told within an hour, successes within a day."""
    failed = [dice.random() < 0.2 for _ in range(1500)]
    return [(dice.uniform(0, 336) + dice.expovariate(1.0 if bad else 1 / 24), bad) for bad in failed]


def busy_first(dice: random.Random) -> list[tuple[float, bool]]:
    """A third of the users come ten times as often, so that they come first, and fail twice as much."""
    busy = [dice.random() < 0.3 for _ in range(1500)]
    return [(dice.expovariate(5.0 if often else 0.5), dice.random() < (0.3 if often else 0.15)) for often in busy]


def rising(dice: random.Random) -> list[tuple[float, bool]]:
    """After a quarter of the users requests become harder for every model."""
    return [(float(n), dice.random() < (0.2 if n < 375 else 0.3)) for n in range(1500)]


@pytest.mark.parametrize("world", [told_late, busy_first, rising])
def test_beside_a_control_no_order_of_users_rolls_back_an_equal_canary(world: World) -> None:
    """[failures told sooner, busy users first, harder requests], both arms alike: errors stay within alpha.

    That is what a control beside the canary is for: a rate from before knows nothing of all this (docs/operations.md).
    """
    false = 0
    for seed in range(300):
        dice = random.Random(seed)
        users = [("canary" if dice.random() < 0.5 else "control", bad) for _, bad in sorted(world(dice))]
        false += delay(users, Canary()) is not None  # type: ignore[arg-type]

    assert false <= binom.isf(0.001, 300, 0.05)
