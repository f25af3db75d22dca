"""Evaluate as a Prefect flow: what `stage.py` does, triggered by a candidate, with its tables as artifacts."""

from __future__ import annotations

from typing import Any

import msgspec
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.context import lake_of, settings_from_environment
from flows.evaluate.report import markdown, rows
from flows.evaluate.runner import Progress
from flows.evaluate.stage import evaluate
from flows.evaluations import evaluation_of
from flows.names import cluster_names
from flows.run import moment, title
from flows.run_process import say_process

__all__ = ["evaluate", "evaluate_flow"]


def _name() -> str:
    return title("evaluate", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="evaluate", flow_run_name=_name, persist_result=False, on_running=[say_process])
def evaluate_flow(
    candidate_id: str | None = None, application: str | None = None, as_of: str | None = None
) -> dict[str, Any]:
    """Compare a candidate (default: the newest that waits) with the champion on the eval set that decides about it."""
    settings = settings_from_environment(application=application)
    instant = moment(as_of, flow_run.scheduled_start_time)
    lake = lake_of(settings)
    summary = evaluate(lake, settings, instant, candidate_id, _teller())
    comparison = evaluation_of(lake, settings.application, summary.evaluation_id).comparison
    names = cluster_names(lake, settings.application)
    on = f"on eval set {comparison.measured_on}"
    create_markdown_artifact(
        markdown(comparison, names), key="comparison", description=f"Evaluation of {summary.candidate} {on}"
    )
    create_table_artifact(
        rows(comparison, names), key="comparison-slices", description=f"Candidate against champion by slice, {on}"
    )
    return dict(msgspec.to_builtins(summary))


def _teller() -> Any:
    """Logs progress at every tenth."""
    logger, told = get_run_logger(), 0

    def tell(progress: Progress) -> None:
        nonlocal told
        if (tenth := 10 * progress.done // max(1, progress.total)) > told:
            told = tenth
            logger.info("%s of %s answers, %s unscored", progress.done, progress.total, progress.unscored)

    return tell
