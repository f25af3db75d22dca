"""Every alert once, whom it was told, and whom not yet: in a small SQLite of its own, synced before anything is sent.

    came ─▶ waiting ─▶ told
               ├─▶ quiet      the same trouble came and went again before it was time to say so
               ├─▶ together   one of many that one message told of
               ├─▶ refused    the place says that it will never take this one
               └─▶ missed     not taken within a day

The same id again is the same alert, wherever it comes from. Go on to `notifier.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from schemas.codec import decode, encode
from schemas.events import Alert
from schemas.topics import ALERTS
from ui.notices.rules import ENDED, subject

FILE = Path("ui") / "alerts.sqlite"
"""Below the home. What is told stands on Kafka too; what waits stands here alone."""
KEPT = 1000
"""Alerts that are kept for people to look back."""
PATIENCE = timedelta(days=1)
"""Yesterday's alert helps nobody: it is not told any more."""
WAITS_S = (5.0, 30.0, 120.0, 600.0, 1800.0)
"""After so many seconds a place that did not take an alert is tried again; the last of them for ever."""
_TABLES = """
CREATE TABLE IF NOT EXISTS alert (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, subject TEXT NOT NULL, came REAL NOT NULL, raised INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS alert_subject ON alert (subject, n);
CREATE TABLE IF NOT EXISTS delivery (
    n INTEGER NOT NULL, place TEXT NOT NULL, state TEXT NOT NULL, due REAL NOT NULL, held INTEGER NOT NULL,
    told REAL, PRIMARY KEY (n, place)
);
CREATE INDEX IF NOT EXISTS delivery_state ON delivery (place, state, told);
CREATE TABLE IF NOT EXISTS place (name TEXT PRIMARY KEY, tries INTEGER NOT NULL, due REAL NOT NULL, why TEXT NOT NULL);
"""


class Noted(Struct, frozen=True):
    """An alert as the page shows it."""

    alert: Alert
    came: datetime
    is_open: bool
    """Whether it was raised, and nothing of the same subject has come since."""
    places: Mapping[str, str]
    """Place → how far it got."""


class Waiting(Struct, frozen=True):
    """An alert that a place is to be told of."""

    n: int
    alert: Alert


