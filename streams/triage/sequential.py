"""Sequential test of the canary: whether the new champion is worse, asked after every user, valid at any time.

Pure. `observe` folds one user after another into a small state; `evidence` is an e-value against "not worse". Rolling
back when it reaches `1/alpha` errs at most in a share alpha of endless streams, however often one looks.
`streams/triage/app.py` keeps the state in a table and feeds it; `flows/promote/stage.py::roll_back` acts on it.

The unit is the user, once per variant: votes of one user are correlated, and feeding each vote breaks every sequential
method there is (false rollbacks .74 instead of .05 with eight votes a user). The caller drops repeated users.

Beside a control that holds whatever the order of users and of what they tell, if it is the same on both sides. Against
a `baseline` it holds while each next user fails at that rate or below it, whatever came before: not where failures are
told sooner than successes (`users.py` waits for both), nor where the busiest users come first and fail more, nor where
traffic changes.

`accounts` of the users may be one attacker's: the evidence is what is left without as many of the bets that won most,
so whatever so many accounts say on either side, what the others said must be enough by itself.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
from msgspec import Struct

Arm = Literal["control", "canary"]

BETS = (0.06, 0.12, 0.25, 0.5, 0.9)
"""Stakes as shares of the largest safe one. The best stake for a drop d is near d / variance: these are within half of
it for drops of 2 to 40 points, so no stake has to be learned first."""
PRIOR = (0.3, 0.3, 0.2, 0.1, 0.1)
"""How the starting capital is dealt to the bets: most where a drop of 5 points, the usual question, is decided."""


class Canary(Struct, frozen=True):
    """What has been seen of one canary; all of it survives a restart as JSON."""

    margin: float = 0.0
    """How much higher the canary's failure rate may be."""
    baseline: float | None = None
    """The champion's failure rate before (take its upper confidence bound), where no control runs beside the canary."""
    accounts: int = 0
    """So many of the largest gains are left out of the evidence."""
    log_wealth: tuple[float, ...] = tuple(math.log(share) for share in PRIOR)
    """Natural log of each bet's capital; all start with 1 together."""
    peak: float = 1.0
    """The largest evidence so far: once there was enough, there was enough."""
    gains: tuple[float, ...] = ()
    """The `accounts` largest gains of a bet so far, smallest first."""
    control_users: int = 0
    control_failed: int = 0
    canary_users: int = 0
    canary_failed: int = 0
    waiting: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Users and failures of control, then of canary, since the last bet."""


def observe(state: Canary, arm: Arm, failed: bool) -> Canary:
    """The state after one more user. A bet is settled whenever both arms have users since the last one.

    With z the difference of the two failure rates since then, each bet's capital is multiplied by
    1 + stake * (z - margin): a fair game, or worse, while the canary is not worse by more than the margin
    (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS-B 86:1).
    """
    control, control_failed, canary, canary_failed = state.waiting
    if arm == "control":
        return _settle(
            msgspec.structs.replace(
                state,
                control_users=state.control_users + 1,
                control_failed=state.control_failed + failed,
                waiting=(control + 1, control_failed + failed, canary, canary_failed),
            )
        )
    return _settle(
        msgspec.structs.replace(
            state,
            canary_users=state.canary_users + 1,
            canary_failed=state.canary_failed + failed,
            waiting=(control, control_failed, canary + 1, canary_failed + failed),
        )
    )


def evidence(state: Canary) -> float:
    """The e-value now: capital won by betting that the canary is worse; at most 1 at the start.

    The largest gains are taken back from each bet, which only lowers it: it errs no more often than with them.
    """
    return _left(state.log_wealth, state.gains, _largest(state))


def worse(state: Canary, alpha: float) -> bool:
    """Whether the canary was shown to be worse, at any time so far (Ville 1939: P(ever reaching 1/alpha) <= alpha)."""
    return state.peak >= 1 / alpha


def describe(state: Canary) -> dict[str, float]:
    """The numbers behind a rollback, for the alert and the ledger."""
    numbers = {
        "canary_users": float(state.canary_users),
        "canary_failure_rate": state.canary_failed / state.canary_users if state.canary_users else 0.0,
        "evidence": min(state.peak, 1e308),
        "margin": state.margin,
    }
    if state.baseline is not None:
        return {**numbers, "baseline_failure_rate": state.baseline}
    rate = state.control_failed / state.control_users if state.control_users else 0.0
    return {**numbers, "control_users": float(state.control_users), "control_failure_rate": rate}


def _settle(state: Canary) -> Canary:
    control, control_failed, canary, canary_failed = state.waiting
    if not canary or (state.baseline is None and not control):
        return state
    before = state.baseline if state.baseline is not None else control_failed / control
    gain = canary_failed / canary - before - state.margin
    largest = _largest(state)
    wealth = tuple(
        [value + math.log1p(bet * largest * gain) for value, bet in zip(state.log_wealth, BETS, strict=True)]
    )
    gains = tuple(sorted([*state.gains, gain])[-state.accounts :]) if gain > 0 and state.accounts else state.gains
    peak = max(state.peak, min(_left(wealth, gains, largest), 1e308))
    return msgspec.structs.replace(state, log_wealth=wealth, waiting=(0, 0, 0, 0), gains=gains, peak=peak)


def _left(wealth: tuple[float, ...], gains: tuple[float, ...], largest: float) -> float:
    """The capital of all bets without these gains."""
    if gains:
        stakes = [bet * largest for bet in BETS]
        taken = [sum([math.log1p(stake * gain) for gain in gains]) for stake in stakes]
        wealth = tuple([value - back for value, back in zip(wealth, taken, strict=True)])
    top = max(wealth)
    if top > 700:  # e^700 is near the largest float
        return math.inf
    return math.exp(top) * sum([math.exp(value - top) for value in wealth])


def _largest(state: Canary) -> float:
    """The largest stake: a gain is never below -(1 + margin), so no bet can lose more than it has."""
    return 1 / (1 + state.margin)
