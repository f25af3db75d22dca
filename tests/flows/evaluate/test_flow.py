"""The evaluation under a real Prefect server."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness

from flows.evaluate.flow import evaluate_flow


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
