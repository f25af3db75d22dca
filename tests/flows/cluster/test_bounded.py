"""What a run takes into memory follows what is new and what is looked at, never what there was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from flows.cluster.catalogue import population
from flows.testing.events import START
from schemas.events import Event
from streams.lake.rows import Rows
from tests.support.clusters import TOPICS, World, asked, phrase, said

SHORT, LONG = 12, 36
"""Days of history: trends look at nine."""


def day(number: int) -> Iterator[Event]:
    """A day's traffic: of each topic five failures and a question that nobody judged."""
    for place, topic in enumerate(TOPICS):
        for n in range(6):
            many = 24 * number + 6 * place + n
            time = START + timedelta(days=number, minutes=many)
            row = asked(many, phrase(topic, n), time=time)
            yield row
            if n < 5:
                yield said(row)


class Counted:
    """How many rows the answers of queries have brought."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = 0
        whole, parts = Rows.table, Rows.batches

        def table(rows: Rows) -> pa.Table:
            found = whole(rows)
            self.rows += len(found)
            return found

        def batches(rows: Rows, size: int = 10_000) -> Iterator[pa.RecordBatch]:
            for batch in parts(rows, size):
                self.rows += len(batch)
                yield batch

        monkeypatch.setattr(Rows, "table", table)
        monkeypatch.setattr(Rows, "batches", batches)


def test_three_times_the_history_brings_no_more_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's news on 12 days and on 36: the same failures each day, and samples that are full by then."""
    monkeypatch.setattr(population, "MAX_TEXTS", 6)
    monkeypatch.setattr(population, "FIRST", 3)
    counted, found = Counted(monkeypatch), {}
    for days in (SHORT, LONG):
        world = World(tmp_path / str(days), min_size=5)
        world.happened(*(event for number in range(days) for event in day(number)))
        before = world.run(days)
        assert (before.clusters > 0, before.failed) == (True, 5 * len(TOPICS) * days)
        world.happened(*day(days))
        counted.rows = 0
        assert world.run(days + 1).failed == 5 * len(TOPICS) * (days + 1)
        found[days] = counted.rows

    assert 100 < found[LONG] <= 1.1 * found[SHORT], found
