"""What the world does to an archiver, one fault a test; after each, every event is accounted for exactly once."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.testing.events import interaction
from schemas.codec import encode
from schemas.errors import LakeError, OffsetsLost
from schemas.topics import ARCHIVED, BY_NAME, INTERACTIONS
from streams.archive.archiver import Archiver
from streams.archive.landing import Landing
from streams.broker.broker import Broker
from streams.keyring import trust_of
from streams.lake import Lake, files
from streams.lake.audit import audit
from streams.producer import EventProducer
from tests.support.kafka import Ingest, recreate_topics, running, send
from tests.support.lake import offsets_by_reader
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
AWAY_S = 25.0
"""A session lasts 10 s, a question to the broker 15 s; `make soak` stays away for minutes."""


def whole(ingest: Ingest, expected: set[str]) -> None:
    """Nothing lost, nothing twice, nothing altered, no incident, and every reader sees the same."""
    stored = ingest.stored("interactions")
    ids = [row["id"] for row in stored]
    assert len(ids) == len(set(ids)), "doubled"
    assert set(ids) == expected, "lost"
    assert all(row["input_messages"] == _messages(row["conversation_id"]) for row in stored), "altered"
    assert audit(ingest.lake).incidents == ()
    for reader, offsets in offsets_by_reader(ingest.lake).items():
        assert offsets == sorted(row["kafka_offset"] for row in stored), reader


def _messages(conversation: str) -> str:
    return json.dumps(
        [{"role": "user", "content": f"question {conversation.partition('-')[2]}"}], separators=(",", ":")
    )


def rows(ingest: Ingest) -> int:
    return len(ingest.stored("interactions"))


def process(ingest: Ingest) -> subprocess.Popen[bytes]:
    """An archiver as `flywheel up` starts it."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers,
        "FLYWHEEL_HOME": ingest.settings.home,
        "FLYWHEEL_ARCHIVE_BATCH_SECONDS": "0.2",
        "FLYWHEEL_ARCHIVE_GROUP_ID": ingest.settings.archive.group_id,
    }
    return subprocess.Popen([sys.executable, "-m", "streams", "archive"], env=environment)


def test_a_stop_commits_what_is_there_within_five_seconds(ingest: Ingest) -> None:
    """SIGTERM ends the process cleanly, with the last events in the lake."""
    archiver = process(ingest)
    sent = send(ingest, 0, 100)
    eventually(lambda: rows(ingest) == 100)
    sent |= send(ingest, 100, 150)
    begun = time.monotonic()
    archiver.send_signal(signal.SIGTERM)

    assert archiver.wait(10) == 0
    assert time.monotonic() - begun < 5.0
    ingest.archive()
    whole(ingest, sent)


