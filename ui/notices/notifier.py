"""The threads of alerts: one looks for what is wrong and tells the webhooks, one hears Kafka.

    each look:   troubles ─▶ alerts ─▶ Kafka by the outbox, then the book
                 book ─▶ webhooks, where one is due

A kill between telling and noting it tells once more: the `webhook-id` is the same. Go on to `../state.py`.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from flows.outbound import Bounds, tell
from schemas.errors import EndpointError, FlywheelError, RefusedError
from schemas.events import Alert
from schemas.serving import Webhook
from schemas.settings import Settings
from streams.alerts import hear
from ui.notices.book import Book, Waiting
from ui.notices.rules import MORE, OURS, Trouble, changes, path_of
from ui.notices.shapes import request_of

EVERY_S = 2.0
HOLD = timedelta(minutes=1)
"""A trouble must have lasted so long before it is one, and be gone so long before it is over."""
AGAIN_S = 5.0
"""Before a broker that was away is asked again."""
BOUNDS = Bounds(timeout_s=10.0, max_bytes=65_536)
HOUR = timedelta(hours=1)
_NAMESPACE = uuid.UUID("7c1c7a3e-9f0b-5d0e-8a59-3a6a1b8f4d10")
_log = logging.getLogger(__name__)


class Looks(Protocol):
    """What is asked of the state: `ui.state.State` does it."""

    def troubles(self, now: datetime) -> list[Trouble] | None:
        """What is wrong now; None where that is not known yet."""

    def unsure(self) -> Sequence[str]:
        """Subjects of which nothing is known just now, so that they neither begin nor end."""


class Notifier:
    """The threads, as a context manager. `send` gives alerts on to Kafka."""

    def __init__(self, settings: Settings, looks: Looks, send: Callable[[Sequence[Alert]], None]) -> None:
        self._settings, self._looks, self._send = settings, looks, send
        self._differs: dict[str, datetime] = {}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"alerts-{target.__name__}", daemon=True)
            for target in (self._watching, self._hearing)
        ]
        self.book = Book(settings.home_path)

    def __enter__(self) -> Notifier:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=BOUNDS.timeout_s)

    def look(self, now: datetime) -> list[Alert]:
        """Note what began and what ended since the last look; gives the alerts."""
        found, open_ = self._looks.troubles(now), self.book.open()
        if found is None:
            return []
        unsure = set(self._looks.unsure())
        differs = {one.subject for one in found} ^ {about for about, alert in open_.items() if alert.rule in OURS}
        self._differs = {about: self._differs.get(about, now) for about in differs - unsure}
        unsure.update(about for about, since in self._differs.items() if now - since < HOLD)
        made = changes(self._settings.application, found, open_, now, unsure)
        if made:
            self._send(made)  # first: what is in the book is known, and is never raised again
            self._note(made, now)
        return made

    def deliver(self, now: datetime) -> None:
        """Tell each webhook what is due."""
        for name, to in self._settings.alerts.webhooks.items():
            waiting = self.book.due(name, now)
            free = self._settings.alerts.per_hour - self.book.told_since(name, now - HOUR)
            for together in _messages(waiting, free):
                if not self._tell(name, to, together, now):
                    break

    def _tell(self, name: str, to: Webhook, which: Sequence[Waiting], now: datetime) -> bool:
        alert = which[0].alert if len(which) == 1 else gathered([one.alert for one in which])
        try:
            send(name, to, alert, self._settings, now)
        except RefusedError as error:
            _log.warning("%s does not take this alert, it is told no more of it: %s", name, error)
            self.book.refused(name, which)
            return True
        except EndpointError as error:
            _log.warning("%s was not told: %s", name, error)
            self.book.failed(name, str(error), now)
            return False
        self.book.told(name, which, now)
        return True

    def _note(self, alerts: Iterable[Alert], came: datetime) -> None:
        how = self._settings.alerts
        places = {name: to.rules for name, to in how.webhooks.items()}
        self.book.put(list(alerts), places, came, how.again_s)

    def _watching(self) -> None:
        while not self._stop.is_set():
            try:
                now = datetime.now(UTC)
                self.look(now)
                self.deliver(now)
            except Exception:  # whatever a look meets: the next may succeed, and alerts must not end
                _log.exception("alerts could not be looked after")
            self._stop.wait(EVERY_S)

    def _hearing(self) -> None:
        if not self._settings.kafka.bootstrap_servers:
            return
        while not self._stop.is_set():
            try:
                hear(self._settings, lambda alert, came: self._note([alert], came), self._stop.is_set)
            except FlywheelError as error:
                _log.warning("Kafka's alerts cannot be heard: %s", error)
            except Exception:  # a book that is locked, a disk that is full: what was not noted is heard again
                _log.exception("Kafka's alerts cannot be heard")
            self._stop.wait(AGAIN_S)


def send(name: str, to: Webhook, alert: Alert, settings: Settings, now: datetime) -> None:
    """Tell one place of one alert. Raises EndpointError where it does not take it."""
    body, headers = request_of(alert, link_of(settings) + path_of(alert), to, now)
    tell(f"alerts.webhooks.{name}", to.url, body, headers, settings.evaluate.private_endpoints, BOUNDS)


def link_of(settings: Settings) -> str:
    """Where people reach the web app, without a slash at its end."""
    return (settings.alerts.link or f"http://127.0.0.1:{settings.ui.port}").rstrip("/")


def gathered(alerts: Sequence[Alert]) -> Alert:
    """One alert that stands for many: how many of which rule, as grave as the gravest of them."""
    rules = Counter(one.rule for one in alerts)
    said = ", ".join(
        f"{number} × {rule}" for rule, number in sorted(rules.items(), key=lambda each: (-each[1], each[0]))
    )
    return Alert(
        id=str(uuid.uuid5(_NAMESPACE, "\0".join(one.id for one in alerts))),
        time=alerts[-1].time,
        application=alerts[0].application,
        rule=MORE,
        severity=max((one.severity for one in alerts), key=("info", "warning", "critical").index),
        message=f"{len(alerts)} more alerts within an hour: {said}",
        values={rule: float(number) for rule, number in sorted(rules.items())},
    )


def _messages(waiting: Sequence[Waiting], free: int) -> list[Sequence[Waiting]]:
    """What is told by which message: one each, and together in the last that the hour has room for."""
    if free <= 0:
        return []
    if len(waiting) <= free:
        return [[one] for one in waiting]
    return [*([one] for one in waiting[: free - 1]), waiting[free - 1 :]]
