"""The stage under a real Prefect server."""

from __future__ import annotations

import hashlib

import pytest
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from flows.curate.flow import curate_flow
from flows.testing.events import interaction
from flows.testing.world import World


@pytest.mark.integration
def test_a_flow_run_leaves_its_cards_as_artifacts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run returns the summary and shows both cards; a second run of the same moment is the same run."""
    texts = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(40)]
    events = [
        interaction(n, user_id=f"u-{n}", input_messages=[{"role": "user", "content": text}])
        for n, text in enumerate(texts)
    ]
    world.happened(*events)
    world.judged({event.id: "ok" for event in events})
    monkeypatch.setenv("FLYWHEEL_HOME", world.settings.home)
    monkeypatch.setenv("FLYWHEEL_CURATE_PARAPHRASE", "1")
    monkeypatch.setenv("FLYWHEEL_CURATE_HOLD_BACK", "0")
    with prefect_test_harness(server_startup_timeout=240):
        summary = curate_flow(as_of="2026-02-01T00:00:00+00:00")
        again = curate_flow(as_of="2026-02-01T00:00:00+00:00")
        card = Artifact.get("dataset-training")
        items = Artifact.get("dataset-eval")
        with get_client(sync_client=True) as client:
            names = {run.name for run in client.read_flow_runs()}

    assert summary == again
    assert summary["training"]["sft_rows"] + summary["eval"]["eval_rows"] == 40
    assert card.description == summary["training"]["path"]
    assert f"Version `{summary['training']['version']}`" in card.data
    assert names == {"curate 2026-02-01 00:00"}  # not `fine-boar`
    assert "other rows are another version" in card.data  # a paragraph a line
    assert f"| eval/test | {summary['eval']['eval_rows']} |" in items.data
