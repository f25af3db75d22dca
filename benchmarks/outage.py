"""What reaches Kafka of an application that is killed again and again while the broker is away for minutes.

    python benchmarks/outage.py [--away-s 180] [--lives 6] [--rate 50]

The application is a prefork server: a parent and three forked children, each of which captures events of 1 kB at the
rate. The broker stops. Then, life after life, one child is killed with -9 in the middle, and at the end the parent and
all of its children; the next life begins at once. The last life sees the broker come back and ends by itself. Each
process writes down, before each call of the SDK, what it is about to say and when. So of each event that is missing it
is known how long before the kill it was said: that is how long it was in memory alone.

It ends with one line of JSON: `doubled` are events that came under more than one id, `sent_again` records with an id
that was there already (which are one event), `lost` what never came, `in_memory_ms` how long before a kill the oldest
of these was said, and `lost_from_disk` those said more than a tenth of a second before.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas.settings import KafkaSettings
from schemas.topics import INTERACTIONS
from streams.admin import Admin
from streams.broker.broker import Broker, free_port

CHILDREN = 3
IN_MEMORY_S = 0.1
"""How long an event may be in memory alone."""
PADDING = "x" * 800
LAST = """
import sys, llm_flywheel as fly
fly.init("bench", sys.argv[1], state_dir=sys.argv[2])
assert fly.flush(300)
"""


def application(url: str, home: str, life: int, rate: float) -> None:
    """One life: the parent and its children speak until SIGTERM or SIGKILL."""
    import llm_flywheel as fly  # noqa: PLC0415 - only this process needs it

    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    assert fly.init("bench", url, state_dir=f"{home}/state")
    with fly.interaction(model="m", messages=f"{life}-first {PADDING}") as turn:
        turn.output("x")  # the parent has threads and a connection before it forks
    children: list[int] = []
    for _ in range(CHILDREN):
        if (pid := os.fork()) == 0:
            speak(fly, Path(home), life, rate, stopping)
            return
        children.append(pid)
    print(json.dumps(children), flush=True)
    speak(fly, Path(home), life, rate, stopping)
    for pid in children:
        os.waitpid(pid, 0)


def speak(fly: Any, home: Path, life: int, rate: float, stopping: list[int]) -> None:
    """Say one thing after the other, each written down before."""
    log = os.open(home / f"{life}-{os.getpid()}.said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    began, n = time.monotonic(), 0
    while not stopping:
        name = f"{life}-{os.getpid()}-{n}"
        os.write(log, f"{name} {time.monotonic()}\n".encode())
        with fly.conversation(f"c-{n % 50}"), fly.interaction(model="m", messages=f"{name} {PADDING}") as turn:
            turn.output("x")
        n += 1
        if (wait := began + n / rate - time.monotonic()) > 0:
            time.sleep(wait)


class Life:
    """An application at work, with the times at which its processes were killed."""

    def __init__(self, url: str, home: Path, number: int, rate: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--application", url, str(home), str(number), str(rate)],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.children: list[int] = json.loads(self.process.stdout.readline())
        self.killed: dict[int, float] = {}
        """Process → when."""

    def kill_one(self) -> None:
        """A child."""
        self.killed[self.children[0]] = time.monotonic()
        os.kill(self.children[0], signal.SIGKILL)

    def kill_all(self) -> None:
        """The parent and all children."""
        now = time.monotonic()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.killed = {pid: self.killed.get(pid, now) for pid in (self.process.pid, *self.children)}

    def end(self) -> None:
        """As a server is asked to."""
        for pid in (*self.children, self.process.pid):
            if pid not in self.killed:
                os.kill(pid, signal.SIGTERM)
        assert self.process.wait(300) == 0


def live(broker: Broker, url: str, home: Path, away_s: float, lives: int, rate: float) -> list[Life]:
    """The outage and all lives in it; the last one sees its end."""
    past = []
    life = Life(url, home, 0, rate)
    time.sleep(5)
    broker.stop()
    began = time.monotonic()
    for number in range(1, lives + 1):
        end = began + away_s * number / (lives + 1)
        time.sleep((end - time.monotonic()) / 2)
        life.kill_one()
        time.sleep(max(end - time.monotonic(), 0))
        life.kill_all()
        past.append(life)
        life = Life(url, home, number, rate)
    time.sleep(max(began + away_s - time.monotonic(), 0))
    start(broker)
    time.sleep(5)
    life.kill_one()
    life.end()
    return [*past, life]


def start(broker: Broker) -> None:
    """Start it, with topics."""
    broker.start()
    Admin(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)).ensure_topics()


def said(home: Path) -> Iterator[tuple[int, str, float]]:
    """Everything that was said: the process, the event's name, when."""
    for log in home.glob("*.said"):
        for line in log.read_text().splitlines():
            name, at = line.split()
            yield int(name.split("-")[1]), name, float(at)


def arrived(servers: str) -> tuple[dict[str, set[str]], int]:
    """Event's name → the ids under which it stands on the topic, and how many records are there."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "b", "enable.auto.commit": False, "log_level": 2})
    numbers = consumer.list_topics(INTERACTIONS.name, timeout=30).topics[INTERACTIONS.name].partitions
    total = sum(consumer.get_watermark_offsets(TopicPartition(INTERACTIONS.name, n))[1] for n in numbers)
    consumer.assign([TopicPartition(INTERACTIONS.name, n, OFFSET_BEGINNING) for n in numbers])
    ids, read = defaultdict(set), 0
    while read < total:
        for record in consumer.consume(1000, timeout=5):
            event = json.loads(record.value())
            ids[event["input_messages"][0]["content"].split()[0]].add(event["id"])
            read += 1
    consumer.close()
    return ids, total


def figures(lives: list[Life], home: Path, servers: str) -> dict[str, Any]:
    """What was said against what arrived."""
    killed = {pid: at for life in lives for pid, at in life.killed.items()}
    spoken = list(said(home))
    ids, records = arrived(servers)
    ages = [killed.get(pid, float("inf")) - at for pid, name, at in spoken if name not in ids]
    firsts = sum(name.endswith("-first") for name in ids)
    return {
        "killed": len(killed),
        "said": len(spoken) + len(lives),
        "arrived": len(ids),
        "doubled": sum(len(each) - 1 for each in ids.values()),
        "sent_again": records - sum(map(len, ids.values())),
        "lost": len(ages) + len(lives) - firsts,
        "in_memory_ms": round(max(ages, default=0) * 1000, 1),
        "lost_from_disk": sum(age > IN_MEMORY_S for age in ages) + len(lives) - firsts,
    }


def main() -> None:
    """One outage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--away-s", type=float, default=180, help="how long the broker is away")
    parser.add_argument("--lives", type=int, default=6, help="how often the application is killed meanwhile")
    parser.add_argument("--rate", type=float, default=50, help="events a second and process")
    parser.add_argument("--application", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.application:
        url, home, life, rate = given.application
        application(url, home, int(life), float(rate))
        return
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder) / "kafka", port := free_port())
        start(broker)
        url = f"kafka://127.0.0.1:{port}"
        lives = live(broker, url, Path(folder), given.away_s, given.lives, given.rate)
        subprocess.run([sys.executable, "-c", LAST, url, f"{folder}/state"], check=True, timeout=320)
        result = figures(lives, Path(folder), broker.bootstrap_servers)
        broker.stop()
    print(json.dumps({"away_s": given.away_s, "lives": given.lives, **result}))


if __name__ == "__main__":
    main()
