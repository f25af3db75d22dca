"""The fixtures that several folders share: an empty lake, a real Kafka, a real S3 server, real data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from streams import logs
from streams.broker.broker import Broker
from streams.lake import Lake
from tests.support.kafka import Ingest, recreate_topics
from tests.support.s3 import S3, serving

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("drawn", settings.get_profile("default"))
settings.load_profile("fixed")
"""The same examples each time, on a slow machine too: what passes here passes there. `--hypothesis-profile=drawn` looks
for others."""
LONG = (
    "acceptance/test_one_turn.py", "flows/promote/test_study.py", "integration/test_prefect.py",
    "flows/test_erase_everywhere.py", "flows/cluster/lineage/test_by_itself.py", "integration/test_erase_world.py",
    "sdk/test_vendors.py", "faults/test_faults.py", "faults/test_store.py", "flows/cluster/lineage/test_acts.py",
    "integration/test_broker.py", "flows/curate/test_kill.py", "integration/test_deploy.py", "integration/test_sdk.py",
    "flows/curate/test_sequences.py", "ui/test_index.py", "ui/test_pages.py", "flows/test_hostile_cost.py",
    "ui/test_review_browser.py", "flows/trainer/test_stage.py",
)  # fmt: skip
"""A minute or more each, the longest first: begun last, one of them would be all that is left of a run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, the others in their order."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONG)))


@pytest.fixture(autouse=True)
def log_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flow that ran in this process told the log of all of its lines ends with the test."""
    monkeypatch.setattr(logs, "_PROCESS", {})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with no tables yet."""
    return Lake(tmp_path / "lake")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that is never committed; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data is not at hand (expected in ../shared/data)")
    return folder


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka: KAFKA_BOOTSTRAP_SERVERS where it is set, else one broker for the session."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield servers
        return
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def ingest(kafka: str, tmp_path: Path) -> Ingest:
    """Empty topics and an empty lake."""
    recreate_topics(kafka)
    return Ingest(kafka, tmp_path)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server with no buckets."""
    pytest.importorskip("moto.server", reason="moto is not installed (extra `dev`)")
    with serving() as server:
        yield server


@pytest.fixture
def store(s3: S3) -> Lake:
    """A lake in a bucket of its own."""
    return s3.lake(s3.bucket())
