"""The archiver beside sinks that write tables: `python benchmarks/ingest.py --peers --events 300000 --rounds 3`.

Each sink runs over a topic with so many events, over one with a third of them and over an empty one, in turn with the
others, so that a busy machine hurts all alike. Counted are the CPU seconds of the whole process tree. What a warm sink
costs is the slope between the two topics, (larger − smaller) / the difference in events; its start-up is the empty
topic. Then what each does with ten cut lines among 20,000 events, with ten wrong types, and with a kill -9 between two
commits. What is not at hand is named, with the command that gets it, and the rest goes on. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.peers import runs
from benchmarks.peers.archiver import ArchiverPeer
from benchmarks.peers.iceberg import IcebergPeer
from benchmarks.peers.peer import Job, Peer
from benchmarks.peers.quix_sink import QuixPeer
from benchmarks.peers.spark import SparkPeer
from benchmarks.peers.verdicts import of_killed, of_spoiled
from benchmarks.traffic import produce
from schemas.settings import KafkaSettings
from schemas.topics import INTERACTIONS
from streams.admin import Admin
from streams.broker.broker import Broker

OURS = ArchiverPeer()
PEERS: tuple[Peer, ...] = (OURS, IcebergPeer(), SparkPeer(), QuixPeer())
CAREFUL: tuple[Peer, ...] = (IcebergPeer(tolerant=True),)
"""As careful as it can be told to be: only its faults are looked at."""
SPOILED, BAD = 20_000, 10


class Figures(msgspec.Struct):
    """What rounds found of one sink, a figure a round."""

    larger: list[float] = []
    smaller: list[float] = []
    empty: list[float] = []
    size: float = 0.0
    """Bytes an event of the larger run."""

    def slopes(self, events: int) -> list[float]:
        """CPU µs that one more event costs a warm process."""
        more = events - smaller_of(events)
        return [(large - small) / more * 1e6 for large, small in zip(self.larger, self.smaller, strict=True)]


class Faults(msgspec.Struct):
    """What became of broken events, and of a killed process, in words."""

    cut: str
    typed: str
    killed: str = ""


def smaller_of(events: int) -> int:
    """How many events the smaller topic has."""
    return events // 3


def cut(number: int, record: bytes) -> bytes:
    """Ten of the events end in the middle, spread over the topic."""
    return record[: len(record) // 2] if number % (SPOILED // BAD) == 7 else record


def typed(number: int, record: bytes) -> bytes:
    """Ten of the events say `many` where a number belongs."""
    if number % (SPOILED // BAD) != 7:
        return record
    head, tail = record.split(b'"input_tokens":', 1)
    return head + b'"input_tokens":"many"' + tail[tail.index(b",") :]


@contextmanager
def topic(events: int, **how: Any) -> Iterator[tuple[str, int]]:
    """A broker of its own whose topic holds so many events: the archiver reads one name of topic alone."""
    with tempfile.TemporaryDirectory() as home, Broker(Path(home)) as broker:
        Admin(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)).ensure_topics()
        produce(broker.bootstrap_servers, events, **how)
        yield broker.bootstrap_servers, events


@contextmanager
def job(held: tuple[str, int], *, often: bool = False) -> Iterator[Job]:
    """A run over such a topic, in a folder of its own."""
    servers, events = held
    with tempfile.TemporaryDirectory() as folder:
        yield Job(f"peer-{uuid.uuid4().hex[:12]}", servers, INTERACTIONS.name, events, Path(folder), often)


def measured(peers: list[Peer], events: int, rounds: int) -> dict[str, Figures]:
    """The rounds, one sink after the other in each."""
    found = {peer.name: Figures() for peer in peers}
    with ExitStack() as stack:
        large, small, none = (stack.enter_context(topic(n)) for n in (events, smaller_of(events), 0))
        for number in range(rounds):
            for peer in [peer for peer in peers if peer.name in found]:
                try:
                    _round(peer, found[peer.name], large, small, none)
                except runs.Failed as failed:
                    if peer is OURS:
                        raise
                    del found[peer.name]
                    _say(f"left out: {failed}")
                    continue
                one = found[peer.name]
                _say(f"round {number + 1}: {peer.name}: {one.larger[-1]:.2f} CPU s for {events:,}, "
                     f"{one.smaller[-1]:.2f} for {smaller_of(events):,}, {one.empty[-1]:.2f} for none, "
                     f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    return found


def _round(peer: Peer, figures: Figures, large: tuple[str, int], small: tuple[str, int], none: tuple[str, int]) -> None:
    with job(large) as run:
        larger, size = runs.full(peer, run), peer.size(run) / run.events
    with job(small) as run:
        smaller = runs.full(peer, run)
    with job(none) as run:
        empty = runs.empty(peer, run)
    figures.larger.append(larger)
    figures.smaller.append(smaller)
    figures.empty.append(empty)
    figures.size = size


def broken(peers: list[Peer], careful: list[Peer], events: int) -> dict[str, Faults]:
    """What each does with cut lines, with wrong types and with a kill: once each."""
    found: dict[str, Faults] = {}
    with ExitStack() as stack:
        lines, types = (stack.enter_context(topic(SPOILED, spoil=spoil)) for spoil in (cut, typed))
        whole = stack.enter_context(topic(events))
        for peer in [*peers, *careful]:
            with job(lines) as one, job(types) as two:
                said = (of_spoiled(runs.spoiled(peer, each, BAD)) for each in (one, two))
                found[peer.name] = Faults(*said)
            if peer in peers:
                with job(whole, often=True) as run:
                    found[peer.name].killed = of_killed(runs.killed(peer, run))
            _say(f"{peer.name}: cut lines: {found[peer.name].cut}; wrong types: {found[peer.name].typed}; "
                 f"kill -9: {found[peer.name].killed or 'as above'}")  # fmt: skip
    return found


def at_hand(peers: tuple[Peer, ...]) -> tuple[list[Peer], dict[str, str]]:
    """Those that can run here, and of the others what is missing."""
    absent = {peer.name: why for peer in peers if (why := peer.missing())}
    return [peer for peer in peers if peer.name not in absent], absent


def main(events: int, rounds: int) -> None:
    """Measure, show the table, end with the JSON line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing that was started runs on
    peers, absent = at_hand(PEERS)
    for name, why in absent.items():
        _say(f"not at hand: {name}: {why}")
    before = os.getloadavg()[0]
    figures = measured(peers, events, rounds)
    faults = broken([peer for peer in peers if peer.name in figures], at_hand(CAREFUL)[0], events)
    _report(figures, faults, events)
    print(json.dumps({
        "events": events, "rounds": rounds, "load": [round(before, 1), round(os.getloadavg()[0], 1)],
        "sinks": {name: summary(each, figures[OURS.name], events) for name, each in figures.items()},
        "faults": msgspec.to_builtins(faults), "not_at_hand": absent,
    }))  # fmt: skip