def test_a_stop_is_heard_while_the_lake_does_not_answer(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archiver that cannot begin, since its store is away, can be ended."""
    asked = threading.Event()

    def away(*_: object) -> None:
        asked.set()
        raise OSError("away")

    monkeypatch.setattr(Landing, "_read_starts", away)
    archiver = Archiver(ingest.settings, ingest.lake)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(archiver.run)
        assert asked.wait(30)
        archiver.stop()
        with pytest.raises(LakeError, match="stopped before the committed offsets"):
            run.result(5)


def test_a_member_knows_how_many_share_a_topic_after_each_change(ingest: Ingest) -> None:
    """Kafka tells a member what it gained or lost, not what it has: each counts right among one, two, three, and alone.

    So that eight that come one after the other commit as seldom as eight should.
    """
    there = sum(ingest.admin.partitions(topic.name for topic in ARCHIVED).values())

    def known(*members: Archiver) -> bool:
        """Whether all partitions are somebody's, and who has some of a topic counts all that have some of it."""
        have = [Counter(name for name, _ in list(one._partitions)) for one in members]
        sharing = Counter(name for mine in have for name in mine)
        counted = [one.members(BY_NAME[name]) for one, mine in zip(members, have, strict=True) for name in mine]
        return sum(have, Counter()).total() == there and all(have) and counted == [sharing[n] for m in have for n in m]

    with running(ingest) as first:
        eventually(lambda: known(first))
        with running(ingest) as second:
            eventually(lambda: known(first, second))
            with running(ingest) as third:
                eventually(lambda: known(first, second, third))
        eventually(lambda: known(first))


def test_members_that_come_and_go_share_the_partitions(ingest: Ingest) -> None:
    """A storm of rebalances: archivers of one group join and leave while events come."""
    sent: set[str] = set()
    with running(ingest):
        for n in range(4):
            with running(ingest):
                sent |= send(ingest, n * 100, n * 100 + 100)
                eventually(lambda: rows(ingest) >= 1)
        eventually(lambda: rows(ingest) == len(sent))

    whole(ingest, sent)


def test_partitions_that_come_while_it_closes_hold_up_nobody(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another member leaves when this one's landing has ended: it is given partitions, and ends all the same."""
    sent = send(ingest, 0, 50)
    with ExitStack() as leaving:
        other = leaving.enter_context(running(ingest))
        with running(ingest) as archiver:
            eventually(lambda: bool(other._partitions and archiver._partitions))
            close = archiver._landing.close

            def others_leave_meanwhile(timeout_s: float) -> bool:
                closed = close(timeout_s)
                leaving.close()
                time.sleep(3.0)  # heartbeats tell of it once a second
                return closed

            monkeypatch.setattr(archiver._landing, "close", others_leave_meanwhile)

    ingest.archive()
    whole(ingest, sent)


@pytest.mark.parametrize("group", ["its own", "another"])
def test_a_member_that_hangs_is_replaced_and_does_no_harm_when_it_wakes(ingest: Ingest, group: str) -> None:
    """A stopped process loses its partitions to another; awake again, its old batch is refused or dropped.

    In its own group it is replaced once its session has ended, and learns so; in another both own every partition.
    """
    zombie = process(ingest)
    sent = send(ingest, 0, 50)
    eventually(lambda: rows(ingest) == 50)
    zombie.send_signal(signal.SIGSTOP)
    sent |= send(ingest, 50, 150)
    with running(ingest, **({"group_id": group} if group == "another" else {})):
        eventually(lambda: rows(ingest) == 150)
        zombie.send_signal(signal.SIGCONT)
        sent |= send(ingest, 150, 250)
        eventually(lambda: rows(ingest) >= 250)
    zombie.send_signal(signal.SIGTERM)
    assert zombie.wait(20) == 0

    ingest.archive()
    whole(ingest, sent)


@contextmanager
def at_work_over(home: Path) -> Iterator[tuple[Broker, Ingest, set[str]]]:
    """A broker of its own, an archiver at work, and 200 events sent; at the end all that was sent is whole."""
    with Broker(home / "kafka") as broker:
        recreate_topics(broker.bootstrap_servers)
        ingest = Ingest(broker.bootstrap_servers, home)
        with running(ingest):
            sent = send(ingest, 0, 200)
            yield broker, ingest, sent
        whole(ingest, sent)


def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    """Kill -9 of Kafka while events come: what it acknowledged is archived once it is back."""
    with at_work_over(tmp_path) as (broker, ingest, sent):
        eventually(lambda: rows(ingest) > 0)
        os.kill(broker.pid or 0, signal.SIGKILL)
        eventually(lambda: _answers(ingest))
        sent.update(send(ingest, 200, 300))
        eventually(lambda: rows(ingest) == 300)


def test_a_broker_that_is_away_for_long(tmp_path: Path) -> None:
    """Away for longer than sessions and requests last; an archiver that was at work goes on by itself."""
    with at_work_over(tmp_path) as (broker, ingest, sent):
        broker.stop()  # most of these are consumed and not landed yet, or not even consumed
        time.sleep(AWAY_S)
        broker.start()
        sent.update(send(ingest, 200, 300))
        eventually(lambda: rows(ingest) == 300, 120)


def _answers(ingest: Ingest) -> bool:
    try:
        return bool(ingest.admin.partitions([INTERACTIONS.name]))
    except Exception:
        return False


def test_a_topic_made_anew_begins_anew(ingest: Ingest) -> None:
    """A topic deleted and recreated counts its offsets from 0: nothing of either is taken for the other."""
    with running(ingest):
        sent = send(ingest, 0, 60)
        eventually(lambda: rows(ingest) == 60)
        recreate_topics(ingest.settings.kafka.bootstrap_servers)
        sent |= send(ingest, 60, 160)
    ingest.archive()

    whole(ingest, sent)
    assert len(ingest.ask("SELECT DISTINCT kafka_topic_id FROM interactions")) == 2


def test_events_that_kafka_dropped_are_a_named_loss(ingest: Ingest) -> None:
    """Retention that passed the next offset stops the archiver with the range; accepted, it stays on record."""
    with EventProducer(ingest.settings.kafka) as producer:
        for n in range(40):
            producer.send_bytes(INTERACTIONS, "one-key", _value(n), [])
    ingest.archive()
    with EventProducer(ingest.settings.kafka) as producer:
        for n in range(40, 80):
            producer.send_bytes(INTERACTIONS, "one-key", _value(n), [])
    held = {place: at for place, at in ingest.admin.offsets([INTERACTIONS.name]).items() if at.latest}
    ((name, partition),) = held
    client = AdminClient({"bootstrap.servers": ingest.settings.kafka.bootstrap_servers, "log_level": 2})
    for order in client.delete_records([TopicPartition(name, partition, 70)]).values():
        order.result()

    with pytest.raises(OffsetsLost, match=r"offsets 40 to 69 are gone .*30 events"):
        ingest.archive()
    ingest.archive(ingest.with_(accept_loss=True))

    (letter,) = ingest.stored("dead_letters")
    assert (letter["reason"], letter["kafka_offset"], letter["offsets"]) == ("lost", 40, 30)
    whole(ingest, {interaction(n).id for n in [*range(40), *range(70, 80)]})


def _value(n: int) -> bytes:
    return encode(interaction(n))


def test_gaps_that_kafka_leaves_are_accounted_for(ingest: Ingest) -> None:
    """Markers of transactions and aborted records have offsets but no event: they are `absent`, not lost."""
    producer = Producer({"bootstrap.servers": ingest.settings.kafka.bootstrap_servers, "transactional.id": "t-1"})
    producer.init_transactions()
    for n in range(4):
        producer.begin_transaction()
        producer.produce(INTERACTIONS.name, _value(n), key=b"k")
        if n % 2:
            producer.flush()
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    send(ingest, 10, 40)
    ingest.archive()

    assert {row["reason"] for row in ingest.stored("dead_letters")} == {"absent"}
    whole(ingest, {interaction(n).id for n in [0, 2, *range(10, 40)]})


def test_a_compression_bomb_is_a_dead_letter_and_holds_up_nobody(ingest: Ingest) -> None:
    """Some kB that unpack to 150 MB are not unpacked: their offsets are on record, and what follows is archived."""
    options = {"compression.type": "zstd", "linger.ms": 2_000, "batch.size": 2**29, "message.max.bytes": 2**29}
    producer = Producer({"bootstrap.servers": ingest.settings.kafka.bootstrap_servers, **options})
    producer.produce(INTERACTIONS.name, _value(0), key=b"k")
    producer.flush()
    for _ in range(150):
        producer.produce(INTERACTIONS.name, b"x" * 1_000_000, key=b"k")
    producer.flush()
    producer.produce(INTERACTIONS.name, _value(1), key=b"k")
    producer.flush()
    ingest.archive(idle_s=5)

    (letter,) = ingest.stored("dead_letters")
    assert (letter["reason"], letter["kafka_offset"], letter["offsets"]) == ("unreadable", 1, 150)
    whole(ingest, {interaction(0).id, interaction(1).id})


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "commit"])
def test_a_disk_that_fails_loses_nothing(ingest: Ingest, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Full disks, failing fsyncs, renames and commits are tried again until they work."""
    failures = iter([OSError(28, "No space left on device")] * 3)

    def fail(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if (error := next(failures, None)) is not None:
                raise error
            return real(*arguments, **named)

        return wrapped

    trust_of(ingest.settings)  # a home's secret is made before its disk fails
    places: dict[str, tuple[Any, str]] = {
        "write": (files, "to_parquet"),
        "fsync": (os, "fsync"),
        "rename": (Path, "rename"),
        "commit": (Lake, "handle"),
    }
    monkeypatch.setattr(*places[step], fail(getattr(*places[step])))
    sent = send(ingest, 0, 50)
    ingest.archive(idle_s=4.0)

    whole(ingest, sent)


def test_a_full_disk_stops_nothing_for_good(ingest: Ingest) -> None:
    """A real limit on file sizes makes every write fail; lifted, the archiver goes on by itself."""
    sent = send(ingest, 0, 50)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with running(ingest):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        time.sleep(2)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        eventually(lambda: rows(ingest) == 50)

    whole(ingest, sent)


def test_a_torn_file_harms_nobody(ingest: Ingest) -> None:
    """A half-written file that a power cut left behind is no part of the table."""
    sent = send(ingest, 0, 20)
    ingest.archive()
    folder = next(Path(ingest.lake.uri("interactions")).glob("ingest_date=*"))
    (folder / ("f" * 64 + ".parquet")).write_bytes(b"PAR1 torn")
    (folder / "half.1-1.tmp").write_bytes(b"PAR1")
    sent |= send(ingest, 20, 40)
    ingest.archive()

    whole(ingest, sent)


def test_clocks_that_jump_do_no_harm(ingest: Ingest) -> None:
    """The archiver's clock jumps back and forth by years: every row is there, on some day."""
    years = iter([2026, 2031, 1999, 2026, 2026])
    sent: set[str] = set()
    for n in range(5):
        sent |= send(ingest, n * 10, n * 10 + 10)
        moment = datetime(next(years), 1, 1, tzinfo=UTC)
        Archiver(ingest.settings, ingest.lake, clock=lambda at=moment: at).run(until_idle_s=1.5)

    whole(ingest, sent)
