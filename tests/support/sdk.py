"""The SDK in a test: its end, one interaction, and records without one."""

from __future__ import annotations

from typing import Any

import llm_flywheel as fly
from llm_flywheel import client, context
from llm_flywheel.record import Record


def end() -> None:
    """The process of the SDK is over."""
    if (running := client.client()) is not None:
        running.close(timeout_s=30)  # a loaded machine is no fault
    client._client = None
    context._last.set(None)
    context._places.clear()


def turn(text: str = "hello", **fields: Any) -> str:
    """One interaction; its id."""
    with fly.interaction(model="m", messages=text, **fields) as it:
        it.output("an answer")
    return it.id


def records(n: int, size: int = 20) -> list[Record]:
    """Records that differ."""
    return [Record("llm.feedback.v1", f"id-{i}", "c\n1", "t", b'{"x":"' + b"x" * size + b'"}') for i in range(n)]
