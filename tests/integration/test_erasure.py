"""A person out of everything: what `flywheel erase` leaves below the data root of a house with a Kafka in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from kafka import KafkaConsumer, TopicPartition

from flows.cluster.catalogue.report import write
from flows.cluster.stage import cluster
from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.erase import carry_out
from flows.evalset import answers_folder
from flows.run import latest
from flows.testing.events import feedback, interaction
from schemas.settings import ArchiveSettings, ClusterSettings, CurateSettings, KafkaSettings, Settings
from schemas.topics import FEEDBACK, INTERACTIONS
from streams.archive.archiver import Archiver
from streams.broker.broker import Broker
from streams.lake import Lake
from streams.lake.audit import audit
from streams.producer import EventProducer
from tests.support.kafka import begin_new_segments
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
PEOPLE = 40


def person(n: int) -> str:
    return f"person-{n:03d}"


def asked(n: int) -> str:
    """What nobody else says."""
    return f"refund {hashlib.sha256(str(n).encode()).hexdigest()} order {n * 7919}"


def answered(n: int) -> str:
    return f"better answer {hashlib.md5(str(n).encode()).hexdigest()}"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Settings, Lake]]:
    """A home whose Kafka and lake hold the words of many people, archived."""
    home = tmp_path / "home"
    with Broker(home / "kafka") as broker:
        settings = Settings(
            home=str(home),
            kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers, partitions=2),
            archive=ArchiveSettings(batch_seconds=0.3),
            curate=CurateSettings(paraphrase=1, hold_back=0),
        )
        lake = Lake(settings.lake_root)
        archiver = Archiver(settings, lake)
        archiver._admin.ensure_topics()
        with EventProducer(settings.kafka) as producer:
            for n in range(PEOPLE):
                event = interaction(n, user_id=person(n), input_messages=[{"role": "user", "content": asked(n)}])
                producer.send(event)
                producer.send(feedback(n, event))
                producer.send(feedback(100 + n, event, "correction", text=answered(n)))
        archiver.run(until_idle_s=3)
        yield settings, lake


def everything(home: Path) -> str:
    """Bytes of all files but Kafka's log, which goes later (`segments`), and all rows of every Parquet file."""
    log = set(home.glob("kafka/data/llm.[if]*/*.log"))  # packed, but for the head of a batch
    files = [path for path in sorted(home.rglob("*")) if path.is_file() and path not in log]
    tables = [str(pq.read_table(path, partitioning=None).to_pylist()) for path in files if path.suffix == ".parquet"]
    return b"\n".join(path.read_bytes() for path in files).decode("latin-1") + "\n".join(tables)


def in_kafka(settings: Settings) -> str:
    """All that anybody can still read from the topics, unpacked."""
    reader: Any = KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers, consumer_timeout_ms=3_000)
    reader.assign([TopicPartition(name, n) for name in (INTERACTIONS.name, FEEDBACK.name) for n in range(2)])
    reader.seek_to_beginning()
    said = "\n".join(f"{record.key!r} {record.value!r}" for record in reader)
    reader.close()
    return said


def segments(home: Path) -> list[Path]:
    """Kafka's files that begin with the first event of a partition."""
    return list(home.glob("kafka/data/llm.[if]*/00000000000000000000.log"))


def test_no_file_below_the_data_root_knows_an_erased_person(house: tuple[Settings, Lake]) -> None:
    """Kafka, tables and their logs, datasets, frozen sets, reports, answers, receipts: none says a word of them."""
    settings, lake = house
    home, now = settings.home_path, datetime.now(UTC)
    cluster(lake, settings, now)
    run = latest(lake, "cluster", settings.application)
    assert run is not None
    write(lake, run, home / "reports", ClusterSettings(least_people=1))
    built = curate(lake, settings, now)
    freeze(lake, settings, now, "holdout", "all")
    items = [
        row for path in Path(built["eval"]["path"]).glob("data/*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    n = next(n for n in range(PEOPLE) if answered(n) == items[0]["reference"])
    answers = answers_folder(home, built["eval"]["version"])
    answers.mkdir(parents=True)
    (answers / "bot-2.jsonl").write_text(asked(n))
    words = (person(n), asked(n), answered(n))
    assert all(word in everything(home) and word in in_kafka(settings) for word in words)

    receipt = carry_out(lake, settings, person(n), datetime.now(UTC), purge_kafka=True)

    left, said = everything(home), in_kafka(settings)
    assert [word for word in words if word in left or word in said] == []
    assert receipt["remaining"] == []
    assert {place.partition(":")[0] for place in receipt["kafka"]} == {INTERACTIONS.name, FEEDBACK.name}
    assert {held["kind"] for held in receipt["datasets"]} == {"eval", "frozen"}
    assert {name: receipt["rows"][name] for name in ("interactions", "feedback", "outcomes")} == {
        "interactions": 1, "feedback": 2, "outcomes": 1,
    }  # fmt: skip
    assert audit(lake).incidents == ()
    begin_new_segments(settings)
    eventually(lambda: not segments(home), seconds=240)
