"""Experiments: several candidates side by side on live users, shares that follow what is seen, a stop that is valid.

    start ──▶ look ──▶ look ──▶ …  one arm is left, or a person stops
               │ users whose wait for feedback is over, each once, in the order in which they came
               ├─▶ bets between every two arms: an arm that is shown to be worse than another is dropped
               ├─▶ guards: an arm that errs or is slow for more users than the control is dropped
               └─▶ shares of the arms that are left

Each look is a run of the stage `experiment` (a row of the table `runs`) and goes on from the one before: what was
counted stays as it was counted, and what feedback would say by now stands beside it. Pure but for `started`, `look_at`
and `stop`. A winner is no champion: `flywheel promote` makes one. The bets are those of
`streams/triage/sequential.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct

from flows.run import Run, code_version, finish, finished, latest, runs
from schemas.errors import UsageError
from schemas.records import content_hash
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.query import query
from streams.triage.sequential import Canary, observe, worse

DRAWS = 4_000
"""Of each arm's posterior, for its chance to be the best: the error of a share is below a point."""
FLOOR = 0.5
"""Of equal shares, what every arm that is left keeps: each is compared with users of the same hours."""
GUARDS = ("errors", "slow")
STAGE = "experiment"
MOST_ARMS = 10
_SQL = Path(__file__).with_name("experiment.sql").read_text()


class Tally(Struct, frozen=True):
    """What was counted of one arm's users."""

    users: int = 0
    judged: int = 0
    failed: int = 0
    errors: int = 0
    slow: int = 0

    def plus(self, users: Sequence[User]) -> Tally:
        """With more users."""
        return Tally(
            self.users + len(users),
            self.judged + sum(user.failed is not None for user in users),
            self.failed + sum(bool(user.failed) for user in users),
            self.errors + sum(user.errors for user in users),
            self.slow + sum(user.slow for user in users),
        )


class Experiment(Struct, frozen=True, kw_only=True):
    """An experiment as one look left it: the summary of that look's run."""

    application: str
    experiment: str
    sequence: int
    """Number of the look; 0 is the start."""
    time: datetime
    action: Literal["started", "looked", "stopped"]
    decided_by: str
    started: datetime
    arms: tuple[str, ...]
    """The first is the control of the guards."""
    alpha: float
    """Chance that a best arm is ever dropped by the bets, and as much for the guards."""
    wait_s: float
    """How long a user's feedback is awaited."""
    slow_ms: float
    """A request that takes longer is slow; 0: none is."""
    looked_at: datetime
    """The cluster run that was looked at."""
    counted_until: datetime
    """Users who came before have been counted, or never are."""
    tallies: dict[str, Tally]
    """What was counted, when it was: nothing changes it."""
    recount: dict[str, Tally] = {}
    """The same users by all that is said of them by now."""
    bets: dict[str, Canary]
    """`a>b`: that a fails more users than b."""
    guards: dict[str, Canary]
    """`errors>a`: that a has an error for more users than the control."""
    dropped: dict[str, str] = {}
    """Arm → why."""
    shares: dict[str, float]
    """What each arm shall have of the users."""
    winner: str = ""
    reason: str = ""


class User(Struct, frozen=True):
    """A user whose wait for feedback is over."""

    unit: str
    arm: str
    """The one that they met first."""
    first: datetime
    errors: bool
    slow: bool
    failed: bool | None
    """Their first judged request; None where none was judged in time."""


def variant_of(experiment: str, arm: str) -> str:
    """What the application writes into `variant` of an interaction."""
    return f"{experiment}/{arm}"


