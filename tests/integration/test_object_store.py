"""A lake in an object store: the same promises on a real S3 server, also when it hangs."""

from __future__ import annotations

import signal
import subprocess
import threading

import pytest

from schemas.errors import CommitConflict
from schemas.topics import INTERACTIONS
from streams.lake import Lake
from streams.lake.append import Span, Writer, committed_id, create
from streams.lake.audit import audit
from streams.lake.maintain import compact, vacuum
from streams.lake.query import query, read
from tests.support.lake import rows
from tests.support.s3 import S3

pytestmark = pytest.mark.integration
COMMITTED = committed_id(INTERACTIONS.name, "t", 0)


def test_a_lake_in_a_bucket_keeps_its_promises(store: Lake) -> None:
    """Commits with offsets, a refused zombie, compaction, vacuum, queries and the audit, all against S3."""
    writer, zombie = Writer(store, "interactions"), Writer(store, "interactions")
    for n in range(4):
        writer.land(rows([2 * n, 2 * n + 1]), {COMMITTED: Span(2 * n or None, 2 * n + 2)})
    with pytest.raises(CommitConflict):
        zombie.land(rows([0]), {COMMITTED: Span(None, 1)})

    assert compact(store, "interactions", 2**20) == 3
    vacuum(store, "interactions", 0, [])

    assert sorted(read(store, "interactions")["kafka_offset"].to_pylist()) == list(range(8))
    found = query(store, "SELECT count(*) AS n FROM interactions", store.versions(["interactions"]))
    assert found.to_pylist() == [{"n": 8}]
    assert (audit(store).incidents, audit(store).unhashed) == ((), 0)


def test_two_writers_on_a_bucket_are_one_after_the_other(store: Lake) -> None:
    """Conditional writes: of two writers of the same offsets exactly one succeeds, each time."""
    create(store, "interactions")
    outcomes: list[str] = []

    def write(n: int) -> None:
        writer = Writer(store, "interactions")
        barrier.wait()
        try:
            writer.land(rows([n]), {COMMITTED: Span(n or None, n + 1)})
        except CommitConflict:
            outcomes.append("refused")
        else:
            outcomes.append("landed")

    for n in range(3):
        barrier = threading.Barrier(2)
        pair = [threading.Thread(target=write, args=(n,)) for _ in range(2)]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()

    assert sorted(outcomes) == ["landed"] * 3 + ["refused"] * 3
    assert sorted(read(store, "interactions")["kafka_offset"].to_pylist()) == [0, 1, 2]


def test_a_store_that_hangs_for_a_while_loses_nothing(store: Lake, s3: S3) -> None:
    """A server that does not answer for seconds in the middle of commits: each is made once."""
    writer = Writer(store, "interactions")
    for n in range(3):
        s3.process.send_signal(signal.SIGSTOP)
        # Woken by another process: delta-rs holds Python's lock while it uploads, and no thread of this one could.
        waker = subprocess.Popen(["sh", "-c", f"sleep 1.5; kill -CONT {s3.process.pid}"])
        writer.land(rows([n]), {COMMITTED: Span(n or None, n + 1)})
        waker.wait()

    assert sorted(read(store, "interactions")["kafka_offset"].to_pylist()) == list(range(3))
    assert audit(store).incidents == ()
