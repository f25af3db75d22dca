"""Canary watch after a promotion: whether the new champion is worse in production. One small state per application.

    decision ──promoted──▶ Watch ──judged, user by user──▶ Watch ──worse──▶ alert, rollback

Pure; the statistics are in `streams/triage/sequential.py`, whose unit is the user: of each user only the first
interaction that was judged counts, so that no number of votes by one person moves the test. `streams/triage/app.py`
keeps the state.
"""

from __future__ import annotations

import math
import uuid
from datetime import datetime

import msgspec
from msgspec import Struct

from schemas.events import Alert, Candidate, Decision
from schemas.settings import TriageSettings
from streams.triage.rates import Group
from streams.triage.sequential import Arm, Canary, describe, observe, worse

_NAMESPACE = uuid.UUID("0c3c0b0f-8d4c-5f0e-a2d7-5f6f3a1e9b44")
Z = 1.6448536269514722
"""95 % quantile of the normal distribution: the baseline is taken at its upper one-sided bound."""


class Watch(Struct, frozen=True):
    """Who serves in an application, who did before, and how the comparison stands."""

    decision_id: str
    """The promotion that is watched."""
    sequence: int
    """Its place in the ledger."""
    champion: Candidate | None
    former: Candidate | None = None
    canary: Canary | None = None
    """None: there is nobody to compare with, or nobody to go back to."""
    offset: int = -1
    """Of the newest change that is in here: what is read again after a crash is not counted again."""
    users: int = 0
    """Users that the champion met since it serves, by their first judged interaction."""
    users_failed: int = 0
    """And how many of those failed: with `users`, the baseline of the champion after it, in the test's own unit."""


class Met(Struct, frozen=True):
    """A user whose first judged interaction was counted."""

    failed: bool


class Promotion(Struct, frozen=True, tag=True):
    """The part of a ledger decision that triage acts on."""

    application: str
    decision_id: str
    sequence: int
    action: str
    champion: Candidate | None


def promotion_of(decision: Decision) -> Promotion | None:
    """A change of champion; None for decisions that change nothing."""
    if decision.action not in {"promoted", "rolled_back"}:
        return None
    return Promotion(decision.application, decision.id, decision.sequence, decision.action, decision.champion)


def begin(before: Watch | None, promotion: Promotion, settings: TriageSettings) -> Watch:
    """The watch after a change of champion; one that is told or read again, now or later, changes nothing.

    The new champion is compared with the former one's rate until then, or, where that is hardly known or
    `canary_beside` says so, with the users that the former goes on serving beside it.
    """
    if before and promotion.sequence <= before.sequence:
        return before
    former = before.champion if before else None
    watched = promotion.action == "promoted" and former is not None and promotion.champion is not None
    known = None if before is None else baseline_of(before.users, before.users_failed, settings.alert_min)
    baseline = None if settings.canary_beside else known
    canary = Canary(margin=settings.canary_margin, baseline=baseline) if watched else None
    return Watch(promotion.decision_id, promotion.sequence, promotion.champion, former if watched else None, canary)


def baseline_of(n: int, failed: int, least: int) -> float | None:
    """The upper 95 % bound (Wilson 1927, one-sided) of a failure rate; None from fewer than `least` users.

    Users, not interactions: a rate over interactions is that of whoever comes often, and can lie well below the rate
    over users that the test then finds.
    """
    if n < least:
        return None
    rate = failed / n
    middle, spread = rate + Z * Z / (2 * n), Z * math.sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n))
    return (middle + spread) / (1 + Z * Z / n)


def serves(candidate: Candidate | None, group: Group) -> bool:
    """Whether a group's interactions were answered by this candidate."""
    return candidate is not None and (candidate.model, candidate.prompt_version or "") == (
        group.model,
        group.prompt_version,
    )


def arm_of(watch: Watch, group: Group) -> Arm | None:
    """Which side an interaction is on: the champion's (the canary, where it is compared) or the former one's."""
    if serves(watch.champion, group):
        return "canary"
    return "control" if watch.canary and serves(watch.former, group) else None


def judged(watch: Watch, arm: Arm, failed: bool, offset: int) -> Watch:
    """The watch after one more user."""
    if offset <= watch.offset:
        return watch
    served = arm == "canary"
    return msgspec.structs.replace(
        watch,
        canary=observe(watch.canary, arm, failed) if watch.canary else None,
        offset=offset,
        users=watch.users + served,
        users_failed=watch.users_failed + (served and failed),
    )


def is_worse(watch: Watch, settings: TriageSettings) -> bool:
    """Whether the new champion was shown to be worse than the one before."""
    alpha = settings.canary_alpha
    return watch.canary is not None and alpha > 0 and worse(watch.canary, alpha)


def alert_of(application: str, watch: Watch, time: datetime) -> Alert:
    """The alert of a champion that was shown to be worse; the same promotion gives the same alert."""
    if watch.canary is None or watch.champion is None or watch.former is None:
        raise ValueError("a watch without a comparison has nothing to alert of")
    numbers = describe(watch.canary)
    before = numbers.get("baseline_failure_rate", numbers.get("control_failure_rate", 0.0))
    return Alert(
        id=str(uuid.uuid5(_NAMESPACE, watch.decision_id)),
        time=time,
        application=application,
        rule="champion_worse",
        severity="critical",
        message=(
            f"{watch.champion.model} fails {numbers['canary_failure_rate']:.0%} of {numbers['canary_users']:.0f} "
            f"users, {watch.former.model} failed {before:.0%}: worse by more than {numbers['margin']:.0%} "
            f"(evidence {numbers['evidence']:.3g})"
        ),
        model=watch.champion.model,
        prompt_version=watch.champion.prompt_version,
        values=numbers,
    )