def started(
    lake: Lake, settings: Settings, name: str, arms: Sequence[str], now: datetime, *, slow_ms: float, decided_by: str
) -> Experiment:
    """Begin an experiment; its first arm is the control of the guards. The same one twice is one.

    Raises UsageError for arms that cannot be, or where an experiment of that name has begun otherwise.
    """
    named = all(arm and ">" not in arm for arm in arms) and len(set(arms)) == len(arms)
    if not named or not 2 <= len(arms) <= MOST_ARMS:
        raise UsageError(
            f"an experiment has 2 to {MOST_ARMS} arms, each with a name and no `>` in it, got {list(arms)}"
        )
    before = newest(lake, settings.application, name)
    if before is not None:
        if list(before.arms) == list(arms) and before.slow_ms == slow_ms:
            return before
        raise UsageError(f"an experiment {name[:64]!r} began {before.started:%Y-%m-%d %H:%M}Z: take another name")
    blank = Canary(accounts=settings.triage.canary_accounts)
    guarded = msgspec.structs.replace(blank, margin=settings.triage.canary_margin)
    first = Experiment(
        application=settings.application,
        experiment=name,
        sequence=0,
        time=now,
        action="started",
        decided_by=decided_by,
        started=now,
        arms=tuple(arms),
        alpha=settings.gate.alpha,
        wait_s=settings.triage.canary_delay_s,
        slow_ms=slow_ms,
        looked_at=now,
        counted_until=now,
        tallies={arm: Tally() for arm in arms},
        bets={_pair(*two): blank for two in itertools.permutations(arms, 2)},
        guards={_pair(guard, arm): guarded for guard in GUARDS for arm in arms[1:]},
        shares={arm: 1 / len(arms) for arm in arms},
    )
    return _keep(lake, first)


def look_at(lake: Lake, settings: Settings, name: str) -> Experiment:
    """Count the users whose wait is over by the newest cluster run; without news, or after the end, nothing is done.

    Raises UsageError where there is no such experiment.
    """
    before = known(lake, settings.application, name)
    run = latest(lake, "cluster", settings.application)
    if before.action == "stopped" or run is None or run.as_of <= before.looked_at:
        return before
    return _keep(lake, look(before, _users(lake, before), run.as_of))


def look_at_all(lake: Lake, settings: Settings) -> list[Experiment]:
    """A look at each experiment that has not ended: part of a turn."""
    return [look_at(lake, settings, name) for name in _names(lake, settings.application)]


def stop(lake: Lake, settings: Settings, name: str, reason: str, now: datetime, decided_by: str) -> Experiment:
    """End an experiment without a winner; one that has ended stays as it ended."""
    before = known(lake, settings.application, name)
    if before.action == "stopped":
        return before
    last = msgspec.structs.replace(
        before, sequence=before.sequence + 1, time=now, action="stopped", reason=reason, decided_by=decided_by
    )
    return _keep(lake, last)


def known(lake: Lake, application: str, name: str) -> Experiment:
    """An experiment as its newest look left it. Raises UsageError where there is none of that name."""
    found = newest(lake, application, name)
    if found is None:
        names = ", ".join(_names(lake, application)) or "none yet"
        raise UsageError(f"{application}: no experiment {name[:64]!r}; known are {names}")
    return found


def newest(lake: Lake, application: str, name: str) -> Experiment | None:
    """An experiment's newest look; None where there is none of that name."""
    found = looks(lake, application, name)
    return found[-1] if found else None


def looks(lake: Lake, application: str, name: str) -> list[Experiment]:
    """All looks at an experiment, oldest first."""
    return sorted((one for one in _all(lake, application) if one.experiment == name), key=lambda one: one.sequence)


def look(before: Experiment, users: Sequence[User], as_of: datetime) -> Experiment:
    """The experiment after a look as of an instant, at all of its users in the order in which they came."""
    until = as_of - timedelta(seconds=before.wait_s)
    new = [user for user in users if before.counted_until <= user.first < until]
    tallies = {arm: tally.plus([user for user in new if user.arm == arm]) for arm, tally in before.tallies.items()}
    bets, guards = dict(before.bets), dict(before.guards)
    for user in new:
        if user.failed is not None:
            _settle(bets, user.arm, user.failed)
        _guard(guards, before.arms[0], user)
    dropped = {**before.dropped, **_found(before, bets, guards)}
    left = [arm for arm in before.arms if arm not in dropped]
    old = [user for user in users if user.first < until]
    after = msgspec.structs.replace(
        before,
        sequence=before.sequence + 1,
        time=as_of,
        action="stopped" if len(left) < 2 else "looked",
        decided_by="flywheel",
        looked_at=as_of,
        counted_until=max(until, before.counted_until),
        tallies=tallies,
        recount={arm: Tally().plus([user for user in old if user.arm == arm]) for arm in before.arms},
        bets=bets,
        guards=guards,
        dropped=dropped,
        winner=left[0] if len(left) == 1 else "",
        reason="one arm is left" if len(left) == 1 else "no arm is left" if not left else "",
    )
    return msgspec.structs.replace(after, shares=shares(after))


