"""Examples that a prompt puts before a conversation are neither what was asked nor what an agent did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from flows import ledger
from flows.testing.events import START
from schemas.records import make_candidate

CALL = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
FEW: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "how do I reset my password?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "Error: no such page"},
    {"role": "assistant", "content": "Ask the desk."},
]


def test_a_short_request_is_not_about_the_prompts_examples(world: Any, make: Any) -> None:
    """A greeting that went wrong: as it was captured it follows a password, once the prompt is known it does not."""
    row = make.asked(1, input_messages=[*FEW, {"role": "user", "content": "hi there"}])
    world.happened(row, make.said(row))
    world.judge(1)
    before = world.outcomes()[row.id]
    candidate = make_candidate("m", "http://a/v1", prompt_version="few", prompt_messages=FEW)
    fields: Any = {"id": str(UUID(int=1)), "time": START + timedelta(days=1)}
    ledger.append(world.lake, world.settings.application, "registered", candidate, **fields)

    world.judge(2)
    after = world.outcomes()[row.id]

    assert (before["text"], before["mode"]) == ("how do I reset my password?\nhi there", "gave_up:look_up")
    assert (after["text"], after["mode"]) == ("hi there", "answer:short")
    assert world.judge(3).rows.count == 0
