"""Canary watch after a promotion: whether the new champion is worse in production. One small state per application.

    decision ──promoted──▶ Watch ──counted, user by user──▶ Watch ──worse──▶ alert, rollback

Pure; the statistics are in `streams/triage/sequential.py`, whose unit is the user, and who counts when in
`streams/triage/users.py`. `streams/triage/app.py` keeps the state. Two comparisons run side by side: with the users
that the former champion still serves, which takes a champion back, and with the former's rate until then, which knows
nothing of how traffic changed, and warns.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from schemas.events import Alert, Candidate, Decision
from schemas.settings import TriageSettings
from streams.triage.rates import Group
from streams.triage.sequential import Arm, Canary, describe, observe, worse

_NAMESPACE = uuid.UUID("0c3c0b0f-8d4c-5f0e-a2d7-5f6f3a1e9b44")
Standing = Literal["watched", "suspected", "worse"]


class Watch(Struct, frozen=True):
    """Who serves in an application, who did before, and how the comparison stands."""

    decision_id: str
    """The promotion that is watched."""
    sequence: int
    """Its place in the ledger."""
    champion: Candidate | None
    former: Candidate | None = None
    canary: Canary | None = None
    """Beside the users that the former serves still. None: there is nobody to go back to."""
    before: Canary | None = None
    """Against the former's rate until the promotion. None where that is hardly known."""
    share: float = 1.0
    """Of the users, how many are noted: a sample where they are more than `triage.keep_interactions`."""
    users: int = 0
    """Users of the champion since it serves, each counted once."""
    users_failed: int = 0
    """And how many of those failed: with `users`, the baseline of the champion after it, in the test's own unit."""


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
    """The watch after a change of champion; one that is told or read again, now or later, changes nothing."""
    if before and promotion.sequence <= before.sequence:
        return before
    former = before.champion if before else None
    if promotion.action != "promoted" or before is None or former is None or promotion.champion is None:
        return Watch(promotion.decision_id, promotion.sequence, promotion.champion)
    rate = baseline_of(before.users, before.users_failed, settings)
    blank = Canary(margin=settings.canary_margin, accounts=settings.canary_accounts)
    known = None if rate is None else msgspec.structs.replace(blank, baseline=rate)
    return Watch(promotion.decision_id, promotion.sequence, promotion.champion, former, blank, known)


def baseline_of(users: int, failed: int, settings: TriageSettings) -> float | None:
    """An upper bound of a failure rate that is wrong in half of `canary_alpha`; None from fewer than `alert_min` users.

    Exact (Clopper and Pearson 1934); the test against it has the other half. `canary_accounts` of the users may have
    praised to make the next champion look bad: the bound is of the others.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 lazy: once a promotion

    others = users - settings.canary_accounts
    if others < settings.alert_min or not settings.canary_alpha:
        return None
    if failed >= others:
        return 1.0
    return float(betaincinv(failed + 1, others - failed, 1 - settings.canary_alpha / 2))


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


def counted(watch: Watch, arm: Arm, failed: bool) -> Watch:
    """The watch after one more user."""
    served = arm == "canary"
    return msgspec.structs.replace(
        watch,
        canary=observe(watch.canary, arm, failed) if watch.canary else None,
        before=observe(watch.before, arm, failed) if watch.before and served else watch.before,
        users=watch.users + served,
        users_failed=watch.users_failed + (served and failed),
    )


def standing(watch: Watch, settings: TriageSettings) -> Standing:
    """worse: the champion is to be taken back. suspected: it fails more than the former did, and a person decides."""
    alpha = settings.canary_alpha
    if not alpha:
        return "watched"
    against_before = watch.before is not None and worse(watch.before, alpha / 2)
    if watch.canary is not None and worse(watch.canary, alpha):
        return "worse"
    if against_before:
        return "suspected" if settings.canary_beside else "worse"
    return "watched"


def alert_of(application: str, watch: Watch, settings: TriageSettings, time: datetime) -> Alert:
    """The alert of a champion that is suspected or worse; the same promotion gives the same alert of either."""
    found = standing(watch, settings)
    beside = watch.canary is not None and settings.canary_alpha and worse(watch.canary, settings.canary_alpha)
    compared = watch.canary if beside else watch.before
    if found == "watched" or compared is None or watch.champion is None or watch.former is None:
        raise ValueError("a champion that is not shown to be worse is nothing to alert of")
    numbers = describe(compared)
    before = numbers.get("baseline_failure_rate", numbers.get("control_failure_rate", 0.0))
    measured = f"fails {before:.0%} beside it" if beside else f"failed {before:.0%} at most before"
    advice = "" if found == "worse" else "; traffic may have changed: look, or `flywheel champion rollback`"
    return Alert(
        id=str(uuid.uuid5(_NAMESPACE, watch.decision_id + ("" if found == "worse" else "\0suspected"))),
        time=time,
        application=application,
        rule=f"champion_{found}",
        severity="critical" if found == "worse" else "warning",
        message=(
            f"{watch.champion.model} fails {numbers['canary_failure_rate']:.0%} of {numbers['canary_users']:.0f} "
            f"users, {watch.former.model} {measured}: worse by more than {numbers['margin']:.0%} "
            f"(evidence {numbers['evidence']:.3g}){advice}"
        ),
        model=watch.champion.model,
        prompt_version=watch.champion.prompt_version,
        values=numbers,
    )
