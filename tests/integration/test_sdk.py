"""The SDK and a real Kafka: outages, kill -9, forks, both clients; what applications said arrives, each event once."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

import llm_flywheel as fly
from llm_flywheel.record import Record
from llm_flywheel.transports import Unavailable, open_transport
from schemas.codec import TYPE_HEADER, decode
from schemas.settings import KafkaSettings
from schemas.signing import Signer
from schemas.topics import DECISIONS, FEEDBACK, INTERACTIONS
from streams.admin import Admin
from streams.broker.broker import Broker
from tests.support.kafka import recreate_topics
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

SCHEMES = ["kafka", "kafka+confluent"]
PROGRAM = """
import os, signal, sys, time
import llm_flywheel as fly
fly.init("app", sys.argv[1], state_dir=sys.argv[2])
def rest():  # until what was said is on the disk
    while fly.stats()["waiting"]: time.sleep(.01)
def say(name, n):
    for i in range(n):
        with fly.conversation(f"c-{i % 7}"), fly.interaction(model="m", messages=f"{name} {i}") as turn:
            turn.output("x")
"""


def run(code: str, url: str, state: Path) -> subprocess.CompletedProcess[str]:
    """An application, to its end."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + code, url, str(state)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def topic(servers: str, name: str) -> list[Any]:
    """All records of a topic."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "enable.auto.commit": False, "log_level": 2})
    numbers = consumer.list_topics(name, timeout=10).topics[name].partitions
    left = {n: consumer.get_watermark_offsets(TopicPartition(name, n))[1] for n in numbers}
    consumer.assign([TopicPartition(name, n, OFFSET_BEGINNING) for n in numbers])
    found: list[Any] = []
    end = time.monotonic() + 30
    while len(found) < sum(left.values()) and time.monotonic() < end:
        if (record := consumer.poll(1)) and not record.error():
            found.append(record)
    consumer.close()
    return found


def said(servers: str) -> Counter[str]:
    """What was said, by event and not by record: the same id twice is one event."""
    events = {}
    for record in topic(servers, INTERACTIONS.name):
        event = json.loads(record.value())
        events[event["id"]] = event["input_messages"][0]["content"]
    return Counter(events.values())


def expected(**names: int) -> Counter[str]:
    """Each of them once."""
    return Counter({f"{name} {i}": 1 for name, n in names.items() for i in range(n)})


@pytest.fixture
def servers(kafka: str) -> str:
    """A Kafka with empty topics."""
    recreate_topics(kafka)
    return kafka


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A Kafka of one's own, with topics, to be stopped and frozen."""
    broker = Broker(tmp_path / "kafka")
    broker.start()
    recreate_topics(broker.bootstrap_servers)
    yield broker
    broker.stop()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_records_are_what_the_contract_says(servers: str, tmp_path: Path, scheme: str) -> None:
    """Topic, key, headers and value; a conversation and its feedback meet in one partition, by both clients."""
    done = run("say('one', 21); [fly.thumb(True) for _ in range(1)]\n" + TALK, f"{scheme}://{servers}", tmp_path)
    assert done.stdout == "True\n", done.stderr

    places: dict[str, set[int]] = {}
    for name in (INTERACTIONS, FEEDBACK):
        records = topic(servers, name.name)
        assert records
        for record in records:
            event = decode(record.value(), name.event_type).event
            headers = dict(record.headers())
            assert record.key() == event.conversation_id.encode()
            assert headers[TYPE_HEADER] == name.event_type.encode()
            assert headers["ce_id"] == event.id.encode()
            places.setdefault(event.conversation_id, set()).add(record.partition())
    assert all(len(partitions) == 1 for partitions in places.values())
    assert said(servers) == expected(one=21, talk=40)
    reference = run("say('one', 21); print(fly.flush())", f"kafka://{servers}", tmp_path)
    assert reference.stdout == "True\n"
    for record in topic(servers, INTERACTIONS.name):
        assert places[record.key().decode()] == {record.partition()}


TALK = """
for i in range(40):
    with fly.conversation(f"talk-{i}"):
        with fly.interaction(model="m", messages=f"talk {i}") as turn: turn.output("x")
        fly.thumb(i % 2 == 0)
print(fly.flush())
"""


