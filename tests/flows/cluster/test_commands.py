"""`flywheel cluster`: what a person sees after two runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.run import runs
from streams.lake.maintain import delete_rows


@pytest.fixture
def two_runs(world: Any) -> Any:
    """A world with an old kind of failure, and on the second day a new one, with markup in it."""
    world.failures(0, "card", 60)
    world.run()
    world.failures(90_000, "password", 60)
    world.happened()
    world.run(days=2)
    return world


def flywheel(world: Any, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["--home", world.settings.home, "cluster", *arguments])


def test_clusters_can_be_listed_shown_and_compared(two_runs: Any) -> None:
    """The list as a table and as JSON, one cluster by the beginning of its id, and what a run changed."""
    rows = json.loads(flywheel(two_runs, "list", "--json").stdout)
    listed = flywheel(two_runs, "list")
    shown = flywheel(two_runs, "show", rows[0]["cluster_id"][:8])
    changes = json.loads(flywheel(two_runs, "diff", "--json").stdout)

    assert {row["cluster_id"] for row in rows} == {cluster.cluster_id for cluster in two_runs.clusters()}
    assert listed.exit_code == 0
    assert "120 of 120 interactions failed" in listed.stdout
    assert rows[0]["cluster_id"] in shown.stdout
    assert {event["event"] for event in changes["events"]} == {"born", "resolved"}  # nobody asked about cards again


def test_the_last_two_runs_are_compared_by_number(two_runs: Any) -> None:
    """`-2 -1` are runs, not options; events say which cluster by its name."""
    told = flywheel(two_runs, "diff", "-2", "-1")
    names = {one.cluster_id: one.name for one in two_runs.clusters()}

    assert told.exit_code == 0, told.output
    assert told.output == flywheel(two_runs, "diff").output
    born = next(event.cluster_id for event in two_runs.events() if event.event == "born")
    assert f"born: {born} ({names[born]})" in told.output


def test_the_report_is_one_file_that_calls_nobody(two_runs: Any, make: Any) -> None:
    """The HTML report needs no network and shows strangers' text as text."""
    rows = [make.asked(200_000 + i, f"my card <script>alert({i})</script> was stolen") for i in range(30)]
    two_runs.happened(*rows, *[make.said(row) for row in rows])
    two_runs.run(days=3)

    page = Path(flywheel(two_runs, "report").stdout.strip()).read_text("utf-8")

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_unknown_ids_are_explained(two_runs: Any) -> None:
    """A wrong id names the command that lists the right ones."""
    result = flywheel(two_runs, "show", "nothing-like-it")

    assert result.exit_code != 0
    assert "flywheel cluster list" in str(result.exception)


def test_a_list_that_is_no_longer_kept_is_not_called_empty(two_runs: Any) -> None:
    """Of old days one list stays: comparing with another one says so."""
    first = runs(two_runs.lake, "cluster", "support-bot")[0]
    delete_rows(two_runs.lake, "clusters", pc.field("run_id") == first.run_id)

    result = flywheel(two_runs, "diff")

    assert result.exit_code != 0
    assert "no longer kept" in str(result.exception)
