"""One run of one sink: over a whole topic, over an empty one, over broken events, and with a kill between.

Each is a fresh process tree over a fresh table; what is counted is the CPU of the tree from its start to its end.
"""

from __future__ import annotations

import contextlib
import time

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from benchmarks.peers.peer import Job, Peer
from benchmarks.peers.tree import Tree
from benchmarks.peers.verdicts import Killed, Spoiled, complaints

POLL_S = 0.2
START_S = 240.0
"""For the first rows, or the next: a JVM takes 15 s on two busy cores, a group waits 45 s for a member that is dead."""
LINGER_S = 3.0
"""For what should not come any more, and for a started sink to be settled."""


class Failed(Exception):
    """A sink did not land what it should have; with the end of its log."""


def full(peer: Peer, job: Job) -> float:
    """CPU seconds of landing the whole topic, start-up included. Raises Failed."""
    with _start(peer, job) as tree:
        landed = _follow(peer, job, tree, job.events, START_S)
        if peer.group(job) is None:  # what ends by itself may
            _follow(peer, job, tree, job.events + 1, START_S)
        used = tree.stop()
    if landed != job.events:
        raise Failed(f"{peer.name} landed {landed:,} of {job.events:,}:\n{_said(job)[-3000:]}")
    return used


def empty(peer: Peer, job: Job) -> float:
    """CPU seconds of starting over an empty topic, until the group is settled and a little longer. Raises Failed."""
    group, end = peer.group(job), time.monotonic() + START_S
    asked = AdminClient({"bootstrap.servers": job.servers})
    with _start(peer, job) as tree:
        while tree.running() and not (group and _settled(asked, group, job.topic)):
            if time.monotonic() > end:
                raise Failed(f"{peer.name} did not start:\n{_said(job)[-3000:]}")
            time.sleep(POLL_S)
        if group:
            time.sleep(LINGER_S)
        used = tree.stop()
    if tree.status != 0 and group is None:
        raise Failed(f"{peer.name} did not start:\n{_said(job)[-3000:]}")
    return used


def spoiled(peer: Peer, job: Job, bad: int) -> Spoiled:
    """What becomes of a topic in which so many events are broken."""
    with _start(peer, job) as tree:
        _follow(peer, job, tree, job.events - bad, START_S)
        _follow(peer, job, tree, job.events + 1, START_S if peer.group(job) is None else LINGER_S)
        alive = tree.running()
        said = _said(job)
        tree.stop()
    stopped = bool(peer.died and peer.died in said) or not (alive or tree.status == 0)
    return Spoiled(job.events, bad, peer.count(job), complaints(said), stopped)


def killed(peer: Peer, job: Job) -> Killed:
    """SIGKILL as soon as something has landed, and a second start."""
    with _start(peer, job) as tree:
        _follow(peer, job, tree, 1, START_S)
    before, begun = peer.landed(job), time.monotonic()
    with Tree(peer.command(job), job.folder / "log") as tree:
        _follow(peer, job, tree, before + 1, START_S)
        pause = time.monotonic() - begun
        _follow(peer, job, tree, job.events, START_S)
        _follow(peer, job, tree, job.events + 1, LINGER_S)
        tree.stop()
    return Killed(job.events, before, pause, peer.count(job))


def _start(peer: Peer, job: Job) -> Tree:
    peer.prepare(job)
    return Tree(peer.command(job), job.folder / "log")


def _follow(peer: Peer, job: Job, tree: Tree, wanted: int, patience_s: float) -> int:
    """Rows landed when there were as many as wanted, or it sank no more, or nothing came for so long."""
    landed, since = -1, time.monotonic()
    while True:
        running = tree.running()  # asked first: what an ended one landed is there to be counted
        now = peer.landed(job)
        if now != landed:
            landed, since = now, time.monotonic()
        dead = bool(peer.died) and peer.died in _said(job)
        if landed >= wanted or not running or dead or time.monotonic() - since > patience_s:
            return landed
        time.sleep(POLL_S)


def _said(job: Job) -> str:
    return (job.folder / "log").read_text(errors="replace")


def _settled(asked: AdminClient, group: str, topic: str) -> bool:
    """Whether the group has a member to which partitions of the topic are assigned."""
    with contextlib.suppress(KafkaException, TimeoutError):
        found = asked.describe_consumer_groups([group], request_timeout=5)[group].result(10)
        places = [place.topic for member in found.members for place in member.assignment.topic_partitions]
        return found.state == ConsumerGroupState.STABLE and topic in places
    return False
