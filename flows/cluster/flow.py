"""The cluster stage as a Prefect flow: what `stage.py` does, with its list and its report as artifacts."""

from __future__ import annotations

from typing import Any

import msgspec
from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from flows.cluster.catalogue.report import publish
from flows.cluster.stage import cluster
from flows.cluster.state import clusters_of
from flows.context import lake_of, settings_from_environment
from flows.markdown import text
from flows.run import latest, moment, title
from flows.run_process import say_process
from schemas.records import Cluster

__all__ = ["cluster", "cluster_flow"]


def _name() -> str:
    return title("cluster", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="cluster", flow_run_name=_name, persist_result=False, on_running=[say_process])
def cluster_flow(application: str | None = None, as_of: str | None = None) -> dict[str, Any]:
    """Find out what goes wrong in production, and which of it is new."""
    settings = settings_from_environment(application=application)
    instant = moment(as_of, flow_run.scheduled_start_time)
    lake = lake_of(settings)
    summary = cluster(lake, settings, instant)
    run = latest(lake, "cluster", settings.application)
    living = [one for one in clusters_of(lake, run.run_id) if not one.alias_of] if run else []
    if run:
        _, address = publish(lake, run, settings)
        create_link_artifact(address, key="clusters-report", description=f"Clusters of {settings.application}")
    if audited := str(summary.audit):
        create_markdown_artifact(text(audited), key="failure-rate", description=f"Audit of {settings.application}")
    create_table_artifact(_table(living), key="clusters", description=f"Clusters of {settings.application}")
    return dict(msgspec.to_builtins(summary))


def _table(clusters: list[Cluster]) -> list[dict[str, str | int]]:
    """Without examples: what people said must be forgotten where they ask for it, and Prefect keeps its artifacts.

    Prefect's UI renders cells as Markdown, so names are escaped.
    """
    return [
        {
            "cluster": cluster.cluster_id,
            "name": text(f"{cluster.name} (pinned)" if cluster.pinned else cluster.name),
            "status": cluster.status,
            "failures": cluster.size,
            "of interactions": "" if cluster.rate is None else f"{cluster.rate:.2%}",
            "ever": cluster.size_total,
        }
        for cluster in clusters
    ]
