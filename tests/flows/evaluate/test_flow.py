"""The evaluation under a real Prefect server."""

from __future__ import annotations

import shlex
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness

from flows import ledger
from flows.evaluate.flow import evaluate_flow
from flows.evaluate.server import keep
from flows.seal import seal_of
from schemas.records import make_candidate

SCRIPT = Path(__file__).parents[2] / "support" / "served.py"


@pytest.mark.integration
def test_a_flow_run_leaves_its_tables_as_artifacts(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run returns the summary, shows the comparison, and a second run of the same moment asks nothing."""
    bench.freeze(40)
    _, new = bench.enlist()
    monkeypatch.setenv("FLYWHEEL_HOME", bench.settings.home)
    monkeypatch.setenv("FLYWHEEL_LAKE", bench.lake.root)
    monkeypatch.setenv("FLYWHEEL_EVALUATE_EVAL_SET", "all")
    with prefect_test_harness(server_startup_timeout=240):
        summary = evaluate_flow(candidate_id=new.id, as_of="2026-01-06T00:00:00+00:00")
        again = evaluate_flow(candidate_id=new.id, as_of="2026-01-06T00:00:00+00:00")
        text = Artifact.get("comparison")
        table = Artifact.get("comparison-slices")

    assert summary == again
    assert summary["scores"] == {"candidate": 1.0, "champion": 0.5}
    assert len(bench.endpoint.seen) == 80
    assert "| **all items** | 40 | 0.500 | 1.000 | +0.500 |" in text.data
    assert '"slice": "cluster-0"' in table.data


@pytest.mark.integration
def test_a_flow_run_serves_a_candidate_by_its_command(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is what starts the command, in whichever thread Prefect runs it, and nothing of it is left."""
    bench.freeze(8)
    bench.enlist()
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    served = make_candidate("better", f"http://127.0.0.1:{port}/v1")
    ledger.register(bench.lake, bench.application, served, time=bench.as_of, seal=seal_of(bench.settings))
    keep(bench.settings.home_path, served.id, shlex.join([sys.executable, str(SCRIPT), str(port)]), Path.cwd())
    monkeypatch.setenv("FLYWHEEL_HOME", bench.settings.home)
    monkeypatch.setenv("FLYWHEEL_LAKE", bench.lake.root)
    monkeypatch.setenv("FLYWHEEL_EVALUATE_EVAL_SET", "all")
    with prefect_test_harness(server_startup_timeout=240):
        summary = evaluate_flow(candidate_id=served.id, as_of="2026-01-06T00:00:00+00:00")

    assert summary["scores"] == {"candidate": 1.0, "champion": 0.5}
    with socket.socket() as opened:
        assert opened.connect_ex(("127.0.0.1", port)) != 0
