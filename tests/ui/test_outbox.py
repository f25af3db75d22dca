"""Answers on their way to Kafka: safe before they are told of, sent once, let go once archived."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import pytest

from flows.testing.events import feedback, interaction
from schemas.errors import BrokerError
from schemas.events import Event
from tests.support.waiting import eventually
from ui.outbox import BATCH, KEPT_S, Outbox


class Broker:
    """Kafka as the outbox sees it: takes events, or fails on cue."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.away = False
        self.lost_answers = 0
        """So many batches are taken, and the answer is lost."""

    def __call__(self) -> Any:
        if self.away:
            raise BrokerError("nobody answers")
        return Connection(self)


class Connection:
    def __init__(self, broker: Broker) -> None:
        self.broker, self.queue = broker, [""][:0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, event: Event) -> None:
        self.queue.append(event.id)

    def flush(self, timeout_s: float = 1.0) -> int:  # noqa: ARG002 as the real one
        if self.broker.away:
            raise BrokerError("gone")
        self.broker.taken += self.queue
        self.queue = []
        if self.broker.lost_answers:
            self.broker.lost_answers -= 1
            raise BrokerError("the answer was lost")
        return 0


def events(count: int) -> list[Event]:
    return [feedback(n, interaction(n)) for n in range(count)]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.outbox.RETRY_S", 0.05)


def test_what_is_put_arrives_once_and_in_order(tmp_path: Path) -> None:
    """Twenty answers are twenty events; the same id again is the same event."""
    broker, said = Broker(), events(20)
    with Outbox(tmp_path, broker) as outbox:
        outbox.put(said)
        outbox.put(said[:5])
        eventually(lambda: outbox.waiting() == 0)

    assert broker.taken == [event.id for event in said]


def test_while_kafka_is_away_it_is_kept_and_said(tmp_path: Path) -> None:
    """Then everything is sent, without anybody asking."""
    broker, said = Broker(), events(5)
    broker.away = True
    with Outbox(tmp_path, broker) as outbox:
        outbox.put(said)
        eventually(lambda: outbox.trouble == "nobody answers")
        assert outbox.waiting() == 5
        assert [event.id for event in outbox.feedback()] == [event.id for event in said]
        broker.away = False
        eventually(lambda: outbox.waiting() == 0)

    assert broker.taken == [event.id for event in said]


def test_a_lost_answer_sends_the_same_ids_again(tmp_path: Path) -> None:
    """At least once on the wire, under one id: the lake keeps the first."""
    broker, said = Broker(), events(3)
    broker.lost_answers = 1
    with Outbox(tmp_path, broker) as outbox:
        outbox.put(said)
        eventually(lambda: outbox.waiting() == 0)

    assert broker.taken == [event.id for event in said] * 2


def test_what_is_archived_is_let_go(tmp_path: Path) -> None:
    """Only what was sent and is in the lake leaves; until then pages show it."""
    broker, said = Broker(), events(4)
    with Outbox(tmp_path, broker) as outbox:
        outbox.put(said)
        eventually(lambda: outbox.waiting() == 0)
        archived: Collection[str] = {event.id for event in said[:3]}
        outbox.settled(lambda ids: [each for each in ids if each in archived])

    assert [event.id for event in outbox.feedback()] == [said[3].id]


def test_what_never_comes_holds_up_nothing_and_leaves_after_a_week(tmp_path: Path) -> None:
    """[a batch that the lake never gets, then one that it has]: the second leaves at once, the first when it is old."""
    broker, said, now = Broker(), events(BATCH + 2), [1e9]
    with Outbox(tmp_path, broker, lambda: now[0]) as outbox:
        outbox.put(said)
        eventually(lambda: outbox.waiting() == 0)
        for _ in range(2):
            outbox.settled(lambda ids: [each for each in ids if each in {event.id for event in said[BATCH:]}])
        left = [event.id for event in outbox.feedback()]
        now[0] += KEPT_S + 1
        outbox.settled(lambda _ids: [])

    assert left == [event.id for event in said[:BATCH]]
    assert outbox.feedback() == []


PUT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from flows.testing.events import feedback, interaction
from ui.outbox import BATCH, KEPT_S, Outbox
outbox = Outbox(Path(sys.argv[1]), lambda: None)
for n in range(300):
    outbox.put([feedback(n, interaction(n))])
    print(n, flush=True)
    if n == 41:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_loses_nothing_that_was_told_as_saved(tmp_path: Path) -> None:
    """Kill -9 in the middle: whatever was acknowledged to the page is sent at the next start, each once."""
    done = subprocess.run(
        [sys.executable, "-c", PUT_AND_DIE, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    told = [int(line) for line in done.stdout.split()]
    broker = Broker()
    with Outbox(tmp_path, broker) as outbox:
        eventually(lambda: outbox.waiting() == 0)

    assert done.returncode == -signal.SIGKILL
    assert told == list(range(42))
    assert broker.taken == [event.id for event in events(42)]


def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    """Ten people press at the same moment."""
    broker, said = Broker(), events(50)
    with Outbox(tmp_path, broker) as outbox:
        threads = [threading.Thread(target=outbox.put, args=(said[n : n + 5],)) for n in range(0, 50, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        eventually(lambda: outbox.waiting() == 0)

    assert sorted(broker.taken) == sorted(event.id for event in said)
    assert (tmp_path / "ui").stat().st_mode & 0o077 == 0
