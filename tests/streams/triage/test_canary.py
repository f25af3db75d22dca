"""The watch over a new champion: who is compared with whom, each user once, and honestly for ever."""

from __future__ import annotations

import random

import msgspec
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from flows.testing.events import START, event_id
from schemas.events import Decision
from schemas.records import make_candidate
from schemas.settings import TriageSettings
from streams.triage.canary import (
    Promotion,
    Watch,
    alert_of,
    arm_of,
    baseline_of,
    begin,
    counted,
    promotion_of,
    standing,
)
from streams.triage.rates import Group
from streams.triage.sequential import Arm

OLD, NEW = (make_candidate(name, "http://127.0.0.1:9/v1", prompt_version="v1") for name in ("bot-1", "bot-2"))
SETTINGS = TriageSettings(canary_alpha=0.01, canary_margin=0.02)
ALONE = msgspec.structs.replace(SETTINGS, canary_beside=False)
GROUPS = {name: Group("shop", name, "v1") for name in ("bot-1", "bot-2")}


def promotion(n: int, champion: object, action: str = "promoted") -> Promotion:
    return Promotion("shop", event_id(n), n, action, champion)  # type: ignore[arg-type]


def watching(users: int = 1000, failed: int = 85) -> Watch:
    """The second champion, after the first has met so many users: its rate is known as 11.3 % at most."""
    first = begin(None, promotion(1, OLD), SETTINGS)
    for n in range(users):
        first = counted(first, "canary", n < failed)
    return begin(first, promotion(2, NEW), SETTINGS)


def after(watch: Watch, rate: float, users: int, seed: int = 0, beside: float | None = None) -> Watch:
    """More users of the new champion, every other one beside the former with its rate, if one is given."""
    dice = random.Random(seed)
    for n in range(users):
        arm: Arm = "control" if beside is not None and n % 2 else "canary"
        watch = counted(watch, arm, dice.random() < (beside if beside is not None and n % 2 else rate))
    return watch


def test_the_first_champion_is_compared_with_nobody() -> None:
    """Without a champion before there is no comparison, and no way back."""
    first = begin(None, promotion(1, OLD), SETTINGS)

    assert arm_of(first, GROUPS["bot-2"]) is None
    assert standing(after(first, 0.9, 300), SETTINGS) == "watched"


def test_users_are_told_apart_by_model_and_prompt() -> None:
    """The new champion's users are the canary, the former's the control, and nobody else counts."""
    watch = watching()

    assert arm_of(watch, GROUPS["bot-2"]) == "canary"
    assert arm_of(watch, GROUPS["bot-1"]) == "control"
    assert arm_of(watch, Group("shop", "bot-2", "v2")) is None


def test_decisions_that_are_told_again_change_nothing() -> None:
    """Neither the promotion that is watched nor an older one starts anew: after a crash both are read again."""
    watch = after(watching(), 0.1, 50)

    assert begin(watch, promotion(1, OLD), SETTINGS) == watch
    assert begin(watch, promotion(2, NEW), SETTINGS) == watch


@pytest.mark.parametrize("rate", [0.085, 0.105])
def test_a_champion_as_good_is_left_alone(rate: float) -> None:
    """Over two thousand users at the former rate, or at all of the margin above it, alarms are within alpha."""
    settings = msgspec.structs.replace(ALONE, canary_accounts=0)
    first = begin(None, promotion(1, OLD), settings)
    alarms = 0
    for seed in range(150):
        watch = begin(after(first, 0.085, 300, seed + 1000), promotion(2, NEW), settings)
        alarms += standing(after(watch, rate, 2000, seed), settings) != "watched"

    assert alarms <= binom.isf(0.001, 150, settings.canary_alpha)


def test_a_worse_champion_is_found_beside_the_former_and_said_so() -> None:
    """Four failures in ten beside one in ten: found within a thousand users, with both rates in the alert."""
    watch = after(watching(0), 0.4, 1000, beside=0.1)

    assert standing(watch, SETTINGS) == "worse"
    alert = alert_of("shop", watch, SETTINGS, START)
    assert alert == alert_of("shop", watch, SETTINGS, START)
    assert (alert.rule, alert.severity) == ("champion_worse", "critical")
    assert "bot-2 fails 37% of 500 users, bot-1 fails 12% beside it" in alert.message


