"""The watch over the newest champion as it went: triage keeps where it stands, the lake has what it heard.

    decisions, interactions, feedback ─in Kafka's order─▶ `rates.observe` ─▶ `Watching` ─▶ a point for each user counted

Nothing is computed anew: these are the functions that triage counts with, in the order and by the clock of Kafka, so
that the last point is where triage stands. What may part them: a triage that was away (its clock is when it looked), a
sample of the users, and the order in which it read two partitions (the same users, another order of bets).

Go on to `pages/ledger.py`, which shows it.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from flows import ledger
from schemas.events import Decision, Feedback, Interaction
from schemas.settings import Settings, TriageSettings
from streams.keyring import own_secret
from streams.lake import Lake
from streams.lake.query import query, rows
from streams.triage.canary import Promotion, Standing, Watch, promotion_of, standing
from streams.triage.rates import Seen, observe
from streams.triage.report import described
from streams.triage.sequential import evidence
from streams.triage.shelf import Shelf
from streams.triage.users import Met
from streams.triage.watching import Watching

MOST = 20_000
"""Interactions that are folded: 30 µs each, and a promotion is decided within some thousand users."""
DRAWN = 400
"""Points of a drawing: more than it has pixels nobody sees."""
AGAIN_S = 15.0
"""A history is not folded again sooner."""
SQL = {path.stem: path.read_text() for path in Path(__file__).parent.glob("watched_*.sql")}


class Point(msgspec.Struct, frozen=True):
    """How the comparisons stood after one more user."""

    due: float
    """When the user was counted, seconds since the epoch."""
    standing: Standing
    beside: float | None
    """Evidence from users that the former serves beside the champion."""
    before: float | None
    """Evidence against the former's rate until the promotion."""


class History(msgspec.Struct, frozen=True):
    """One watch, from the promotion on."""

    decision: Decision
    since: datetime
    """When Kafka had the promotion."""
    watch: Watch
    """As it stands after the last point."""
    points: tuple[Point, ...]
    cut: bool
    """There was more traffic than is folded: triage has gone on."""

    @property
    def fell(self) -> Point | None:
        """The first user after whom the champion was suspected, or shown to be worse."""
        return next((point for point in self.points if point.standing != "watched"), None)

    def drawn(self, which: str) -> list[float]:
        """The evidence of one comparison, its first and last point among those that are drawn."""
        values = [value for point in self.points if (value := getattr(point, which)) is not None]
        step = max(1, len(values) // DRAWN)
        return [*values[:-1:step], *values[-1:]]


class Watched:
    """The history of the newest change of champion, kept until the lake knows more."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake, self._settings = lake, settings
        self._lock = threading.Lock()
        self._kept: tuple[float, History | None] = (-AGAIN_S, None)

    def history(self) -> History | None:
        """As the lake has it now, or had it some seconds ago; None while no champion took another's place."""
        with self._lock:
            if time.monotonic() - self._kept[0] >= AGAIN_S:
                self._kept = (time.monotonic(), watched(self._lake, self._settings, time.time()))
            return self._kept[1]


def watched(lake: Lake, settings: Settings, now: float) -> History | None:
    """The watch over the newest champion, until a moment; None where nobody served before."""
    decisions = [row for row in ledger.fold(lake, settings.application).decisions if promotion_of(row)]
    if len(decisions) < 2 or decisions[-1].action != "promoted" or decisions[-1].champion is None:
        return None
    told = {row["id"]: row["kafka_time"] for row in rows(lake, "decisions", application=settings.application)}
    changes = [(told.get(row.id, row.time), row) for row in decisions[-2:]]
    asks = _asks(lake, settings, changes, changes[0][0])
    if len(asks) > MOST and asks[-1]["kafka_time"] < changes[1][0]:  # all of it came before: the former's rate is lost
        asks = _asks(lake, settings, changes, changes[1][0])
    cut = len(asks) > MOST
    until = asks[-1]["kafka_time"].timestamp() if cut else now
    events = _events(lake, settings, changes, asks[:MOST], until)
    watching, points = _fold(events, until, settings, changes[-1][1])
    found = watching.watches.get(settings.application.encode())
    return History(changes[-1][1], changes[-1][0], found, tuple(points), cut) if found else None


def _fold(
    events: Iterator[tuple[datetime, Any]], until: float, settings: Settings, newest: Decision
) -> tuple[Watching, list[Point]]:
    watching = Watching(Shelf({}, Watch), Shelf({}, Met), settings.triage)
    key = own_secret(settings.home_path, "triage").encode()
    seen: dict[str, Seen] = {}
    points: list[Point] = []

    def settle(now: float) -> None:
        points.extend(
            _point(after, due, settings) for _, _, after, due in watching.settle(now) if after.decision_id == newest.id
        )

    for offset, (moment, what) in enumerate(events):
        if moment.timestamp() > until:
            break
        settle(moment.timestamp())
        if isinstance(what, Promotion):
            watching.promote(what)
            continue
        about = what.id if isinstance(what, Interaction) else what.interaction_id
        seen[about], change = observe(seen.get(about, Seen(0)), what, settings.cluster.failing_labels, key)
        if change:
            watching.hear(change, offset, moment.timestamp())
    settle(until)
    return watching, points


def _events(
    lake: Lake, settings: Settings, changes: list[tuple[datetime, Decision]], asks: list[dict[str, Any]], until: float
) -> Iterator[tuple[datetime, Any]]:
    """Changes of champion, what was asked of them and what was said of it, as Kafka had them one after another."""
    ids = [row["id"] for row in asks]
    asked = _since(settings, changes[0][0]) | {"ids": ids, "until": datetime.fromtimestamp(until, UTC)}
    says = query(lake, SQL["watched_says"], lake.versions(["feedback"]), asked).to_pylist() if ids else []
    promoted = ((moment, promotion_of(row)) for moment, row in changes)
    return heapq.merge(
        promoted,
        ((row["kafka_time"], Interaction(**_without_place(row), input_messages=[])) for row in asks),
        ((row["kafka_time"], Feedback(**_without_place(row))) for row in says),
        key=lambda one: one[0],
    )


def _without_place(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("kafka_")}


def _asks(
    lake: Lake, settings: Settings, changes: list[tuple[datetime, Decision]], since: datetime
) -> list[dict[str, Any]]:
    models = sorted({row.champion.model for _, row in changes if row.champion})
    asked = _since(settings, since) | {"models": models, "most": MOST + 1}
    found: list[dict[str, Any]] = query(lake, SQL["watched_asks"], lake.versions(["interactions"]), asked).to_pylist()
    return found


def _since(settings: Settings, since: datetime) -> dict[str, Any]:
    """Whatever Kafka took at a moment was archived on that day or later; a day's grace for clocks."""
    return {"application": settings.application, "since": since, "day": (since - timedelta(days=1)).date()}


def _point(after: Watch, due: float, settings: Settings) -> Point:
    return Point(
        due, standing(after, settings.triage),
        evidence(after.canary) if after.canary else None, evidence(after.before) if after.before else None,
    )  # fmt: skip


def compared(history: History, told: Mapping[str, Any] | None, settings: TriageSettings) -> list[tuple[str, Any, Any]]:
    """What triage says of the champion, name by name: in the history, and as triage tells it now."""
    ours = described(history.watch, settings)
    return [(name, value, (told or {}).get(name)) for name, value in ours.items()]
