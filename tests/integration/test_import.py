"""`flywheel import` through a real Kafka into the lake: twice is once, and a dry run sends nothing."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from flows.cli import app
from tests.support.kafka import Ingest

ROWS = [
    {"id": f"o{n}", "trace_id": f"t{n}", "type": "GENERATION", "start_time": "2026-03-01T10:00:00Z",
     "input": f"Why {n}?",
     "output": "Because.", "model": "m", "session_id": f"s{n}"}
    for n in range(20)
] + [
    {"id": f"sc{n}", "trace_id": f"t{n}", "name": "helpful", "data_type": "BOOLEAN", "value": n % 2, "source": "API",
     "timestamp": "2026-03-01T10:05:00Z"}
    for n in range(25)
]  # fmt: skip


def test_an_export_is_imported_once(ingest: Ingest, tmp_path: Path) -> None:
    """Counted first, then sent twice: each row is in the lake's view once, and its feedback finds it."""
    file = tmp_path / "export.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers,
        "FLYWHEEL_HOME": ingest.settings.home,
    }
    command = ["import", "langfuse", str(file)]

    said = [CliRunner(env=environment).invoke(app, [*command, *more]) for more in (["--dry-run"], [], [])]
    ingest.archive()

    assert [each.exit_code for each in said] == [0, 0, 0]
    assert "20 interactions and 20 feedback events would be sent" in said[0].stderr
    assert "no_target" in said[0].stderr
    assert "20 interactions and 20 feedback events sent" in said[2].stderr
    asked = {row["id"] for row in ingest.stored("interactions")}
    assert len(asked) == 20
    assert {row["interaction_id"] for row in ingest.stored("feedback")} == asked
    assert ingest.stored("dead_letters") == []
