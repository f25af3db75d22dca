"""Events from any client through a real Kafka into the lake, each exactly once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from kafka import KafkaConsumer, KafkaProducer
from typer.testing import CliRunner

from flows.cli import app
from flows.maintain.status import condition
from flows.testing.events import feedback, interaction
from schemas.codec import decode, encode
from schemas.errors import BrokerError, EventError, UsageError
from schemas.settings import KafkaSettings
from schemas.topics import FEEDBACK, INTERACTIONS, TOPICS
from streams.admin import Admin
from streams.producer import EventProducer
from tests.support.kafka import Ingest, Name, recreate_topics

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]


def blocks(language: str) -> list[str]:
    page = (ROOT / "docs" / "contracts.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_what_is_sent_is_in_the_lake(ingest: Ingest) -> None:
    """Interactions and feedback arrive once each, with their fields as sent and their place in Kafka."""
    sent = [interaction(n) for n in range(50)]
    with EventProducer(ingest.settings.kafka) as producer:
        for event in sent:
            producer.send(event)
            producer.send(feedback(int(event.conversation_id.split("-")[1]), event))

    ingest.archive()

    rows = {row["id"]: row for row in ingest.stored("interactions")}
    assert rows.keys() == {event.id for event in sent}
    assert len(ingest.stored("interactions")) == len(ingest.stored("feedback")) == 50
    row = rows[sent[3].id]
    assert (row["conversation_id"], row["request_model"], row["time"]) == ("conversation-3", "bot-1", sent[3].time)
    assert json.loads(row["input_messages"]) == [{"role": "user", "content": "question 3"}]
    assert row["extra"] is None
    assert row["event_version"] == 1


def test_bad_events_are_dead_letters_and_harm_nobody(ingest: Ingest) -> None:
    """Each bad record becomes one dead letter with its bytes and reason; its neighbours arrive."""
    good = interaction(1)
    bad = {
        b"{": "invalid_json",
        b"": "empty",
        b'{"id": "x"}': "invalid_field",
        encode(good).replace(b"question", b"\xff\xfe"): "invalid_utf8",
        encode(good)[:-1] + b',"deep":' + b"[" * 100 + b"]" * 100 + b"}": "too_deep",
        encode(good)[:-1] + b',"pad":"' + b"x" * 2**20 + b'"}': "too_large",
    }
    with EventProducer(ingest.settings.kafka) as producer:
        producer.send(good)
        for value in bad:
            producer.send_bytes(INTERACTIONS, "conversation-1", value, [])
        producer.send_bytes(INTERACTIONS, "c", encode(good), [("ce_type", b"llm.dream.v1")])
        producer.send_bytes(INTERACTIONS, "c", encode(good), [("ce_type", b"llm.feedback.v1")])
        producer.send(interaction(2))

    ingest.archive()

    letters = ingest.stored("dead_letters")
    assert sorted(row["reason"] for row in letters) == sorted([*bad.values(), "unknown_type", "wrong_topic"])
    large = next(row for row in letters if row["reason"] == "too_large")
    assert large["value_size"] > 2**20
    assert len(large["value"]) == ingest.settings.archive.dead_letter_bytes
    assert {row["id"] for row in ingest.stored("interactions")} == {good.id, interaction(2).id}


def test_an_archiver_goes_on_where_the_table_says(ingest: Ingest) -> None:
    """A second start, under whatever group, reads nothing again and misses nothing."""
    for start in (0, 10, 20):
        with EventProducer(ingest.settings.kafka) as producer:
            for n in range(start, start + 10):
                producer.send(interaction(n))
        ingest.archive(ingest.with_(group_id=f"group-{start}"))

    stored = ingest.stored("interactions")
    assert len(stored) == 30
    assert {row["id"] for row in stored} == {interaction(n).id for n in range(30)}


def test_the_same_id_twice_is_one_event(ingest: Ingest) -> None:
    """A producer may send again: readers see one event, the first that arrived, though both offsets are kept."""
    with EventProducer(ingest.settings.kafka) as producer:
        for _ in range(3):
            producer.send(interaction(7))
    ingest.archive()

    assert len(ingest.stored("interactions")) == 3
    assert ingest.ask("SELECT id, kafka_offset FROM interactions") == [{"id": interaction(7).id, "kafka_offset": 0}]


def test_unknown_fields_and_versions_live_side_by_side(ingest: Ingest) -> None:
    """New fields land in `extra`; a newer event version is read as the newest known one, and says so."""
    plain = msgspec.to_builtins(interaction(1))
    with EventProducer(ingest.settings.kafka) as producer:
        producer.send(interaction(0))
        newer = {**plain, "mood": {"calm": 1}}
        producer.send_bytes(INTERACTIONS, "c", json.dumps(newer).encode(), [("ce_type", b"llm.interaction.v2")])
    ingest.archive()

    found = ingest.ask("SELECT event_version, extra FROM interactions ORDER BY event_version")
    assert found == [{"event_version": 1, "extra": None}, {"event_version": 2, "extra": '{"mood":{"calm": 1}}'}]


def test_a_plain_kafka_client_reads_what_the_producer_wrote(ingest: Ingest) -> None:
    """Any client gets the JSON value, the key, and CloudEvents headers."""
    event = interaction(1)
    with EventProducer(ingest.settings.kafka) as producer:
        producer.send(event)
    consumer = KafkaConsumer(
        INTERACTIONS.name,
        bootstrap_servers=ingest.settings.kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=5_000,
    )
    record = next(iter(consumer))
    consumer.close()

    assert record.key == b"conversation-1"
    assert decode(record.value, "llm.interaction.v1").event == event
    assert dict(record.headers)["ce_type"] == b"llm.interaction.v1"
    assert dict(record.headers)["ce_id"] == event.id.encode()


def test_the_python_example_of_the_contract_works(ingest: Ingest) -> None:
    """The ten lines of docs/contracts.md put an interaction and its feedback into the lake."""
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers}
    subprocess.run([sys.executable, "-c", blocks("python")[0]], env=environment, check=True, timeout=60)
    ingest.archive()

    joined = "SELECT f.value FROM feedback f JOIN interactions i ON f.interaction_id = i.id"
    assert ingest.ask(joined) == [{"value": 0.0}]


def test_the_shell_example_of_the_contract_works(ingest: Ingest) -> None:
    """The kcat line of docs/contracts.md puts an interaction into the lake."""
    if not shutil.which("kcat"):
        pytest.skip("kcat is not installed (Debian package `kcat`)")
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers}
    subprocess.run(["/bin/sh", "-c", blocks("sh")[0]], env=environment, check=True, timeout=60)
    ingest.archive()

    assert [row["conversation_id"] for row in ingest.stored("interactions")] == ["conversation-2"]


def test_replay_sends_the_good_lines_and_names_the_bad(ingest: Ingest, tmp_path: Path) -> None:
    """A file of events is sent; a bad line is named by its number, costs exit code 2, and holds up nothing."""
    first, second = interaction(1), interaction(2)
    enveloped = {"type": "llm.feedback.v1", "data": msgspec.to_builtins(feedback(1, first))}
    inline = {"type": "llm.interaction.v1", **msgspec.to_builtins(second)}
    file = tmp_path / "events.jsonl"
    lines = [encode(first), json.dumps(enveloped).encode(), b"", b"{nonsense", json.dumps(inline).encode()]
    file.write_bytes(b"\n".join(lines) + b"\n")
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers,
        "FLYWHEEL_HOME": ingest.settings.home,
    }

    result = CliRunner(env=environment).invoke(app, ["replay", str(file), "--type", "llm.interaction.v1"])
    ingest.archive()

    assert isinstance(result.exception, UsageError)
    assert "line 4: invalid_json" in result.stderr
    assert {row["id"] for row in ingest.stored("interactions")} == {first.id, second.id}
    assert len(ingest.stored("feedback")) == 1


def test_dead_letters_are_sent_again_after_a_fix(ingest: Ingest) -> None:
    """Events refused by a limit that was too low arrive once it is raised; bad and cut ones stay; twice is once."""
    long = interaction(2, input_messages=[{"role": "user", "content": "long " * 200}])
    with EventProducer(ingest.settings.kafka) as producer:
        producer.send(interaction(1))
        producer.send(long)
        producer.send_bytes(INTERACTIONS, "c", b"{", [])
        producer.send_bytes(INTERACTIONS, "c", b"x" * 1000, [])
    ingest.archive(ingest.with_(max_event_bytes=100, dead_letter_bytes=900))
    assert [row["reason"] for row in ingest.stored("dead_letters")].count("too_large") == 3
    assert ingest.stored("interactions") == []
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers,
        "FLYWHEEL_HOME": ingest.settings.home,
    }
    run = CliRunner(env=environment).invoke

    first = run(app, ["dead-letter", "replay", "--reason", "too_large"]).stdout
    ingest.archive()
    second = run(app, ["dead-letter", "replay"]).stdout
    ingest.archive()

    assert first == "1 sent again, 0 in the lake already, 2 kept (cut when it was stored)\n"
    assert second == "0 sent again, 1 in the lake already, 2 kept (cut when it was stored), 1 kept (invalid_json)\n"
    assert [row["id"] for row in ingest.stored("interactions")] == [interaction(1).id]
    assert len(ingest.stored("dead_letters")) == 4


def test_an_event_that_kafka_would_refuse_is_refused_before(ingest: Ingest) -> None:
    """The producer names an event beyond the broker's limit at once, and goes on with the next."""
    with EventProducer(ingest.settings.kafka) as producer:
        with pytest.raises(EventError, match="too_large"):
            producer.send_bytes(FEEDBACK, "k", b"x" * (9 * 2**20), [])
        producer.send(interaction(1))

    ingest.archive()
    assert len(ingest.stored("interactions")) == 1


