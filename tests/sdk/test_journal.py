"""The journal: what it holds survives, what is damaged is passed over, and nobody sends what another one writes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from llm_flywheel import journal as journals
from llm_flywheel.counts import Counts
from llm_flywheel.journal import Journal
from llm_flywheel.record import Record, unpack
from tests.support.sdk import records


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def journal(tmp_path: Path, counts: Counts) -> Journal:
    return Journal(tmp_path / "j", 4 * 2**20, counts)


def found(folder: Path, counts: Counts | None = None) -> list[Record]:
    """What another process would find and claim."""
    other = Journal(folder, 0, counts or Counts())
    got: list[Record] = []
    for path in other.orphans():
        if orphan := other.claim(path):
            got += orphan.records
            orphan.release()
    return got


def test_a_record_is_the_same_after_the_journal() -> None:
    """Line breaks in keys and values, any bytes."""
    record = Record("t", "i", 'k\n"ü"', "time", b'{"a":"\n\x00"}')

    assert unpack(record.pack()) == record


def test_what_is_acknowledged_leaves_no_trace(journal: Journal) -> None:
    """The segment is emptied as soon as all it holds is settled, and not before."""
    segment = journal.write(records(5))
    assert segment is not None
    journal.settle(segment, 4)
    assert segment.path.stat().st_size > 100
    journal.settle(segment, 1)

    assert segment.path.read_bytes() == b"FLY1"
    journal.close()
    assert list(journal.folder.iterdir()) == []


def test_what_is_given_up_is_found_by_the_next_one(journal: Journal) -> None:
    """A kept segment stays, its records in order; while its owner holds it, nobody else takes it."""
    sent = records(10)
    segment = journal.write(sent)
    assert segment is not None
    journal.settle(segment, 10, kept=True)
    assert found(journal.folder) == []

    assert len(journal.orphans()) == 1
    assert found(journal.folder) == sent


def test_a_killed_writers_segment_is_found(journal: Journal) -> None:
    """Whatever was not acknowledged is there, whoever closed the file."""
    sent = records(3)
    segment = journal.write(sent)
    assert segment is not None
    os.close(segment.fd)  # what the kernel does when a process is killed

    assert found(journal.folder) == sent


def test_two_cannot_claim_the_same(journal: Journal, counts: Counts) -> None:
    """One sends it; the other goes on to the next."""
    assert journal.write(records(1))
    journal.close()
    one, two = Journal(journal.folder, 0, counts), Journal(journal.folder, 0, counts)
    [path] = one.orphans()

    claimed = one.claim(path)
    assert claimed is not None
    assert two.claim(path) is None
    claimed.remove()
    assert two.claim(path) is None
    assert list(journal.folder.iterdir()) == []


@pytest.mark.parametrize("seed", range(30))
def test_damage_costs_the_record_that_it_hits(journal: Journal, seed: int) -> None:
    """A torn tail loses its record, a flipped bit one or, in a length, those behind it; nothing is invented."""
    sent = records(20)
    segment = journal.write(sent)
    assert segment is not None
    journal.close()
    data = bytearray(segment.path.read_bytes())
    at = random.Random(seed)
    counts = Counts()
    if seed % 2:
        cut = at.randrange(len(data) // 2, len(data))
        segment.path.write_bytes(data[:cut])
        expected = sent[: len(found(journal.folder, counts))]
        assert found(journal.folder) == expected
        assert len(expected) >= 9
    else:
        place = at.randrange(4, len(data))
        data[place] ^= 1 << at.randrange(8)
        segment.path.write_bytes(data)
        got = found(journal.folder, counts)
        assert all(each in sent for each in got)
        assert len(got) < 20
    assert counts["dropped_corrupt"] >= (0 if seed % 2 else 1)


def test_a_foreign_file_is_no_segment(journal: Journal, counts: Counts) -> None:
    """What does not begin as ours is not read."""
    journal.folder.mkdir()
    (journal.folder / "x.seg").write_bytes(b"hello, this is no segment of ours")

    assert found(journal.folder) == []


def test_the_disk_is_bounded(journal: Journal, counts: Counts) -> None:
    """Beyond its bound the journal takes no more, says so, and what it holds stays readable."""
    written = 0
    for _ in range(100):
        if segment := journal.write(records(10, size=10_000)):
            journal.settle(segment, 10, kept=True)
            written += 10
    journal.close()

    assert sum(path.stat().st_size for path in journal.folder.iterdir()) <= 4 * 2**20
    assert counts["journal_errors"] > 0
    assert len(found(journal.folder)) == written > 200


def test_a_disk_that_is_full_in_the_midst_spoils_nothing(
    journal: Journal, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that the disk takes in part is taken back."""
    sent = records(3)
    assert journal.write(sent)
    real, calls = os.write, []

    def short(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(fd, data[:10])

    monkeypatch.setattr(journals.os, "write", short)
    assert journal.write(records(2)) is None
    monkeypatch.undo()
    more = journal.write(sent)
    assert more is not None
    journal.close()

    assert found(journal.folder) == sent + sent
    assert counts["journal_errors"] == 1


def test_others_cannot_read_it(journal: Journal) -> None:
    """Events are people's words: the folder and its files are private."""
    assert journal.write(records(1))

    assert journal.folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in journal.folder.iterdir())
    journal.close()
