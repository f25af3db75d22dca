"""Without a network: files that `flywheel replay` reads, and their way to the door later."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import llm_flywheel as fly
from llm_flywheel.__main__ import main
from llm_flywheel.transports import Unavailable, file, open_transport
from streams.replay import parse_line
from tests.support.door import Door
from tests.support.sdk import end, records, turn


def lines(folder: Path) -> list[bytes]:
    """All lines of the finished files, in order."""
    return [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def test_the_files_are_what_replay_reads(begin: Callable[..., None], tmp_path: Path) -> None:
    """Each line is an event that `flywheel replay` sends as it is."""
    begin(url=f"file://{tmp_path}/spool")
    made = turn()
    fly.thumb(True)
    assert fly.flush()
    end()

    read = [parse_line(line) for line in lines(tmp_path / "spool")]
    assert [each.topic.name for each in read] == ["llm.interactions", "llm.feedback"]
    assert made.encode() in read[0].value
    assert [each.key for each in read] == [made, made]


def test_a_file_is_finished_when_it_is_full_or_its_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends in `.part` is being written; everything else may be fetched."""
    monkeypatch.setattr(file, "FILE_BYTES", 2000)
    transport = open_transport(f"file://{tmp_path}")
    for record in records(10, size=500):
        transport.deliver([record])
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert len(list(tmp_path.glob("*.part"))) == 1
    transport.close()

    assert list(tmp_path.glob("*.part")) == []
    assert len(lines(tmp_path)) == 10


def test_a_killed_writers_file_is_finished_without_its_torn_line(tmp_path: Path) -> None:
    """The next process takes it over; the torn event is in the journal, and comes again."""
    (tmp_path / "events-1.part").write_bytes(b'{"a": 1}\n{"b": 2}\n{"c"')
    (tmp_path / "events-2.part").write_bytes(b'{"torn"')

    open_transport(f"file://{tmp_path}").deliver(records(1))

    assert lines(tmp_path) == [b'{"a": 1}', b'{"b": 2}']


def test_a_full_spool_keeps_events_in_the_journal(begin: Callable[..., None], tmp_path: Path) -> None:
    """The spool has a bound; what is beyond it waits until somebody fetches the files."""
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "old.jsonl").write_bytes(b"x" * 1000)
    begin(url=f"file://{spool}?max_bytes=1000")
    turn()
    assert not fly.flush(0.3)

    (spool / "old.jsonl").unlink()
    assert fly.flush()


def test_forwarding_delivers_once_and_removes_what_is_delivered(
    begin: Callable[..., None], door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day without a network, then the door: all arrives; while the door is shut nothing is removed."""
    spool = tmp_path / "spool"
    begin(url=f"file://{spool}")
    made = [turn() for _ in range(450)]
    assert fly.flush()
    end()
    door.status = 503
    assert main(["forward", str(spool), door.url]) == 2
    assert len(lines(spool)) == 450

    door.status = 200
    assert main(["forward", str(spool), door.url]) == 0

    assert door.ids() == made
    assert list(spool.iterdir()) == []
    assert main(["forward", str(spool), door.url]) == 0
    assert "450 events delivered, 0 refused" in capsys.readouterr().out


def test_forwarding_keeps_what_is_refused(door: Door, tmp_path: Path) -> None:
    """Lines that are no events, or that the door does not take, stay beside as `.refused`."""
    (tmp_path / "a.jsonl").write_bytes(b'not json\n{"type": "x"}\n' + records(1)[0].cloud_event() + b"\n\n")

    assert main(["forward", str(tmp_path), door.url]) == 1

    assert len((tmp_path / "a.refused").read_bytes().splitlines()) == 3
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are people's words: they are not written where another user could have laid the folder."""
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1000 if real else 4242)
    if real == 0:
        os.chown(tmp_path, 1, 1)

    with pytest.raises(Unavailable, match="somebody else"):
        open_transport(f"file://{tmp_path}").deliver(records(1))