def test_what_a_producer_writes_beside_the_value_stops_nobody(ingest: Ingest) -> None:
    """Times in nanoseconds and header names that are no UTF-8: the rows land, and a second start has nothing to do."""
    servers = ingest.settings.kafka.bootstrap_servers
    wanted = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()]
    topic = ConfigResource(ConfigResource.Type.TOPIC, INTERACTIONS.name, incremental_configs=entries)
    client = AdminClient({"bootstrap.servers": servers})
    for order in client.incremental_alter_configs([topic]).values():
        order.result(30)
    times = [1_767_600_000_000_000_000, 1_767_600_000_000_000, 2**63 - 1, 1_767_600_000_000]
    producer = KafkaProducer(bootstrap_servers=servers)
    for n, time_ms in enumerate(times):
        producer.send(INTERACTIONS.name, encode(interaction(n)), partition=0, timestamp_ms=time_ms)
        headers = [(Name("\xff\xfe"), b"1"), ("ce_type", b"llm.interaction.v1")]
        producer.send(INTERACTIONS.name, encode(interaction(10 + n)), partition=0, headers=headers)
        producer.send(INTERACTIONS.name, b"bad", partition=0, timestamp_ms=time_ms, headers=headers)
    producer.flush()

    ingest.archive()
    ingest.archive()

    rows, letters = ingest.stored("interactions"), ingest.stored("dead_letters")
    assert sorted(row["id"] for row in rows) == sorted(interaction(n).id for n in (*range(4), *range(10, 14)))
    assert [letter["reason"] for letter in letters] == ["invalid_json"] * 4
    assert sum(row["kafka_time"] is None for row in rows) == 3
    assert sum("kafka_note" in (row["extra"] or "") for row in rows) == 3 + 4