def test_a_broker_that_is_away_and_an_application_that_is_killed(broker: Broker, tmp_path: Path) -> None:
    """The broker stops; the application goes on, is killed, starts again, is killed again; then the broker is back.

    All that had come to the disk before each kill arrives, and each event once.
    """
    url, state = f"kafka://{broker.bootstrap_servers}", tmp_path / "state"
    port = int(broker.bootstrap_servers.rpartition(":")[2])
    code = """
say("before", 100); assert fly.flush(30)
print("ready", flush=True); sys.stdin.readline()
say("during", 500); rest(); os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code, url, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    broker.stop()
    process.communicate("go\n", timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert run("say('again', 200); rest(); os.kill(os.getpid(), signal.SIGKILL)", url, state).returncode == -9

    with Broker(broker.home, port) as back:
        eventually(
            lambda: Admin(KafkaSettings(bootstrap_servers=back.bootstrap_servers)).partitions([INTERACTIONS.name])
        )
        done = run("say('after', 1); print(fly.flush(60), fly.stats())", url, state)
        assert done.stdout.startswith("True"), done.stdout + done.stderr

        assert said(back.bootstrap_servers) == expected(before=100, during=500, again=200, after=1)
    assert [path for path in state.rglob("*.seg") if path.stat().st_size > 4] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_frozen_broker_holds_up_nobody(broker: Broker, tmp_path: Path, scheme: str) -> None:
    """The broker's process is stopped in the midst of a stream of events; when it goes on, all of them arrive."""
    code = """
say("before", 50); assert fly.flush(30)
print("ready", flush=True); sys.stdin.readline()
began = time.monotonic(); say("frozen", 2000); print(time.monotonic() - began, flush=True)
sys.stdin.readline()
print(fly.flush(60), flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code, f"{scheme}://{broker.bootstrap_servers}", str(tmp_path / "state")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        process.stdin.write("go\n")
        assert float(process.stdout.readline()) < 10
        eventually(lambda: any(path.stat().st_size > 500_000 for path in (tmp_path / "state").rglob("*.seg")))
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert process.communicate("go\n", timeout=120)[0] == "True\n"

    assert said(broker.bootstrap_servers) == expected(before=50, frozen=2000)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_forked_children_each_speak_to_kafka(servers: str, tmp_path: Path, scheme: str) -> None:
    """Three children of a parent that had sent already, one of them killed after it spoke: all is there."""
    code = """
say("parent", 20); assert fly.flush(30)
children = []
for n in range(3):
    if (pid := os.fork()) == 0:
        say(f"child{n}", 50)
        if n == 0: rest(); os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(0)
    children.append(pid)
say("beside", 20)
for pid in children: os.waitpid(pid, 0)
say("after", 1)
print(fly.flush(60))
"""
    done = run(code, f"{scheme}://{servers}", tmp_path)
    assert done.stdout == "True\n", done.stderr

    assert said(servers) == expected(parent=20, child0=50, child1=50, child2=50, beside=20, after=1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_record_too_large_for_the_broker_costs_nobody_but_itself(servers: str, scheme: str) -> None:
    """What the broker refuses for good is handed back by name; its neighbours arrive."""
    transport = open_transport(f"{scheme}://{servers}")
    small = [Record(INTERACTIONS.event_type, str(n), "c", "2026-01-05T09:00:00Z", b"{}") for n in range(3)]
    large = Record(INTERACTIONS.event_type, "large", "c", "2026-01-05T09:00:00Z", os.urandom(9 * 2**20))
    odd = Record("llm.unknown.v1", "odd", "c", "2026-01-05T09:00:00Z", b"{}")

    rejected = transport.deliver([small[0], large, small[1], odd, small[2]])

    assert {record.id for record, _ in rejected} == {"large", "odd"}
    assert len(topic(servers, INTERACTIONS.name)) == 3
    transport.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_missing_topic_is_an_outage_not_a_loss(tmp_path: Path, scheme: str) -> None:
    """Until somebody makes the topics, events wait."""
    with Broker(tmp_path) as empty:
        transport = open_transport(f"{scheme}://{empty.bootstrap_servers}")
        with pytest.raises(Unavailable):
            transport.deliver([Record(INTERACTIONS.event_type, "1", "c", "2026-01-05T09:00:00Z", b"{}")])
        transport.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_champion_is_followed_on_kafka(servers: str, tmp_path: Path, scheme: str) -> None:
    """The newest decision at the start, then each promotion; older ones and other applications change nothing."""
    producer, signer = Producer({"bootstrap.servers": servers}), Signer(base64.b64encode(bytes(32)).decode())

    def decide(sequence: int, model: str, application: str = "app") -> None:
        who = {"champion": {"model": model}, "former": {"model": f"before {model}"}}
        event = {"application": application, "sequence": sequence, **who}
        value = json.dumps(event).encode()
        signed = [] if model == "forged" else signer.headers(DECISIONS.event_type, value)
        producer.produce(DECISIONS.name, value, application.encode(), headers=signed)
        assert producer.flush(10) == 0

    for n in range(3):
        decide(n, f"m{n}")
    decide(9, "other", "another")
    decide(8, "forged")
    seen: list[str] = []
    champion = fly.Champion(
        "app", "m", url=f"{scheme}://{servers}", state_dir=tmp_path, trusted_keys=signer.public_key,
        on_change=lambda new: seen.append(new["model"]),
    )  # fmt: skip
    assert champion.wait(20)
    eventually(lambda: champion.model == "m2", 10)
    decide(1, "stale")
    decide(3, "m3")
    eventually(lambda: seen == ["m2", "m3"], 20)
    assert champion.serving("u", former=1) == champion.former == {"model": "before m3"}
    champion.close()
    with_nobody = fly.Champion(
        "app", "m", url=f"{scheme}://{servers}".replace(servers, "127.0.0.1:9"), state_dir=tmp_path
    )
    assert with_nobody.model == "m"
    with_nobody.close()
