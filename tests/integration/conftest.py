"""What tests with a real Kafka share: empty topics, an archiver run to its end, and what the lake then holds."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient

from schemas.errors import BrokerError
from schemas.settings import ArchiveSettings, KafkaSettings, Settings
from schemas.topics import ARCHIVED, TOPICS
from streams.admin import Admin
from streams.archive.archiver import Archiver
from streams.broker.broker import free_port
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


class S3:
    """A real S3 server in a child process."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = url, process
        self.options = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        """Storage options that lead to it."""

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"lake-{uuid.uuid4()}"
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT")).close()
        return name

    def lake(self, bucket: str, **options: str) -> Lake:
        """A lake in a bucket."""
        return Lake(f"s3://{bucket}/lake", {**self.options, **options})


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server with no buckets."""
    pytest.importorskip("moto.server", reason="moto is not installed (extra `dev`)")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: _serves(url))
    yield S3(url, process)
    process.terminate()
    process.wait(10)


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status)
    except OSError:
        return False


@pytest.fixture
def store(s3: S3) -> Lake:
    """A lake in a bucket of its own."""
    return s3.lake(s3.bucket())
