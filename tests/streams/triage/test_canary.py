"""The watch over a new champion: who is compared with whom, each user once, and honestly for ever."""

from __future__ import annotations

import random

import pytest
from scipy.stats import binom

from flows.testing.events import START, event_id
from schemas.events import Decision
from schemas.records import make_candidate
from schemas.settings import TriageSettings
from streams.triage.canary import Promotion, Watch, alert_of, arm_of, baseline_of, begin, is_worse, judged, promotion_of
from streams.triage.rates import Group

OLD, NEW = (make_candidate(name, "http://127.0.0.1:9/v1", prompt_version="v1") for name in ("bot-1", "bot-2"))
SETTINGS = TriageSettings(canary_alpha=0.01, canary_margin=0.02)
GROUPS = {name: Group("shop", name, "v1") for name in ("bot-1", "bot-2")}


def promotion(n: int, champion: object, action: str = "promoted") -> Promotion:
    return Promotion("shop", event_id(n), n, action, champion)  # type: ignore[arg-type]


def watching(users: int = 1000, failed: int = 85) -> Watch:
    """The second champion, after the first has met so many users: its rate is known as 10 % at most."""
    first = begin(None, promotion(1, OLD), SETTINGS)
    for n in range(users):
        first = judged(first, "canary", n < failed, n)
    return begin(first, promotion(2, NEW), SETTINGS)


def after(watch: Watch, rate: float, users: int, seed: int = 0) -> Watch:
    dice = random.Random(seed)
    for n in range(users):
        watch = judged(watch, "canary", dice.random() < rate, n)
    return watch


def test_the_first_champion_is_compared_with_nobody() -> None:
    """Without a champion before there is no comparison, and no way back."""
    first = begin(None, promotion(1, OLD), SETTINGS)

    assert arm_of(first, GROUPS["bot-2"]) is None
    assert not is_worse(after(first, 0.9, 300), SETTINGS)


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


def test_a_change_read_again_is_not_counted_again() -> None:
    """Offsets that are in the state already change nothing."""
    watch = after(watching(), 0.1, 50)

    assert judged(watch, "canary", True, 49) == watch


@pytest.mark.parametrize("rate", [0.1, 0.12])
def test_a_champion_as_good_is_left_alone(rate: float) -> None:
    """Over two thousand users at the former rate, or at all of the margin above it, alarms are within alpha."""
    watch = watching()
    assert watch.canary is not None
    assert watch.canary.baseline == pytest.approx(0.1, abs=2e-3)
    alarms = sum(is_worse(after(watch, rate, 2000, seed), SETTINGS) for seed in range(150))

    assert alarms <= binom.isf(0.001, 150, SETTINGS.canary_alpha)


def test_a_worse_champion_is_found_and_said_so() -> None:
    """Thirty failures in a hundred after ten: found within three hundred users, with both rates in the alert."""
    watch = after(watching(), 0.3, 300)

    assert is_worse(watch, SETTINGS)
    alert = alert_of("shop", watch, START)
    assert alert == alert_of("shop", watch, START)
    assert "bot-2 fails 27% of 300 users" in alert.message
    assert "bot-1 failed 10%" in alert.message


def test_no_alpha_means_no_verdict() -> None:
    """With `canary_alpha` 0 the watch only watches."""
    assert not is_worse(after(watching(), 0.9, 300), TriageSettings(canary_alpha=0))


def test_a_rollback_ends_the_watch() -> None:
    """Who was restored is not compared with who failed."""
    watch = begin(watching(), promotion(3, OLD, "rolled_back"), SETTINGS)

    assert (watch.champion, watch.former, watch.canary) == (OLD, None, None)
    with pytest.raises(ValueError, match="without a comparison"):
        alert_of("shop", watch, START)


@pytest.mark.parametrize(("judged_", "failed", "bound"), [(200, 20, 0.1401), (50, 0, 0.0513), (10, 5, None)])
def test_the_baseline_is_taken_at_its_upper_bound(judged_: int, failed: int, bound: float | None) -> None:
    """A rate that is known badly is given the benefit of the doubt; one that is hardly known is none."""
    found = baseline_of(judged_, failed, least=50)

    assert found == (bound if bound is None else pytest.approx(bound, abs=5e-4))


def test_the_baseline_is_the_former_champions_own_users() -> None:
    """What the former champion's users said, each once, is what the new one is measured by; too few say nothing."""
    known, unknown = watching(1000, 85).canary, watching(20, 2).canary

    assert known is not None
    assert known.baseline == pytest.approx(0.1, abs=2e-3)
    assert unknown is not None
    assert unknown.baseline is None


def test_the_control_is_not_the_champions_rate() -> None:
    """Users whom the former champion still serves are compared with, and do not count as the new one's."""
    watch = judged(judged(watching(), "control", True, 1), "canary", False, 2)

    assert (watch.users, watch.users_failed) == (1, 0)


def test_held_candidates_change_nothing() -> None:
    """Only promotions and rollbacks are passed on."""
    held = Decision(id=event_id(9), time=START, application="shop", action="held", candidate=NEW)

    assert promotion_of(held) is None
