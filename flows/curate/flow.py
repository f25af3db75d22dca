"""Curate as a Prefect flow: what `stage.py` does, started by a schedule or an event, with its card as an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from flows.context import lake_of, settings_from_environment
from flows.curate.stage import curate
from flows.markdown import unwrapped
from flows.run import moment, title
from flows.run_process import say_process

__all__ = ["curate", "curate_flow"]


def _name() -> str:
    return title("curate", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="curate", flow_run_name=_name, persist_result=False, on_running=[say_process])
def curate_flow(application: str | None = None, as_of: str | None = None) -> dict[str, Any]:
    """Build training and eval datasets, and the sample that decides, as of an instant (default: the start)."""
    settings = settings_from_environment(application=application)
    instant = moment(as_of, flow_run.scheduled_start_time)
    summary = curate(lake_of(settings), settings, instant)
    for part in ("training", "eval", "sample"):
        _, _, body = (Path(summary[part]["path"]) / "README.md").read_text().split("---", 2)
        create_markdown_artifact(unwrapped(body), key=f"dataset-{part}", description=summary[part]["path"])
    return summary
