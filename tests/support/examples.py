"""Examples made by hand, and the facts and worlds that datasets are built from."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from flows.testing.events import START, interaction
from flows.testing.world import World
from schemas.events import Interaction
from schemas.records import Example

FACTS = {
    "as_of": "2026-02-01T00:00:00+00:00", "versions": {"interactions": 1}, "settings_hash": "0" * 64,
    "code_version": "c",
    "settings": {"near_duplicate": 0.85, "paraphrase": 0.75, "paraphrase_margin": 0.15}, "split": {"eval_share": 0.2},
    "guards": 0, "origins": {}, "clusters": {}, "dropped": {}, "redacted": {}, "run_id": "0" * 32,
}  # fmt: skip
WORDS = ["card", "refund", "ticket", "train", "lost", "late", "broken", "invoice", "login", "code", "phone", "bank"]


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


def pair(n: int) -> Example:
    return example(n, f"q {n}", rejected=json.dumps([{"role": "assistant", "content": "bad"}]), origin="correction")


def verdict(n: int) -> Example:
    guard = {"guard": "guardrail:pii", "category": "pii", "passed": True, "right": False, "judged_by": "thumb"}
    return example(n, f"q {n}", guard=json.dumps(guard), origin="guardrail", feedback_id=f"f-{n}")


def parts(rows: list[Example]) -> dict[tuple[str, str], list[Example]]:
    return {("sft", "train"): rows, ("preference", "train"): rows, ("kto", "train"): rows, ("guardrail", "train"): []}


def brute_jaccard(a: str, b: str) -> float:
    """An independent measure: 4-letter grams of the padded text, as Python sets."""
    one, two = ({f" {t} "[i : i + 4] for i in range(len(t) - 1)} for t in (a, b))
    return len(one & two) / len(one | two) if one | two else 1.0


def questions(world: World, count: int) -> list[Interaction]:
    """Interactions that resemble one another in nothing."""
    events = [
        interaction(
            n,
            user_id=f"user-{n}",
            input_messages=[{"role": "user", "content": hashlib.sha256(str(n).encode()).hexdigest()}],
        )
        for n in range(count)
    ]
    world.happened(*events)
    return events