def test_the_rate_before_warns_and_takes_back_only_where_it_may() -> None:
    """With nobody beside, five failures in ten after one are an alert for a person; or a rollback, where so set."""
    watch = after(watching(), 0.5, 300)

    assert (standing(watch, SETTINGS), standing(watch, ALONE)) == ("suspected", "worse")
    warned, taken = (alert_of("shop", watch, settings, START) for settings in (SETTINGS, ALONE))
    assert (warned.rule, warned.severity) == ("champion_suspected", "warning")
    assert "bot-1 failed 11% at most before" in warned.message
    assert "flywheel champion rollback" in warned.message
    assert (taken.rule, taken.severity) == ("champion_worse", "critical")
    assert warned.id != taken.id


@pytest.mark.parametrize("settings", [SETTINGS, ALONE])
def test_a_dozen_accounts_take_nobody_back(settings: TriageSettings) -> None:
    """Twelve failures in a row at the start, and the champion stays; without the bound they are enough."""
    unbound = msgspec.structs.replace(settings, canary_accounts=0)
    first = after(begin(None, promotion(1, OLD), settings), 0.05, 300)
    for chosen, expected in ((settings, 0), (unbound, 100)):
        taken = 0
        for seed in range(100):
            watch = begin(first, promotion(2, NEW), chosen)
            for _ in range(12):
                watch = counted(counted(watch, "canary", True), "control", False)
            watch = after(watch, 0.05, 100, seed, beside=0.05)
            taken += standing(watch, chosen) == "worse"
        assert taken == expected


def test_no_alpha_means_no_verdict() -> None:
    """With `canary_alpha` 0 the watch only watches."""
    quiet = TriageSettings(canary_alpha=0, canary_beside=False)

    assert standing(after(begin(after(begin(None, promotion(1, OLD), quiet), 0.1, 300), promotion(2, NEW), quiet),
                          0.9, 300, beside=0.1), quiet) == "watched"  # fmt: skip


def test_a_rollback_ends_the_watch() -> None:
    """Who was restored is not compared with who failed."""
    watch = begin(watching(), promotion(3, OLD, "rolled_back"), SETTINGS)

    assert (watch.champion, watch.former, watch.canary, watch.before) == (OLD, None, None, None)
    with pytest.raises(ValueError, match="not shown to be worse"):
        alert_of("shop", watch, SETTINGS, START)


@pytest.mark.parametrize(("users", "failed"), [(212, 20), (62, 0), (1012, 100)])
def test_the_baseline_is_an_exact_upper_bound_of_the_others(users: int, failed: int) -> None:
    """Clopper and Pearson's, at half of alpha, without the twelve who may have praised to make the next look bad."""
    found = baseline_of(users, failed, SETTINGS)

    assert found == pytest.approx(proportion_confint(failed, users - 12, alpha=0.01, method="beta")[1])
    assert baseline_of(61, failed, SETTINGS) is None
    assert baseline_of(100, 95, SETTINGS) == 1.0


def test_the_baseline_is_the_former_champions_own_users() -> None:
    """What the former champion's users said, each once, is what the new one is measured by; too few say nothing."""
    known, unknown = watching(1000, 85).before, watching(20, 2).before

    assert known is not None
    assert known.baseline == pytest.approx(0.113, abs=2e-3)
    assert unknown is None


def test_the_control_is_not_the_champions_rate() -> None:
    """Users whom the former champion still serves are compared with, and do not count as the new one's."""
    watch = counted(counted(watching(), "control", True), "canary", False)

    assert (watch.users, watch.users_failed) == (1, 0)


def test_held_candidates_change_nothing() -> None:
    """Only promotions and rollbacks are passed on."""
    held = Decision(id=event_id(9), time=START, application="shop", action="held", candidate=NEW)

    assert promotion_of(held) is None
