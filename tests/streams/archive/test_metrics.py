"""What a prober and a scraper are told."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

import pytest

from streams.archive import metrics
from streams.archive.buffer import members_of
from streams.archive.metrics import SILENT_S, Live
from streams.broker.broker import free_port


def test_an_archiver_is_live_while_it_asks_kafka() -> None:
    """Before the first question too; not when the last one is longer ago than Kafka itself waits."""
    live = Live()
    assert live.answer(1e6)[0].startswith("200")
    live.polled(100.0)
    assert live.answer(100.0 + SILENT_S)[0].startswith("200")
    assert live.answer(101.0 + SILENT_S)[0].startswith("503")


def test_both_are_answered_on_the_address_that_was_asked_for() -> None:
    """Prometheus on any path, `/live` on its own; the status tells a prober that reads nothing else."""
    port = free_port()
    metrics.serve(port, "127.0.0.1")
    base = f"http://127.0.0.1:{port}"
    before = metrics.LIVE.__dict__.copy()
    try:
        with urllib.request.urlopen(f"{base}/metrics", timeout=30) as page:
            assert b"flywheel_archive_last_commit_seconds" in page.read()
        metrics.LIVE.polled(time.monotonic())
        with urllib.request.urlopen(f"{base}/live", timeout=30) as page:
            assert page.status == 200
        metrics.LIVE.polled(time.monotonic() - 2 * SILENT_S)
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{base}/live", timeout=30)
    finally:
        metrics.LIVE.__dict__.update(before)


@pytest.mark.parametrize(
    ("partitions", "mine", "members"), [(4, 4, 1), (4, 2, 2), (24, 3, 8), (8, 1, 8), (3, 2, 2), (0, 0, 1)]
)
def test_a_member_knows_the_group_by_its_share(partitions: int, mine: int, members: int) -> None:
    """The group balances partitions, so a member that has an eighth of them is one of eight."""
    assert members_of(partitions, mine) == members