def summary(one: Figures, ours: Figures, events: int) -> dict[str, Any]:
    """Its figures of all rounds, and the medians of what they are to the archiver's of the same round."""
    slopes = one.slopes(events)
    warm = [theirs / own for theirs, own in zip(slopes, ours.slopes(events), strict=True)]
    whole = [theirs / own for theirs, own in zip(one.larger, ours.larger, strict=True)]
    return {
        "cpu_s": [round(value, 2) for value in one.larger],
        "startup_cpu_s": [round(value, 2) for value in one.empty],
        "slope_us": [round(value, 1) for value in slopes],
        "slope_vs_archiver": round(statistics.median(warm), 2),
        "cpu_vs_archiver": round(statistics.median(whole), 2),
        "bytes_per_event": round(one.size),
    }


def _report(figures: dict[str, Figures], faults: dict[str, Faults], events: int) -> None:
    table = Table("sink", title=f"{events:,} events, CPU of the whole process tree, median (least to most)")
    for column in (f"CPU s of {events:,}", "start-up, CPU s", "warm, CPU µs an event", "× archiver", "bytes an event"):
        table.add_column(column, justify="right")
    for name, each in figures.items():
        ratio = summary(each, figures[OURS.name], events)["slope_vs_archiver"]
        spread = (_spread(values) for values in (each.larger, each.empty, each.slopes(events)))
        table.add_row(name, *spread, f"{ratio:.1f}", f"{each.size:.0f}")
    Console().print(table)
    said = Table("sink", f"{BAD} cut lines among {SPOILED:,}", f"{BAD} wrong types among them", "kill -9")
    for name, what in faults.items():
        said.add_row(name, what.cut, what.typed, what.killed)
    Console().print(said)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