class Book:
    """The file. Each call is one transaction, on disk when it returns."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._open() as sql:
            sql.executescript(_TABLES)

    def put(
        self, alerts: Collection[Alert], places: Mapping[str, Collection[str]], now: datetime, again_s: float
    ) -> None:
        """Note alerts, and for each place (name → its rules, none for all) that it is to be told.

        What was raised (or ended) less than `again_s` before is held until then, and told only if it still stands.
        """
        with self._open() as sql:
            for one in alerts:
                about, raised, came = subject(one), one.severity != ENDED, now.timestamp()
                (before,) = sql.execute(
                    "SELECT max(came) FROM alert WHERE subject = ? AND raised = ?", (about, raised)
                ).fetchone()
                made = sql.execute(
                    "INSERT OR IGNORE INTO alert (id, subject, came, raised, body) VALUES (?, ?, ?, ?, ?)",
                    (one.id, about, came, raised, encode(one)),
                )
                if made.rowcount != 1:
                    continue
                due = came if before is None else max(came, before + again_s)
                sql.executemany(
                    "INSERT INTO delivery (n, place, state, due, held) VALUES (?, ?, 'waiting', ?, ?)",
                    [(made.lastrowid, name, due, due > came) for name, rules in places.items() if _wants(rules, one)],
                )
            self._forget(sql)

    def open(self) -> dict[str, Alert]:
        """Subject → its alert, of what was raised and has not ended."""
        with self._open() as sql:
            rows = sql.execute(
                "SELECT subject, body FROM alert WHERE n IN (SELECT max(n) FROM alert GROUP BY subject) AND raised"
            ).fetchall()
        return {about: _alert(body) for about, body in rows}

    def due(self, place: str, now: datetime) -> list[Waiting]:
        """What a place is to be told now, oldest first; nothing while it is given time to recover."""
        moment = now.timestamp()
        with self._open() as sql:
            self._settle(sql, place, moment)
            rests = sql.execute("SELECT 1 FROM place WHERE name = ? AND due > ?", (place, moment)).fetchone()
            rows = [] if rests else sql.execute(
                "SELECT n, body FROM delivery JOIN alert USING (n) WHERE place = ? AND state = 'waiting' AND due <= ? "
                "ORDER BY n", (place, moment)
            ).fetchall()  # fmt: skip
        return [Waiting(n, _alert(body)) for n, body in rows]

    def told_since(self, place: str, moment: datetime) -> int:
        """How many messages a place has had since a moment."""
        with self._open() as sql:
            return int(
                sql.execute(
                    "SELECT count(*) FILTER (WHERE state = 'told') + count(DISTINCT told) "
                    "FILTER (WHERE state = 'together') FROM delivery WHERE place = ? AND told > ?",
                    (place, moment.timestamp()),
                ).fetchone()[0]
            )

    def told(self, place: str, which: Sequence[Waiting], now: datetime) -> None:
        """A place has taken one message, of one alert or of many together."""
        state = "told" if len(which) == 1 else "together"
        with self._open() as sql:
            sql.executemany(
                "UPDATE delivery SET state = ?, told = ? WHERE n = ? AND place = ?",
                [(state, now.timestamp(), one.n, place) for one in which],
            )
            sql.execute("DELETE FROM place WHERE name = ?", (place,))

    def refused(self, place: str, which: Sequence[Waiting]) -> None:
        """A place will never take these: others are told nevertheless."""
        with self._open() as sql:
            sql.executemany(
                "UPDATE delivery SET state = 'refused' WHERE n = ? AND place = ?", [(one.n, place) for one in which]
            )

    def failed(self, place: str, why: str, now: datetime) -> None:
        """A place did not take a message: it is left alone for a while, longer each time."""
        with self._open() as sql:
            row = sql.execute("SELECT tries FROM place WHERE name = ?", (place,)).fetchone()
            tries = row[0] if row else 0
            due = now.timestamp() + WAITS_S[min(tries, len(WAITS_S) - 1)]
            sql.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)", (place, tries + 1, due, why))

    def troubles(self) -> dict[str, str]:
        """Place → why it did not take the last message, of those that did not."""
        with self._open() as sql:
            return dict(sql.execute("SELECT name, why FROM place ORDER BY name"))

    def newest(self, number: int) -> list[Noted]:
        """The newest alerts, the newest first."""
        with self._open() as sql:
            last = {n for (n,) in sql.execute("SELECT max(n) FROM alert GROUP BY subject")}
            rows = sql.execute("SELECT n, came, raised, body FROM alert ORDER BY n DESC LIMIT ?", (number,)).fetchall()
            least = rows[-1][0] if rows else 0
            places: dict[int, dict[str, str]] = {}
            for n, place, state in sql.execute(
                "SELECT n, place, state FROM delivery WHERE n >= ? ORDER BY place", (least,)
            ):
                places.setdefault(n, {})[place] = state
        return [
            Noted(_alert(body), datetime.fromtimestamp(came, UTC), bool(raised) and n in last, places.get(n, {}))
            for n, came, raised, body in rows
        ]

    @staticmethod
    def _settle(sql: sqlite3.Connection, place: str, moment: float) -> None:
        """What is no longer worth telling: what waited for a day, and what was held and has been overtaken.

        An end that was held ends nothing where its beginning was never told: the place still knows the end before.
        """
        waiting = sql.execute(
            "SELECT n, subject, raised, came, held FROM delivery JOIN alert USING (n) WHERE place = ? AND "
            "state = 'waiting' ORDER BY n", (place,)
        ).fetchall()  # fmt: skip
        for n, about, raised, came, held in waiting:
            later = sql.execute("SELECT 1 FROM alert WHERE subject = ? AND n > ?", (about, n)).fetchone()
            known = sql.execute(
                "SELECT raised FROM alert JOIN delivery USING (n) WHERE subject = ? AND n < ? AND place = ? "
                "AND told > 0 ORDER BY n DESC LIMIT 1", (about, n, place)
            ).fetchone()  # fmt: skip
            old = came < moment - PATIENCE.total_seconds()
            if old or (held and (later or known == (raised,))):
                state = "missed" if old else "quiet"
                sql.execute("UPDATE delivery SET state = ? WHERE n = ? AND place = ?", (state, n, place))

    @staticmethod
    def _forget(sql: sqlite3.Connection) -> None:
        """Old alerts, but for those that stand."""
        sql.execute(
            "DELETE FROM alert WHERE n <= (SELECT max(n) FROM alert) - ? AND NOT "
            "(raised AND n IN (SELECT max(n) FROM alert GROUP BY subject))",
            (KEPT,),
        )
        sql.execute("DELETE FROM delivery WHERE n NOT IN (SELECT n FROM alert)")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=10)
        try:
            connection.executescript("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON")
            with connection:
                yield connection
        finally:
            connection.close()


def _wants(rules: Collection[str], alert: Alert) -> bool:
    return not rules or alert.rule in rules


def _alert(body: bytes) -> Alert:
    event = decode(body, ALERTS.event_type).event
    if not isinstance(event, Alert):
        raise TypeError(f"the book holds a {type(event).__name__}")
    return event
