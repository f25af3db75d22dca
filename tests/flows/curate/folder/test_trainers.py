"""TRL's own trainers take two steps on an exported folder as it is, with a tiny model made from nothing.

Needs a Python that has TRL (`make .venv-lm/.installed`); skipped without. No weights are fetched: chance draws them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.curate.folder.folder import write
from flows.curate.folder.recipes import COLUMNS
from schemas.records import Example
from tests.support import trainers
from tests.support.examples import FACTS, example, pair

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
PROGRAM = Path(trainers.__file__).with_name("two_steps.py")
TAKEN = {
    "completion": COLUMNS["sft"], "sft": ["messages"], "preference": COLUMNS["preference"], "kto": COLUMNS["kto"]
}  # fmt: skip
"""Config → the columns that its trainer reads."""


def calling(n: int) -> Example:
    """A call of a tool, beside a wrong one."""

    def call(order: int) -> str:
        made = {"id": "1", "function": {"name": "refund", "arguments": {"order": order}}}
        return json.dumps([{"role": "assistant", "content": "", "tool_calls": [made]}])

    tools = json.dumps([{"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}])
    return example(n, f"refund {n}", answer=call(n), rejected=call(n + 1), origin="correction", tools=tools)


MAKERS: dict[str, Callable[[int], Example]] = {"texts": pair, "calls": calling}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """Of each kind of rows in each form; one start of PyTorch for all of them."""
    trainers.python()
    place = tmp_path_factory.mktemp("trained")
    cases = {}
    for kind, make in MAKERS.items():
        parts = {(config, "train"): [make(n) for n in range(8)] for config in TAKEN}
        folder = write(place / kind, "all-training", parts, FACTS).path
        for config, columns in TAKEN.items():
            cases[kind, config] = {"folder": str(folder), "config": config, "columns": columns}
    return dict(zip(cases, trainers.run(PROGRAM, json.dumps(list(cases.values())), cwd=place), strict=True))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("config", TAKEN)
def test_two_steps_are_taken(results: dict[tuple[str, str], dict[str, Any]], config: str, kind: str) -> None:
    """The loss is a number, and the weights have moved; with calls of tools and without."""
    found = results[kind, config]
    assert found["steps"] == 2
    assert math.isfinite(found["loss"])
    assert found["moved"]
    if config == "completion":  # the answer alone is learned
        assert "user" not in found["learned"]
        assert found["learned"].strip()
