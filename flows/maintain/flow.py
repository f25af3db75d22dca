"""Maintain as a Prefect flow: what `stage.py` does, on a schedule, with the audit's findings as an artifact."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run

from flows.context import lake_of, settings_from_environment
from flows.maintain.stage import maintain
from flows.run import moment, title
from flows.run_process import say_process

__all__ = ["maintain", "maintain_flow"]


def _name() -> str:
    return title("maintain", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="maintain", flow_run_name=_name, persist_result=False, on_running=[say_process])
def maintain_flow(as_of: str | None = None) -> dict[str, Any]:
    """Forget, retire, compact, vacuum and audit all tables."""
    settings = settings_from_environment()
    instant = moment(as_of, flow_run.scheduled_start_time)
    summary = maintain(lake_of(settings), settings, instant)
    for incident in summary["incidents"]:
        get_run_logger().error("%s in %s: %s", incident["what"], incident["table"], incident["detail"])
    create_table_artifact(
        summary["incidents"] or [{"what": "nothing", "detail": f"{summary['files']} files and all offsets are whole"}],
        key="audit",
        description="Places where the lake is not what it promises",
    )
    return summary
