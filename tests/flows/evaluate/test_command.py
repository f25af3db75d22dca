"""`flywheel evaluate`, as a person or a pipeline calls it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app


@pytest.fixture
def flywheel(bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A person's shell on the bench's data root."""
    monkeypatch.chdir(tmp_path)
    environment = {"FLYWHEEL_LAKE": bench.lake.root, "COLUMNS": "200"}
    return lambda *words: CliRunner(env=environment).invoke(app, ["--home", bench.settings.home, *words])


def test_the_comparison_is_shown(bench: Any, flywheel: Any) -> None:
    """A table for people; the same run again asks nothing and shows the same."""
    bench.freeze(40)
    bench.enlist()

    first = flywheel("evaluate", "--as-of", "2026-01-06")
    again = flywheel("evaluate", "--as-of", "2026-01-06")

    assert first.exit_code == 0, first.output
    assert "+0.500" in first.stdout
    assert again.stdout == first.stdout
    assert len(bench.endpoint.seen) == 80


def test_programs_get_json(bench: Any, flywheel: Any) -> None:
    """One object on standard output, and nothing else there."""
    bench.freeze(4)
    _, new = bench.enlist()

    shown = flywheel("evaluate", new.id, "--json")

    assert json.loads(shown.stdout)["scores"] == {"candidate": 1.0, "champion": 0.5}
