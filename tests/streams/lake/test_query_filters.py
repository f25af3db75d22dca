"""Filters reach every row, whichever columns carry statistics."""

from __future__ import annotations

from datetime import UTC, datetime

from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import query

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_a_filter_on_a_column_without_statistics_finds_its_rows(lake: Lake) -> None:
    """Only a few columns carry file statistics; a filter on any other still sees all rows."""
    row = {"run_id": "r", "stage": "cluster", "application": "support-bot", "as_of": NOW, "versions": "{}",
           "settings_hash": "s", "code_version": "c"}  # fmt: skip
    publish(lake, "runs", to_rows("runs", [row]), "r")
    sql = "SELECT run_id FROM runs WHERE application = $application AND stage = 'cluster'"

    found = query(lake, sql, lake.versions(["runs"]), {"application": "support-bot"})

    assert found.to_pylist() == [{"run_id": "r"}]
