"""Serves the flows to Prefect: which there are, when it runs by itself, and what is put right when serving begins.

    turn ▸ hourly            cluster ▶ curate, and an evaluation for every candidate that still waits
    maintain ▸ nightly       forget, retire, compact, vacuum, audit
    evaluate-and-promote     when a candidate is registered
    cluster, curate, evaluate, promote    by hand, from the UI

`python -m flows.serve` serves them until it is stopped; each run is a process of its own. Schedules belong to whoever
edits them in the UI: the ones below are only where a deployment begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from prefect import Flow, flow, serve
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.schedules import Cron, Schedule
from prefect.states import Completed, Crashed
from prefect.types.entrypoint import EntrypointType

from flows.cluster.flow import cluster_flow
from flows.context import SERVED_MARK, lake_of, settings_from_environment
from flows.curate.flow import curate_flow
from flows.evaluate.flow import evaluate_flow
from flows.ledger import fold
from flows.maintain.flow import maintain_flow
from flows.prefect_api import EVALUATION, TURN, Orchestrator, request_evaluation
from flows.promote.flow import promote_flow
from flows.run import moment, title
from flows.turn import registered_at, turn
from schemas.errors import NotEnoughData

_log = logging.getLogger(__name__)

POLL_S = 2.0
"""How soon a run that was asked for starts; Prefect's own ten seconds feel broken to whoever has just clicked."""
RUNS_AT_ONCE = 4
"""Over all deployments: a run is a process of some hundred megabytes."""
PROMOTION = "promote/by-hand"
AT_WORK = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
"""States that only a live process can leave."""


def _turn_name() -> str:
    return title("turn", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="turn", flow_run_name=_turn_name, persist_result=False)
def turn_flow(application: str | None = None, as_of: str | None = None) -> Any:
    """Cluster, curate, and ask for an evaluation of every candidate that still waits for one."""
    settings = settings_from_environment(application=application)
    instant = moment(as_of, flow_run.scheduled_start_time)
    lake = lake_of(settings)
    for candidate in fold(lake, settings.application).waiting:
        request_evaluation(settings, candidate.id, instant.isoformat())
    known = {"application": settings.application, "as_of": instant.isoformat()}
    try:
        return turn(
            lake, settings, instant, {"cluster": lambda: cluster_flow(**known), "curate": lambda: curate_flow(**known)}
        )
    except NotEnoughData as nothing:
        return Completed(name="NothingToDo", message=str(nothing))


def _judging_name() -> str:
    return title("evaluate-and-promote", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="evaluate-and-promote", flow_run_name=_judging_name, persist_result=False)
def evaluate_and_promote_flow(candidate_id: str, application: str | None = None, as_of: str | None = None) -> Any:
    """Compare a candidate with the champion and decide."""
    settings = settings_from_environment(application=application)
    instant = moment(as_of, flow_run.scheduled_start_time)
    known = {"application": settings.application, "as_of": instant.isoformat()}
    came = registered_at(lake_of(settings), settings.application, candidate_id)
    try:
        evaluation = evaluate_flow(candidate_id, settings.application, came.isoformat())
    except NotEnoughData as nothing:
        return Completed(name="NothingToDo", message=str(nothing))
    evaluation_id = evaluation["evaluation_id"]
    if settings.gate.approval:  # it suspends, which only a run of its own can
        Orchestrator.of(settings).start(PROMOTION, {"evaluation_id": evaluation_id, **known}, evaluation_id)
        return Completed(name="AwaitingApproval", message=f"evaluation {evaluation_id} waits for a person's word")
    return {"evaluate": evaluation, "promote": promote_flow(evaluation_id, **known)}


SERVED: tuple[tuple[Flow[..., Any], str, Schedule | None], ...] = (
    (turn_flow, TURN.rpartition("/")[2], Cron("0 * * * *", timezone="UTC", slug="hourly")),
    (evaluate_and_promote_flow, EVALUATION.rpartition("/")[2], None),
    (maintain_flow, "scheduled", Cron("30 3 * * *", timezone="UTC", slug="nightly")),
    (cluster_flow, "by-hand", None),
    (curate_flow, "by-hand", None),
    (evaluate_flow, "by-hand", None),
    (promote_flow, "by-hand", None),
)
"""What is served: a flow, its deployment's name, and the schedule that the deployment begins with."""


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    mark = settings_from_environment().home_path / SERVED_MARK
    mark.unlink(missing_ok=True)
    deployments = asyncio.run(prepare(SERVED))
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    serve(*deployments, pause_on_shutdown=False, print_starting_message=False, limit=RUNS_AT_ONCE, query_seconds=POLL_S)


async def prepare(served: Sequence[tuple[Flow[..., Any], str, Schedule | None]]) -> list[RunnerDeployment]:
    """The deployments to serve, registered, after what an earlier process left as running has been called crashed.

    A deployment that the server knows keeps its schedules and its pause switch as a person left them.
    """
    async with get_client() as client:
        deployments = [await _deployment(client, *each) for each in served]
        for deployment in deployments:
            await deployment.aapply()
        await _sweep(client, [f"{each.flow_name}/{each.name}" for each in deployments])
    return deployments


async def _deployment(
    client: PrefectClient, served: Flow[..., Any], name: str, schedule: Schedule | None
) -> RunnerDeployment:
    known = await _find(client, f"{served.name}/{name}") is not None
    deployment = await served.ato_deployment(
        name,
        schedule=None if known else schedule,
        concurrency_limit=1,
        description=served.description,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    if known:  # a field that is not set is not sent, and what is not sent is kept
        deployment.model_fields_set.difference_update({"schedules", "paused"})
    return deployment


async def _sweep(client: PrefectClient, names: Sequence[str]) -> None:
    """A run whose process was killed stays RUNNING for ever and holds its deployment's one place: call it crashed.

    The process that serves is the only one that runs these flows, so when it starts none of them has a live process.
    """
    ids = [found for name in names if (found := await _find(client, name)) is not None]
    if not ids:
        return
    cut_off = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(AT_WORK)))),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=ids)),
    )
    for run in cut_off:
        _log.warning("run %s was cut off by a stop or a crash; it is marked as crashed", run.name)
        await client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)


async def _find(client: PrefectClient, name: str) -> Any:
    try:
        return (await client.read_deployment_by_name(name)).id
    except ObjectNotFound:
        return None


if __name__ == "__main__":
    from flows.serve import main as serve_flows  # a run finds its flow by this module's own name, not by `__main__`

    serve_flows()
