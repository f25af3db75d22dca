"""Alerts over a real Kafka: what triage raises reaches a webhook once, and what we raise comes back as the same one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import Alert
from schemas.secrets import Secret
from schemas.serving import AlertSettings, Webhook
from schemas.settings import Settings
from schemas.topics import ALERTS
from streams.producer import EventProducer
from tests.support.kafka import Ingest, recreate_topics
from tests.support.waiting import eventually
from tests.support.webhook import Place
from ui.notices.notifier import Notifier
from ui.notices.rules import Trouble

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Calm:
    """A state in which nothing is wrong."""

    def troubles(self, now: datetime) -> list[Trouble]:  # noqa: ARG002 as the state has it
        return []

    def unsure(self) -> list[str]:
        return []


def alert(n: int, **fields: Any) -> Alert:
    known = {"time": NOW, "application": "support-bot", "rule": "failure_rate", "message": "half of them fail"}
    return Alert(**{"id": f"00000000-0000-4000-8000-{n:012d}", "model": f"m{n}", **known, **fields})


def ids(place: Place) -> list[str]:
    return [body["data"]["id"] for body in place.bodies]


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as found:
        yield found
        found.shutdown()


@pytest.fixture
def settings(kafka: str, tmp_path: Path, place: Place) -> Settings:
    recreate_topics(kafka)
    webhooks = {"ops": Webhook(url=Secret(place.url))}
    application = f"support-bot-{tmp_path.name}"
    return msgspec.structs.replace(
        Ingest(kafka, tmp_path).settings, application=application, alerts=AlertSettings(webhooks=webhooks)
    )


def test_what_triage_raises_reaches_a_webhook_once(settings: Settings, place: Place) -> None:
    """Of this application alone; what is no alert is passed over; a restart hears what came meanwhile, and no more."""
    known = {"application": settings.application}
    with EventProducer(settings.kafka) as producer:
        producer.send(alert(1, **known))
        producer.send(alert(2, application="other"))
        producer.send_bytes(ALERTS, "x", b"{no alert", [])
        producer.send(alert(1, **known))
    with Notifier(settings, Calm(), lambda _: None):
        eventually(lambda: ids(place))
        with EventProducer(settings.kafka) as producer:
            producer.send(alert(3, **known))
        eventually(lambda: len(ids(place)) == 2)
    with EventProducer(settings.kafka) as producer:
        producer.send(alert(4, **known))
    with Notifier(settings, Calm(), lambda _: None) as again:
        eventually(lambda: len(ids(place)) == 3)
        # What we raise ourselves comes back from Kafka as the same alert.
        again._note([alert(5, **known)], datetime.now(UTC))
        with EventProducer(settings.kafka) as producer:
            producer.send(alert(5, **known))
            producer.send(alert(6, **known))
        eventually(lambda: len(ids(place)) == 5)
        assert len(again.book.newest(100)) == 5
    assert sorted(ids(place)) == [alert(n).id for n in (1, 3, 4, 5, 6)]
