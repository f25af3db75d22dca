"""How fast is Kafka → lake, against its own limits and against peers? `python benchmarks/ingest.py --quix PYTHON`.

Interleaved in one run, so that a busy machine hurts all alike: (a) consuming alone, (b) writing the same rows with
pyarrow alone, (c) quixstreams' file sink, (d) a Faust agent that appends Parquet, and the archiver, as one process
(for CPU seconds) and as two: by the clock the better of both counts (`wall_vs_limit`) against the slower of (a) and
(b), each one process; `wall_vs_limit_one` is of one process against one. (c) and (d) keep nested values as text and are
tuned as ours is; neither validates, keeps dead letters, syncs, hashes, nor is exactly once. Figures count from the
first event to the last, without start-up. The last line is JSON. `--quix` names a Python in which
`pip install quixstreams pyarrow` was run. With `--memory` the archiver alone is run; its memory's growth is the peak of
the last fifth of the events against that of the second. `--poison` shows what bad events cost the decoding of a batch.
`--peers` runs sinks that write tables beside the archiver, whole process trees: see `benchmarks/peers/beside.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.traffic import produce, value  # noqa: E402 - found by the line above
from schemas.settings import ArchiveSettings, KafkaSettings, Settings  # noqa: E402
from schemas.topics import INTERACTIONS, Topic  # noqa: E402
from streams.admin import Admin  # noqa: E402
from streams.archive import run as processes  # noqa: E402
from streams.archive.archiver import CONSUME, PREFETCH_KIB, Archiver  # noqa: E402
from streams.archive.batch import make_batch  # noqa: E402
from streams.broker.broker import Broker  # noqa: E402
from streams.lake import Lake  # noqa: E402
from streams.lake.files import FRESH, _store, to_parquet  # noqa: E402
from streams.lake.maintain import files  # noqa: E402


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Timed(Archiver):
    """An archiver that notes when its first event came and how its memory grew.

    It waits until all members of its group have partitions, and commits as soon as it has seen all of its events: the
    clock is to measure work, neither the group's protocol nor how long a batch that is not full may wait for more.
    """

    def __init__(self, settings: Settings, lake: Lake, members: int) -> None:
        super().__init__(settings, lake)
        self._topics = (INTERACTIONS,)  # the group balances partitions whatever their topic: two members, two each
        self._present, self._members = Path(settings.home) / "present", members
        self._present.mkdir(parents=True, exist_ok=True)
        self.first: tuple[float, float] | None = None
        self.last = (0.0, 0.0)
        self.seen = 0
        self.total: int | None = None
        self.resident: list[tuple[int, float]] = []
        self.handed = 0.0
        self.commits: list[float] = []

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        super()._assigned(consumer, assigned)
        if any(at.topic == INTERACTIONS.name for at in assigned):
            (self._present / str(os.getpid())).touch()
        if self.first is None:
            consumer.pause(assigned)

    def _flush(self, topic: Topic) -> None:
        super()._flush(topic)
        self.handed = time.time()

    def _tell_kafka(self, topic: Topic) -> None:
        self.last = (time.time(), cpu())  # after a commit
        self.commits.append(self.last[0] - self.handed)
        super()._tell_kafka(topic)

    def _busy(self) -> bool:
        return self.first is None or super()._busy()

    def _take(self, records: list[Message]) -> int:
        if self.first is None and len(list(self._present.iterdir())) >= self._members:
            self.first = (time.time(), cpu())
            held = self._admin.offsets([INTERACTIONS.name])
            self.total = sum(held[at].latest - part.position for at, part in self._partitions.items() if at in held)
            self._consumer.resume(self._consumer.assignment())
        self.seen += sum(record.error() is None for record in records)
        if records:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.resident.append((self.seen, pages * resource.getpagesize() / 2**20))
        taken = super()._take(records)
        if self.seen == self.total:
            self.stop()
        return taken


def archive_part(servers: str, members: int, folder: str, group: str) -> dict[str, Any]:
    """The archiver: from its first event to the last commit of the table."""
    settings = Settings(
        home=folder, kafka=KafkaSettings(bootstrap_servers=servers), archive=ArchiveSettings(group_id=group)
    )
    processes.tune()
    archiver = Timed(settings, Lake(settings.lake_root), members)
    archiver.run(until_idle_s=5.0)
    begun, used = archiver.first or archiver.last
    fifths = [[megabytes for seen, megabytes in archiver.resident if 5 * seen // archiver.seen == n] for n in range(5)]
    return {
        "events": archiver.seen, "begun": begun, "ended": archiver.last[0], "cpu": archiver.last[1] - used,
        "rss": max(max(fifth, default=0.0) for fifth in fifths),
        "growth": max(fifths[4], default=0.0) - max(fifths[1], default=0.0), "commits": archiver.commits,
    }  # fmt: skip


def consume_part(servers: str, events: int, _folder: str, group: str) -> dict[str, Any]:
    """Consuming alone, as the archiver consumes."""
    consumer = Consumer({
        "bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", "check.crcs": True,
        "queued.max.messages.kbytes": PREFETCH_KIB, "enable.auto.commit": False,
    })  # fmt: skip
    consumer.subscribe([INTERACTIONS.name])
    while not (seen := len(consumer.consume(1, 1.0))):
        pass
    begun, used = time.time(), cpu()
    while seen < events:
        seen += len(consumer.consume(CONSUME, 0.1))
    figures = {"events": seen, "begun": begun, "ended": time.time(), "cpu": cpu() - used}
    consumer.close()
    return figures


def write_part(_servers: str, events: int, folder: str, _group: str) -> dict[str, Any]:
    """Writing the same rows with pyarrow alone: same settings, files synced as the archiver does."""
    chance, limits = random.Random(1), ArchiveSettings()
    records = [Fake(number, value(number, chance)) for number in range(limits.batch_rows)]
    rows = make_batch(INTERACTIONS, "t", records, {0: 0}, datetime.now(UTC), limits).rows.drop_columns(["ingest_date"])
    begun, used = time.time(), cpu()
    batches = max(1, events // limits.batch_rows)
    for number in range(batches):
        _store(Path(folder) / f"{number}.parquet", to_parquet(INTERACTIONS.table, rows, {}, FRESH))
    return {"events": batches * limits.batch_rows, "begun": begun, "ended": time.time(), "cpu": cpu() - used}


class Fake:
    """A Kafka record made of bytes at hand."""

    def __init__(self, offset: int, content: bytes) -> None:
        self._offset, self._content = offset, content

    def partition(self) -> int:
        """Always 0."""
        return 0

    def offset(self) -> int:
        """Its number."""
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        """Some time."""
        return 1, 1_767_600_000_000

    def key(self) -> bytes:
        """Some key."""
        return b"k"

    def value(self) -> bytes:
        """The event."""
        return self._content

    def headers(self) -> None:
        """None."""


def poison() -> dict[str, float]:
    """CPU µs an event of decoding a batch, by the share of its events that break the contract: best of five each."""
    processes.tune()
    chance, limits = random.Random(1), ArchiveSettings()
    values = [value(number, chance) for number in range(limits.batch_rows)]
    found = {}
    for share in (0.0, 0.001, 0.01, 0.1, 1.0):
        bad = set(chance.sample(range(len(values)), round(share * len(values))))
        records = [
            Fake(number, content.replace(b'"role":"user"', b'"role":7', 1) if number in bad else content)
            for number, content in enumerate(values)
        ]
        times = []
        for _ in range(5):
            begun = cpu()
            make_batch(INTERACTIONS, "t", records, {0: 0}, datetime.now(UTC), limits)
            times.append(cpu() - begun)
        found[f"{share:.1%} bad"] = round(min(times) / len(values) * 1e6, 1)
    return found


PARTS = {"archive": archive_part, "consume": consume_part, "write": write_part}


def measure(name: str, servers: str, events: int, *, processes_: int = 1, quix: str = "") -> dict[str, float]:
    """One contender, in processes of its own: events per second by the clock and by CPU."""
    with tempfile.TemporaryDirectory() as folder:
        number = str(processes_ if name == "archive" else events)
        arguments = [servers, number, folder, f"bench-{uuid.uuid4()}"]
        commands = {
            "quix": [quix, str(ROOT / "benchmarks/peers/quix.py"), servers, INTERACTIONS.name, str(events), folder],
            "faust": [sys.executable, str(ROOT / "benchmarks/peers/faust_agent.py"), servers, INTERACTIONS.name,
                      str(events), folder],
        }  # fmt: skip
        command = commands.get(name, [sys.executable, __file__, "--part", name, *arguments])
        with ThreadPoolExecutor(processes_) as pool:  # its own number is of cores: a group of eight would wait for ever
            outputs = list(pool.map(lambda _: _run(command), range(processes_)))
        found = [json.loads(output.strip().splitlines()[-1]) for output in outputs]
        done = sum(part["events"] for part in found)
        wall = found[0].get("wall") or max(p["ended"] for p in found) - min(p["begun"] for p in found)
        stored = 0
        if name == "archive":
            stored = sum(file.size for file in files(Lake(f"{folder}/lake").open(INTERACTIONS.table)))
        return {
            "wall": done / wall, "cpu": done / sum(part["cpu"] for part in found), "bytes": stored / max(1, done),
            **{key: max(part.get(key, 0.0) for part in found) for key in ("rss", "growth")},
            "p95": _p95([took for part in found for took in part.get("commits", ())]),
        }  # fmt: skip


def _p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * len(values))] if values else 0.0


def grouped(servers: str, events: int, members: int) -> None:
    """Many archivers on one table beside one: events per second of all together, and how long their commits take."""
    found = {count: measure("archive", servers, events, processes_=count) for count in (1, members)}
    for count, figures in found.items():
        print(f"{count:>3} archivers  {figures['wall']:>9,.0f} events/s  {figures['cpu']:>9,.0f} per CPU second  "
              f"95 of 100 commits within {figures['p95']:.2f} s", file=sys.stderr)  # fmt: skip
    print(json.dumps({
        "group": members,
        "rate_vs_one": round(found[members]["wall"] / found[1]["wall"], 3),
        "cpu_vs_one": round(found[members]["cpu"] / found[1]["cpu"], 3),
        "p95_commit_s": round(found[members]["p95"], 2),
    }))  # fmt: skip


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=1800)
    if done.returncode:
        sys.exit(f"{' '.join(command[:3])} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
    """Measure, show the table, end with the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quix", default="", help="Python that has quixstreams; without it (c) is left out")
    parser.add_argument("--group", type=int, default=0, help="so many archivers on one table beside one, and only that")
    parser.add_argument("--memory", action="store_true", help="only the archiver's memory: --events 5000000 --memory")
    parser.add_argument("--poison", action="store_true", help="only what bad events cost, without Kafka")
    parser.add_argument("--peers", action="store_true", help="only sinks that write tables: --events 300000 --peers")
    parser.add_argument("--part", nargs=5, metavar="X", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, servers, events, folder, group = arguments.part
        print(json.dumps(PARTS[name](servers, int(events), folder, group)))
        return
    if arguments.poison:
        print(json.dumps(poison()))
        return
    if arguments.peers:
        from benchmarks.peers import beside  # noqa: PLC0415 - its peers' processes are nothing to other measurements

        beside.main(arguments.events, arguments.rounds)
        return
    with ExitStack() as stack:
        servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
        if not servers:
            home = stack.enter_context(tempfile.TemporaryDirectory())
            servers = stack.enter_context(Broker(Path(home))).bootstrap_servers
        partitions = max(arguments.group, KafkaSettings().partitions)
        Admin(KafkaSettings(bootstrap_servers=servers, partitions=partitions)).ensure_topics()
        size = produce(servers, arguments.events)
        if arguments.group:
            grouped(servers, arguments.events, arguments.group)
            return
        if arguments.memory:
            figures = measure("archive", servers, arguments.events)
            print(json.dumps({
                "events": arguments.events,
                "rss_mib": round(figures["rss"]),
                "rss_growth_mib": round(figures["growth"], 1),
            }))  # fmt: skip
            return
        _report(_rounds(servers, arguments), size, arguments.events)


def _rounds(servers: str, arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    contenders = ["consume", "write", "archive", "archive x 2", *(["quix"] if arguments.quix else []), "faust"]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(arguments.rounds):
        for name in contenders:
            few = arguments.events if name not in {"quix", "faust"} else max(20_000, arguments.events // 3)
            part, _, twice = name.partition(" x ")
            found[name].append(measure(part, servers, few, processes_=int(twice or 1), quix=arguments.quix))
            print(f"round {number + 1}: {name}: {found[name][-1]['cpu']:,.0f} events per CPU second", file=sys.stderr)
    return found


def _report(found: dict[str, list[dict[str, float]]], size: float, events: int) -> None:
    best = {
        name: {key: statistics.median(figure[key] for figure in figures) for key in figures[0]}
        for name, figures in found.items()
    }
    table = Table("contender", title=f"{events:,} events of {size:,.0f} bytes, median of {len(found['faust'])} rounds")
    for column in ("events/s by the clock", "events per CPU second", "CPU µs an event"):
        table.add_column(column, justify="right")
    for name, figures in best.items():
        table.add_row(name, f"{figures['wall']:,.0f}", f"{figures['cpu']:,.0f}", f"{1e6 / figures['cpu']:.1f}")
    Console().print(table)
    limit = min(best["consume"]["wall"], best["write"]["wall"])
    ours = best["archive"]["cpu"]
    print(json.dumps({
        "wall_vs_limit": round(max(best["archive"]["wall"], best["archive x 2"]["wall"]) / limit, 3),
        "wall_vs_limit_one": round(best["archive"]["wall"] / limit, 3),
        "cpu_vs_quixstreams": round(ours / best["quix"]["cpu"], 2) if "quix" in best else None,
        "cpu_vs_faust": round(ours / best["faust"]["cpu"], 2),
        "events_per_cpu_second": round(ours),
        "bytes_per_event": round(best["archive"]["bytes"]),
        "rss_growth_mib": round(best["archive"]["growth"], 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
