"""What tests with a real Kafka share: empty topics, an archiver run to its end, and what the lake then holds."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient

from schemas.errors import BrokerError
from schemas.settings import ArchiveSettings, KafkaSettings, Settings
from schemas.topics import ARCHIVED, TOPICS
from streams.admin import Admin
from streams.archive import Archiver
from streams.lake import Lake
from streams.lake.query import query, read


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


def recreate_topics(servers: str, partitions: int = 2) -> None:
    """Delete all topics of the flywheel and make them anew."""
    client = AdminClient({"bootstrap.servers": servers})
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


def eventually(holds: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return answer


@pytest.fixture
def ingest(kafka: str, tmp_path: Path) -> Ingest:
    """Empty topics and an empty lake."""
    recreate_topics(kafka)
    return Ingest(kafka, tmp_path)