def test_there_is_no_lag_behind_a_transactions_marker(ingest: Ingest) -> None:
    """Three aborted events last in one partition, one committed event last in the other: all that can be read is in."""
    options = {"bootstrap.servers": ingest.settings.kafka.bootstrap_servers, "transactional.id": "t"}
    producer = Producer(options)
    producer.init_transactions()
    for partition, count, end in (
        (0, 2, producer.commit_transaction),
        (0, 3, producer.abort_transaction),
        (1, 1, producer.commit_transaction),
    ):
        producer.begin_transaction()
        for n in range(count):
            producer.produce(INTERACTIONS.name, encode(interaction(10 * partition + n)), partition=partition)
        producer.flush()
        end()

    ingest.archive()

    lags = [at for at in condition(ingest.lake, ingest.settings.kafka).partitions if at.topic == INTERACTIONS.name]
    assert [(at.lag, at.latest) for at in lags] == [(0, 7), (0, 2)]
    assert len(ingest.stored("interactions")) == 3
    assert sum(letter["offsets"] for letter in ingest.stored("dead_letters")) == 7 + 2 - 3
    producer.begin_transaction()  # and what is not decided yet is no lag either
    producer.produce(INTERACTIONS.name, encode(interaction(30)), partition=1)
    producer.flush()
    lags = [at for at in condition(ingest.lake, ingest.settings.kafka).partitions if at.topic == INTERACTIONS.name]
    assert [at.lag for at in lags] == [0, 0]
    producer.commit_transaction()
    ingest.archive()
    assert len(ingest.stored("interactions")) == 4


def test_topics_are_made_once_with_what_the_table_of_topics_says(ingest: Ingest) -> None:
    """Creating topics again changes nothing; decisions are compacted; the joined topics have equal partitions."""
    admin = Admin(ingest.settings.kafka)

    assert admin.ensure_topics() == []
    assert set(admin.partitions([INTERACTIONS.name, FEEDBACK.name]).values()) == {2}
    assert admin.topic_ids(["no-such-topic"]) == {}


def test_topics_can_be_asked_about_the_moment_they_are_made(ingest: Ingest) -> None:
    """A broker that says "created" lists and leads a topic a moment later; nobody sees that moment."""
    servers = ingest.settings.kafka.bootstrap_servers
    for _ in range(5):
        recreate_topics(servers, partitions=12)
        admin = Admin(KafkaSettings(bootstrap_servers=servers))
        held = admin.offsets(topic.name for topic in TOPICS)

        assert len(held) == 12 * len(TOPICS)
        assert {(at.earliest, at.latest) for at in held.values()} == {(0, 0)}
        assert len(admin.topic_ids(topic.name for topic in TOPICS)) == len(TOPICS)


def test_a_missing_broker_is_named(tmp_path: Path) -> None:
    """No address and no answer are two different errors, each with what to do."""
    with pytest.raises(UsageError, match="KAFKA_BOOTSTRAP_SERVERS"):
        EventProducer(KafkaSettings())
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:9"):
        EventProducer(KafkaSettings(bootstrap_servers="127.0.0.1:9"), timeout_s=2.0)
