"""Hurt the archiver at random moments, then count: `python benchmarks/soak.py --kills 500`.

A producer sends good and bad events all the while. Archivers are killed (kill -9), stopped and woken as zombies,
doubled so that two fight for every partition, and files are compacted beside them. The broker, where the soak starts
its own, is killed too, and once it is away for minutes. At the end every event must be in the lake or among the dead
letters exactly once, by id and by content. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flows.context import child_environment  # noqa: E402
from schemas.codec import Headers, encode, headers  # noqa: E402 - found by the line above
from schemas.errors import BrokerError, CommitConflict, FlywheelError  # noqa: E402
from schemas.events import Interaction  # noqa: E402
from schemas.loading import load  # noqa: E402
from schemas.settings import ArchiveSettings, KafkaSettings, Settings  # noqa: E402
from schemas.topics import INTERACTIONS, TOPICS  # noqa: E402
from streams.admin import Admin  # noqa: E402
from streams.archive.archiver import Archiver  # noqa: E402
from streams.broker.broker import Broker  # noqa: E402
from streams.lake import Lake  # noqa: E402
from streams.lake.audit import audit  # noqa: E402
from streams.lake.maintain import compact  # noqa: E402
from streams.lake.query import read  # noqa: E402
from streams.producer import EventProducer  # noqa: E402

SPAWN = multiprocessing.get_context("forkserver")
"""Children are forked from a clean server that has loaded everything: a start costs milliseconds, not a second."""

BROKER_EVERY = 25
"""Kills of archivers for one of the broker, which takes some five seconds to come back."""


def archiver(environment: dict[str, str], idle_s: float | None = None) -> None:
    """The process that gets hurt; settings come by the environment, since secrets are not pickled."""
    logging.disable(logging.WARNING)
    settings = load({}, environment)
    Archiver(settings, Lake(settings.lake_root)).run(until_idle_s=idle_s)


class Sender(threading.Thread):
    """Sends numbered events until told to stop; one in ten is bad."""

    def __init__(self, kafka: KafkaSettings, rate: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._kafka, self._rate, self._random = kafka, rate, random.Random(seed)
        self.enough = threading.Event()
        self.quiet = threading.Lock()
        """Whoever holds it knows that every event sent so far is acknowledged, and that none is sent."""
        self.content: dict[str, str] = {}
        """Id of each good event → SHA-256 of its messages as sent."""
        self.bad: set[str] = set()
        """SHA-256 of each bad value."""
        self.times: Counter[str] = Counter()
        """How often each id or bad value was sent: again where Kafka did not acknowledge it."""

    def run(self) -> None:
        """Send at about the rate, in bursts."""
        producer, number = EventProducer(self._kafka), 0
        while not self.enough.is_set():
            with self.quiet:
                burst = [self._make(number + n) for n in range(self._rate // 10)]
                number += len(burst)
                while not self._is_acknowledged(producer, burst):
                    producer = self._connected()
            time.sleep(0.1)
        producer.close()

    def _is_acknowledged(self, producer: EventProducer, burst: list[tuple[str, bytes, Headers]]) -> bool:
        self.times.update(name for name, *_ in burst)
        try:
            for name, value, heads in burst:
                producer.send_bytes(INTERACTIONS, name, value, heads)
            producer.flush()
        except BrokerError:
            with contextlib.suppress(BrokerError):
                producer.close()
            return False
        return True

    def _connected(self) -> EventProducer:
        while True:
            with contextlib.suppress(BrokerError):
                return EventProducer(self._kafka)

    def _make(self, number: int) -> tuple[str, bytes, Headers]:
        """The name of an event (its id, or the hash of a bad value; also its Kafka key), its bytes and headers."""
        if self._random.random() < 0.1:
            value = json.dumps({"broken": number, "salt": self._random.random()}).encode()
            name = hashlib.sha256(value).hexdigest()
            self.bad.add(name)
            return name, value, []
        event = msgspec.convert(
            {
                "id": str(uuid.UUID(int=number)),
                "time": "2026-01-05T09:00:00Z",
                "application": "soak",
                "conversation_id": f"c-{number}",
                "request_model": "none",
                "input_messages": [{"role": "user", "content": f"question {number} {self._random.random()}"}],
            },
            Interaction,
        )
        value = encode(event)
        self.content[event.id] = _hash(value)
        return event.id, value, headers(event, "/soak")


def soak(
    servers: str,
    home: Path,
    kills: int,
    seed: int = 1,
    rate: int = 400,
    broker: Broker | None = None,
    away_s: float = 0,
) -> dict[str, Any]:
    """Run the whole ordeal; its figures. A `broker` that is given is hurt too."""
    chance = random.Random(seed)
    settings = Settings(
        home=str(home),
        kafka=KafkaSettings(bootstrap_servers=servers, partitions=3),
        archive=ArchiveSettings(batch_seconds=0.05, batch_rows=200),
    )
    recreate_topics(servers, 3)
    lake = Lake(settings.lake_root)
    SPAWN.set_forkserver_preload(
        ["streams.archive.archiver", "streams.broker.broker", "streams.lake.audit", "streams.producer"]
    )
    sender = Sender(settings.kafka, rate, seed)
    sender.start()
    running: list[Any] = []
    stopped: list[Any] = []
    broker_kills = 0
    for number in range(kills):
        while len(running) < chance.choice([1, 1, 2]):
            running.append(_start(settings, f"soak-{seed}-{number}-{len(running)}", chance))
        _wait_for_a_commit(lake, 3.0)  # so that the blow falls on an archiver at work, not on one that still starts
        time.sleep(chance.uniform(0.0, 0.3))
        victim = running.pop(chance.randrange(len(running)))
        if stopped and chance.random() < 0.5:
            zombie = stopped.pop()
            os.kill(zombie.pid, signal.SIGCONT)  # wakes with a batch that others have long landed
            running.append(zombie)
        if chance.random() < 0.15 and victim.is_alive():
            os.kill(victim.pid, signal.SIGSTOP)
            stopped.append(victim)
        else:
            victim.kill()
            victim.join()
        if number % 10 == 9:
            _compact_meanwhile(lake)
        if broker and number % BROKER_EVERY == BROKER_EVERY - 1:
            os.kill(broker.pid or 0, signal.SIGKILL)
            broker_kills += 1
        if broker and number == kills // 2:
            _away(broker, sender, away_s)
    for process in [*running, *stopped]:
        process.kill()
        process.join()
    sender.enough.set()
    sender.join()
    commits = lake.version("interactions")
    archiver(child_environment(settings), idle_s=3.0)
    hurt = {"broker_kills": broker_kills, "away_s": away_s if broker else 0}
    return {"kills": kills, **hurt, "commits_before_the_end": commits, **count(lake, sender)}


def count(lake: Lake, sender: Sender) -> dict[str, Any]:
    """What was produced against what is stored, by id and by content, and what the audit says."""
    rows = read(lake, "interactions").select(["id", "input_messages"]).to_pylist()
    letters = read(lake, "dead_letters").to_pylist()
    stored = Counter(row["id"] for row in rows)
    refused = Counter(letter["value_sha256"] or letter["reason"] for letter in letters)
    altered = [row["id"] for row in rows if _hash_messages(row["input_messages"]) != sender.content.get(row["id"])]
    return {
        "produced": len(sender.times),
        "sent_again": sender.times.total() - len(sender.times),
        "in_lake": len(rows),
        "dead_letters": len(letters),
        "lost": len(sender.content.keys() - stored.keys()) + len(sender.bad - refused.keys()),
        "doubled": ((stored + refused) - sender.times).total(),
        "altered": len(altered),
        "incidents": len(audit(lake).incidents),
    }


def recreate_topics(servers: str, partitions: int) -> None:
    """Delete all topics of the flywheel and make them anew."""
    names = [topic.name for topic in TOPICS]
    admin = Admin(KafkaSettings(bootstrap_servers=servers, partitions=partitions))
    if there := list(admin.partitions(names)):
        client = AdminClient({"bootstrap.servers": servers, "log_level": 2})
        for order in client.delete_topics(there, operation_timeout=10).values():
            order.result()
    while len(admin.partitions(names)) < len(names):
        with contextlib.suppress(BrokerError):  # the deletion of an older namesake is still under way
            admin.ensure_topics()
        time.sleep(0.1)


def _start(settings: Settings, group: str, chance: random.Random) -> Any:
    # Another group each: no waiting for the killed member's session, and two at once both own every partition.
    limits = msgspec.structs.replace(settings.archive, group_id=group, batch_rows=chance.choice([20, 100, 500]))
    process = SPAWN.Process(
        target=archiver, args=(child_environment(msgspec.structs.replace(settings, archive=limits)),), daemon=True
    )
    process.start()
    return process


def _away(broker: Broker, sender: Sender, seconds: float) -> None:
    with sender.quiet:  # what Kafka never acknowledged is not promised, so nothing may be on its way
        broker.stop()
        time.sleep(seconds)
        broker.start()


def _wait_for_a_commit(lake: Lake, seconds: float) -> None:
    log = Path(lake.uri("interactions")) / "_delta_log"
    before, deadline = len(list(log.glob("*.json"))), time.monotonic() + seconds
    while time.monotonic() < deadline and len(list(log.glob("*.json"))) == before:
        time.sleep(0.01)


def _compact_meanwhile(lake: Lake) -> None:
    try:
        for name in ("interactions", "dead_letters"):
            if lake.exists(name):
                compact(lake, name, 2**20)
    except CommitConflict:
        pass  # overtaken thirty times by archivers in a hurry: that is an answer, not a fault


def _hash(value: bytes) -> str:
    return _hash_messages(bytes(msgspec.json.decode(value, type=dict[str, msgspec.Raw])["input_messages"]).decode())


def _hash_messages(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> int:
    """Run from the command line; 0 where nothing was lost, doubled or altered."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--away", type=float, default=180.0, help="seconds without a broker, halfway through")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers, broker = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), None
        if not servers:
            broker = stack.enter_context(Broker(home / "kafka"))
            servers = broker.bootstrap_servers
        try:
            figures = soak(servers, home, arguments.kills, arguments.seed, broker=broker, away_s=arguments.away)
        except FlywheelError as error:
            sys.exit(f"{type(error).__name__}: {error}")
    print(f"seed {arguments.seed}")
    print(json.dumps(figures))
    return int(any(figures[name] for name in ("lost", "doubled", "altered", "incidents")))


if __name__ == "__main__":
    sys.exit(main())
