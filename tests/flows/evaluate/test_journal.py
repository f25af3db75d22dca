"""Answers that were paid for are kept."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluate.answers import Answer, unanswered
from flows.evaluate.journal import Journal
from schemas.errors import FlywheelError, UsageError


def test_answers_are_found_again(tmp_path: Path) -> None:
    """What was put is there after opening anew, under its key."""
    answer = Answer("text\r\nwith lines\u2028", ({"id": "1"},), duration_ms=1.5, input_tokens=3, tries=2)
    with Journal(tmp_path / "deep" / "j.jsonl") as journal:
        journal.put("a", answer)

    with Journal(tmp_path / "deep" / "j.jsonl") as journal:
        assert journal.get("a") == answer
        assert journal.get("b") is None


def test_absences_are_not_kept(tmp_path: Path) -> None:
    """A timeout today says nothing of tomorrow."""
    with Journal(tmp_path / "j") as journal:
        journal.put("a", unanswered("timeout"))
        assert journal.get("a") is None
    assert (tmp_path / "j").read_bytes() == b""


@given(st.integers(0, 200))
@settings(max_examples=60)
def test_a_torn_tail_costs_the_torn_answer_alone(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """[1, 2, TORN: 3] → [1, 2], and what is written next stands on a line of its own."""
    path = tmp_path_factory.mktemp("journal") / "j"
    with Journal(path) as journal:
        for key in "123":
            journal.put(key, Answer(f"answer {key}"))
    content = path.read_bytes()
    path.write_bytes(content[: max(0, len(content) - cut)])
    whole = [key for key in "123" if f'"answer {key}"}}}}\n'.encode() in path.read_bytes()]

    with Journal(path) as journal:
        assert [key for key in "123" if journal.get(key)] == whole
        journal.put("4", Answer("answer 4"))
    with Journal(path) as journal:
        assert [key for key in "1234" if journal.get(key)] == [*whole, "4"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """Damage elsewhere than at the end is no crash of ours, and is not passed over."""
    (tmp_path / "j").write_bytes(b'{"key": "a", "answer": {"output": "x"}}\n{"key": \n{}\n')

    with pytest.raises(UsageError, match="line 2"):
        Journal(tmp_path / "j")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that takes files up to a size and no byte more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_tears_no_line(tmp_path: Path) -> None:
    """[1, FULL: 2, room again: 3] → [1, 3], whole, and a sentence about 2."""
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.put("1", Answer("answer 1"))
        with largest_file(path.stat().st_size + 20), pytest.raises(FlywheelError, match=r"cannot be kept in .*/j: "):
            journal.put("2", Answer("answer 2"))
        assert journal.get("2") is None
        journal.put("3", Answer("answer 3"))

    with Journal(path) as journal:
        assert [key for key in "123" if journal.get(key)] == ["1", "3"]


def test_only_one_process_holds_it(tmp_path: Path) -> None:
    """Two runs of one evaluation at once would pay for everything twice."""
    with Journal(tmp_path / "j"), pytest.raises(UsageError, match="another process"):
        Journal(tmp_path / "j")
    with Journal(tmp_path / "j"):
        pass


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """Answers may repeat what users wrote."""
    with Journal(tmp_path / "j"):
        assert (tmp_path / "j").stat().st_mode & 0o077 == 0
