"""What is wrong now, as only the web app sees it: Kafka away, archiver stopped, wheel still, a cluster that came back.

Pure: what is known becomes the troubles that hold; `changes` makes alerts of those that began or ended. Failure rates
and champions that are worse are triage's to find. Go on to `book.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from schemas.events import Alert
from schemas.records import Cluster
from ui.health import Health
from ui.wheel import behind
from ui.words import instant, many, percent, span

_NAMESPACE = uuid.UUID("1d6f0f3c-5b0e-5e0b-9d53-8d1b7a1c9f42")
Severity = Literal["info", "warning", "critical"]
ENDED: Severity = "info"
"""The severity that ends an alert."""
MORE = "more_alerts"
"""The rule of the one message that stands for many."""


class Trouble(Struct, frozen=True, kw_only=True):
    """Something that is wrong now, and stays so until it is no longer found."""

    rule: str
    severity: Severity = "critical"
    message: str
    cluster_id: str | None = None

    @property
    def subject(self) -> str:
        """What it is about: of each subject one trouble is open at a time."""
        return subject_of(self.rule, self.cluster_id)


def troubles(
    health: Health, newest: datetime | None, turned: datetime | None, clusters: Sequence[Cluster], now: datetime
) -> list[Trouble]:
    """All that holds. `newest`: when the newest interaction was asked; `turned`: the instant of the newest turn."""
    found = []
    if health.kafka and health.named:
        found.append(Trouble(rule="kafka_away", message=f"Kafka cannot be asked: {health.kafka}"))
    if health.still_since:
        waits = f"{many(health.behind, 'event')} {'waits' if health.behind == 1 else 'wait'} in Kafka"
        said = f"{waits} and none has come to rest since {instant(health.still_since)}"
        found.append(Trouble(rule="archiver_stopped", message=f"The archiver has stopped: {said}"))
    if health.lost:
        said = f"{many(health.lost, 'event')} left Kafka before the archiver took them"
        found.append(Trouble(rule="events_lost", message=f"{said}: `flywheel status` says of which partitions"))
    if turned and (late := behind(newest, turned)):
        said = f"the last turn is as of {instant(turned)}, and {span(late)} of events wait"
        found.append(Trouble(rule="wheel_still", severity="warning", message=f"The wheel stands still: {said}"))
    found += [_back(one, now) for one in clusters if one.status == "regressed"]
    return found


def changes(
    application: str, found: Iterable[Trouble], open_: Mapping[str, Alert], now: datetime, unsure: Collection[str] = ()
) -> list[Alert]:
    """The alerts of troubles that began, and of those that are over.

    `open_`: subject → its alert, raised and not ended.
    `unsure`: subjects that neither begin nor end.
    """
    by_subject = {one.subject: one for one in found}
    began = [
        _alert(application, one, now)
        for subject, one in by_subject.items()
        if subject not in open_ and subject not in unsure
    ]
    ended = [
        _over(alert, now)
        for subject, alert in open_.items()
        if alert.rule in OURS and subject not in by_subject and subject not in unsure
    ]
    return began + ended


OURS = ("kafka_away", "archiver_stopped", "events_lost", "wheel_still", "cluster_regressed")
"""Rules that are looked after here; alerts of others end where they began."""


def subject_of(rule: str, *about: str | None) -> str:
    """What alerts are about, as one text."""
    return "\0".join([rule, *(each or "" for each in about)])


def subject(alert: Alert) -> str:
    """What an alert is about: that which it begins and another ends."""
    if alert.rule in OURS:
        return subject_of(alert.rule, alert.cluster_id)
    return subject_of(alert.rule, alert.model, alert.prompt_version, alert.variant, alert.cluster_id)


def path_of(alert: Alert) -> str:
    """The page that says more of it."""
    if alert.cluster_id:
        return f"/failures/{quote(alert.cluster_id, safe='')}"
    if alert.rule.startswith("champion_"):
        return "/ledger"
    if alert.rule == MORE:
        return "/alerts"
    return "/failures" if alert.rule == "failure_rate" else "/"


def _back(one: Cluster, now: datetime) -> Trouble:
    rate = f", {percent(one.rate)} of requests" if one.rate is not None else ""
    seen = f", last {span(now - one.last_seen)} ago" if one.last_seen and one.last_seen <= now else ""
    return Trouble(
        rule="cluster_regressed",
        severity="warning",
        message=f"“{one.name}” came back: {many(one.size, 'failure')}{rate}{seen}",
        cluster_id=one.cluster_id,
    )


def _alert(application: str, one: Trouble, now: datetime) -> Alert:
    return Alert(
        id=str(uuid.uuid5(_NAMESPACE, f"{application}\0{one.subject}\0{now.isoformat()}")),
        time=now,
        application=application,
        rule=one.rule,
        severity=one.severity,
        message=one.message,
        cluster_id=one.cluster_id,
    )


def _over(alert: Alert, now: datetime) -> Alert:
    return Alert(
        id=str(uuid.uuid5(_NAMESPACE, f"{alert.id}\0over")),
        time=now,
        application=alert.application,
        rule=alert.rule,
        severity=ENDED,
        message=f"Over after {span(now - alert.time)}: {alert.message}",
        cluster_id=alert.cluster_id,
    )