def shares(experiment: Experiment) -> dict[str, float]:
    """What each arm shall have of the users from now on: its chance to be best, and at least a part of an equal share.

    Thompson 1933 (Biometrika 25:285), as shares instead of one draw a user (Scott 2010, Appl. Stoch. Models 26:639),
    from uniform priors. Dice are the look's own: the same look gives the same shares.
    """
    left = [arm for arm in experiment.arms if arm not in experiment.dropped]
    if len(left) < 2:
        return {arm: float(arm in left) for arm in experiment.arms}
    seed = content_hash([experiment.application, experiment.experiment, experiment.sequence])
    dice = np.random.default_rng(int(seed[:16], 16))
    tallies = [experiment.tallies[arm] for arm in left]
    drawn = np.stack([dice.beta(1 + t.judged - t.failed, 1 + t.failed, DRAWS) for t in tallies])
    best = np.bincount(drawn.argmax(axis=0), minlength=len(left)) / DRAWS
    given = FLOOR / len(left) + (1 - FLOOR) * best
    return {arm: round(float(given[left.index(arm)]), 4) if arm in left else 0.0 for arm in experiment.arms}


def _settle(bets: dict[str, Canary], arm: str, failed: bool) -> None:
    """A judged user into every pair that the arm is in: `a>b` bets that a fails more."""
    for pair, bet in bets.items():
        first, second = pair.split(">")
        if arm == first:
            bets[pair] = observe(bet, "canary", failed)
        elif arm == second:
            bets[pair] = observe(bet, "control", failed)


def _guard(guards: dict[str, Canary], control: str, user: User) -> None:
    for pair, bet in guards.items():
        guard, arm = pair.split(">")
        bad = user.errors if guard == "errors" else user.slow
        if user.arm == arm:
            guards[pair] = observe(bet, "canary", bad)
        elif user.arm == control:
            guards[pair] = observe(bet, "control", bad)


def _found(before: Experiment, bets: dict[str, Canary], guards: dict[str, Canary]) -> dict[str, str]:
    """Arms that are dropped now, each with the reason. All bets share alpha (Bonferroni), and the guards another.

    The most convincing bet is heard first, and one against an arm that is dropped by then counts for nothing.
    """
    dropped = dict(before.dropped)
    for pair in sorted(bets, key=lambda pair: (-bets[pair].peak, pair)):
        first, second = pair.split(">")
        if not {first, second} & dropped.keys() and worse(bets[pair], before.alpha / len(bets)):
            dropped[first] = f"fails more than {second} (evidence {bets[pair].peak:.3g})"
    for pair, bet in guards.items():
        guard, arm = pair.split(">")
        if arm not in dropped and worse(bet, before.alpha / len(guards)):
            said = "errs" if guard == "errors" else f"takes longer than {before.slow_ms:g} ms"
            dropped[arm] = f"{said} for more users than {before.arms[0]} (evidence {bet.peak:.3g})"
    return dropped


def _users(lake: Lake, experiment: Experiment) -> list[User]:
    arms = {variant_of(experiment.experiment, arm): arm for arm in experiment.arms}
    found = query(
        lake,
        _SQL,
        {name: lake.version(name) for name in ("outcomes", "interactions")},
        {
            "application": experiment.application,
            "started": experiment.started,
            "wait_us": int(experiment.wait_s * 1_000_000),
            "slow_ms": experiment.slow_ms or float("inf"),
        },
        tables={"arms": pa.table({"arm": list(arms)})},
    ).to_pylist()
    return [_user(row, arms) for row in found]


def _user(row: dict[str, Any], arms: dict[str, str]) -> User:
    failed = None if row["failed"] is None else bool(row["failed"])
    return User(row["unit"], arms[row["arm"]], row["first"], bool(row["errors"]), bool(row["slow"]), failed)


def _keep(lake: Lake, experiment: Experiment) -> Experiment:
    """One run a look: who comes second with the same number finds the first one's."""
    run = Run(
        run_id=content_hash([STAGE, experiment.application, experiment.experiment, experiment.sequence])[:32],
        stage=STAGE,
        application=experiment.application,
        as_of=experiment.time,
        versions={},
        settings_hash="",
        code_version=code_version(),
    )
    finish(lake, run, experiment)
    kept = finished(lake, run, Experiment)
    return experiment if kept is None else kept


def _all(lake: Lake, application: str) -> list[Experiment]:
    return [run.told(Experiment) for run in runs(lake, STAGE, application)]


def _names(lake: Lake, application: str) -> list[str]:
    return sorted({one.experiment for one in _all(lake, application)})


def _pair(first: str, second: str) -> str:
    return f"{first}>{second}"
