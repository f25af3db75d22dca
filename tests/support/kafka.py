"""A real Kafka with empty topics, archivers that run on it, and what the lake then holds."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from flows.testing.events import feedback, interaction
from schemas.errors import BrokerError
from schemas.settings import ArchiveSettings, KafkaSettings, Settings
from schemas.topics import ARCHIVED, FEEDBACK, INTERACTIONS, TOPICS
from streams.admin import Admin
from streams.archive.archiver import Archiver
from streams.lake import Lake
from streams.lake.query import query, read
from streams.producer import EventProducer
from tests.support.waiting import eventually


class Ingest:
    """A Kafka with empty topics, a lake with no tables, and the settings that join them."""

    def __init__(self, servers: str, home: Path, **archive: Any) -> None:
        options = {"batch_seconds": 0.3, "group_id": f"test-{uuid.uuid4()}", **archive}
        self.settings = Settings(
            home=str(home),
            kafka=KafkaSettings(bootstrap_servers=servers, partitions=2),
            archive=msgspec.convert(options, ArchiveSettings),
        )
        self.lake = Lake(self.settings.lake_root)
        self.admin = Admin(self.settings.kafka)

    def with_(self, **archive: Any) -> Settings:
        """The same settings with others for the archiver."""
        return msgspec.structs.replace(self.settings, archive=msgspec.structs.replace(self.settings.archive, **archive))

    def archive(self, settings: Settings | None = None, idle_s: float = 1.5) -> None:
        """Archive until nothing comes any more."""
        Archiver(settings or self.settings, self.lake).run(until_idle_s=idle_s)

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows that a query gives over all raw tables as they are now."""
        tables = [*(topic.table for topic in ARCHIVED), "dead_letters"]
        return query(self.lake, sql, self.lake.versions(tables)).to_pylist()

    def stored(self, table: str) -> list[dict[str, Any]]:
        """A table's rows as they are stored, doubles and all."""
        return read(self.lake, table).to_pylist()


class Name(str):
    """A header name that goes out as the bytes of these letters, where kafka-python's producer sends it."""

    def encode(self, *_: Any) -> bytes:
        return bytes(map(ord, self))


ODD = (Name("\xff\xfe"), b"1")
"""A header whose name is no UTF-8."""


def recreate_topics(servers: str, partitions: int = 2) -> None:
    """Delete all topics of the flywheel and make them anew."""
    client = AdminClient({"bootstrap.servers": servers, "log_level": 2})
    admin = Admin(KafkaSettings(bootstrap_servers=servers, partitions=partitions))
    if there := list(admin.partitions(topic.name for topic in TOPICS)):
        for order in client.delete_topics(there, operation_timeout=10).values():
            order.result()
    eventually(lambda: not admin.partitions(topic.name for topic in TOPICS))
    eventually(lambda: _created(admin))


def _created(admin: Admin) -> bool:
    try:
        admin.ensure_topics()
    except BrokerError:  # the deletion of an older namesake is still under way
        return False
    return True


def send(ingest: Ingest, first: int, after: int) -> set[str]:
    """Produce numbered events; their ids."""
    events = [interaction(n) for n in range(first, after)]
    with EventProducer(ingest.settings.kafka) as producer:
        for event in events:
            producer.send(event)
    return {event.id for event in events}


@contextmanager
def running(ingest: Ingest, lake: Lake | None = None, **archive: Any) -> Iterator[Archiver]:
    """An archiver at work in a thread."""
    archiver = Archiver(ingest.with_(**archive), lake or ingest.lake)
    thread = threading.Thread(target=archiver.run)
    thread.start()
    try:
        yield archiver
    finally:
        archiver.stop()
        thread.join(30)
        assert not thread.is_alive()


def begin_new_segments(settings: Settings) -> None:
    """As the first events after six hours would: one into each partition."""
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for topic in (INTERACTIONS, FEEDBACK):
        soon = ConfigEntry("segment.ms", "1000", incremental_operation=AlterConfigOpType.SET)
        order = ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=[soon])
        for done in client.incremental_alter_configs([order]).values():
            done.result()
    with EventProducer(settings.kafka) as producer:
        for n in range(1_000, 1_020):
            event = interaction(n)
            producer.send(event)
            producer.send(feedback(n, event))
