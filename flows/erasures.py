"""Erasures that came over Kafka: what is signed is in force, everything else waits, is listed, and can be stopped.

Anybody who may write to `llm.erasures` can ask that somebody be forgotten, which cannot be taken back. A request takes
effect when a trusted key signs it: the sender's own, or this home's after `archive.erasure_grace_h`. Confirming sends
the same request once more, signed; so every reader, also of another home, sees one kind of order. Go on to
`maintain/stage.py`, which confirms what is due.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from flows.announce import tell
from flows.ledger import decision_id
from flows.run import plain
from schemas.errors import BrokerError, UsageError
from schemas.events import Erasure
from schemas.records import content_hash
from schemas.settings import Settings
from streams.lake import Lake, query
from streams.lake.append import publish, to_rows

_log = logging.getLogger(__name__)


class Waiting(Struct, frozen=True, kw_only=True):
    """A request that nobody trusted has signed."""

    id: str
    subject: str
    application: str | None
    requested_by: str | None
    reason: str | None
    time: datetime
    """As its sender says; what was done after it is not forgotten."""
    arrived: datetime
    """The grace counts from here: the clock of this home."""


def waiting(lake: Lake) -> list[Waiting]:
    """The requests that are neither in force nor stopped, oldest first."""
    rows = query.rows(lake, "erasures")
    over = {row["id"] for row in query.rows(lake, "erasure_stops")} | {row["id"] for row in rows if row["signed_by"]}
    found = [
        Waiting(
            arrived=row["ingested_at"],
            **{name: row[name] for name in ("id", "subject", "application", "requested_by", "reason", "time")},
        )
        for row in rows
        if row["id"] not in over and confirmed_id(row["id"]) not in over
    ]
    return sorted(found, key=lambda one: (one.arrived, one.id))


def confirmed_id(request_id: str) -> str:
    """The id of the order that a request becomes: confirmed twice it is one event."""
    return decision_id("erasure confirmed", request_id)


def stop(lake: Lake, ids: Iterable[str], by: str, reason: str, as_of: datetime) -> int:
    """Never carry these out; how many there are. Raises UsageError for one that does not wait, or without a reason."""
    chosen = _chosen(lake, ids)
    if not reason.strip():
        raise UsageError("say why: a person may have asked for it")
    rows = [{"id": one.id, "time": plain(as_of), "stopped_by": by, "reason": reason} for one in chosen]
    if rows:
        name = content_hash(["stop", [row["id"] for row in rows]])
        publish(lake, "erasure_stops", to_rows("erasure_stops", rows), name)
    return len(rows)


def confirm(lake: Lake, settings: Settings, ids: Iterable[str]) -> int:
    """Order these now; how many there are. Raises UsageError for one that does not wait, or with no broker named."""
    return _confirm(settings, _chosen(lake, ids))


def confirm_due(lake: Lake, settings: Settings, as_of: datetime) -> int:
    """Order what waited long enough; where Kafka is away it waits on."""
    grace = timedelta(hours=settings.archive.erasure_grace_h)
    due = [one for one in waiting(lake) if one.arrived + grace <= as_of]
    try:
        return _confirm(settings, due)
    except (BrokerError, UsageError) as error:
        _log.warning("%s erasures are due and wait on: %s", len(due), error)
        return 0


def _confirm(settings: Settings, requests: list[Waiting]) -> int:
    orders = [
        Erasure(
            id=confirmed_id(one.id),
            time=plain(min(one.time, one.arrived)),  # nobody orders what has not happened yet
            subject=one.subject,
            application=one.application,
            requested_by=one.requested_by,
            reason=one.reason,
        )
        for one in requests
    ]
    if orders:
        tell(settings, orders)
    return len(orders)


def _chosen(lake: Lake, ids: Iterable[str]) -> list[Waiting]:
    known = {one.id: one for one in waiting(lake)}
    wanted = sorted(set(ids))
    if missing := [one for one in wanted if one not in known]:
        raise UsageError(f"no erasure {missing[0][:64]!r} waits; `flywheel erasure list` shows those that do")
    return [known[one] for one in wanted]
