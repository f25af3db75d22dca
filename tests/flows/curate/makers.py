"""Examples made by hand, for the pure modules of the curate stage."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from schemas.records import Example
from tests.conftest import START


def example(n: int, text: str, **fields: Any) -> Example:
    """The n-th example: an accepted answer to `text`, unless `fields` say otherwise."""
    base = Example(
        interaction_id=f"i-{n:04d}",
        unit=f"unit-{n}",
        prompt=json.dumps([{"role": "user", "content": text}]),
        answer=json.dumps([{"role": "assistant", "content": f"answer {n}"}]),
        text=text,
        origin="accepted",
        score=0.9,
        time=START,
    )
    return msgspec.structs.replace(base, **fields)
