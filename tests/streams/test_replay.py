"""A file that is no file of events is told once a kind, with the next step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.commands.replay import _lines, _next
from flows.testing.events import event_id
from streams.replay import FAULTS, Replayed, replay


class Sent(list[Any]):
    """A producer that keeps what it is to send."""

    def send_bytes(self, *what: Any) -> None:
        self.append(what)

    def flush(self) -> None:
        """All is here already."""


def replayed(tmp_path: Path, lines: list[str]) -> Replayed:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines))
    return replay(file, Sent(), None)  # type: ignore[arg-type]


def test_thirteen_thousand_lines_of_another_format_are_one_fault(tmp_path: Path) -> None:
    """The first lines by number, the others counted, and what to say about their type."""
    result = replayed(tmp_path, ['{"text": "hello", "label": "greeting"}'] * 13_083)

    (fault,) = result.faults.values()
    assert (result.sent, result.bad, fault.count) == (0, 13_083, 13_083)
    assert _lines(fault) == "lines 1, 2, 3 and 13080 more"
    assert "--type llm.interaction.v1" in _next(result)


def test_faults_of_several_kinds_are_told_apart(tmp_path: Path) -> None:
    """Up to a limit: a file can be wrong in as many ways as it has lines."""
    good = {"type": "llm.feedback.v1", "id": event_id(1), "time": "2026-01-05T09:00:00Z", "application": "a",
            "conversation_id": "c", "interaction_id": event_id(2), "kind": "thumb", "value": 1}  # fmt: skip
    result = replayed(tmp_path, [json.dumps(good), "{", json.dumps({"type": "x"}), "{"])

    assert result.sent == 1
    assert [fault.numbers for fault in result.faults.values()] == [[2, 4], [3]]
    assert _next(result).startswith("The others were sent")
    many = replayed(tmp_path, [json.dumps({"type": f"t{n}"}) for n in range(FAULTS + 5)])
    assert (many.bad, len(many.faults)) == (FAULTS + 5, FAULTS)


@pytest.mark.parametrize("line", ["nonsense", '"text"', "3"])
def test_a_file_with_nothing_in_it_leads_to_the_contract(tmp_path: Path, line: str) -> None:
    """Nothing was sent: where it stands what a line looks like."""
    assert "docs/contracts.md" in _next(replayed(tmp_path, [line]))
