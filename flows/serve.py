"""Serves the flows to Prefect: which there are, when it runs by itself, and what is put right when serving begins.

    turn ▸ hourly            cluster ▶ curate, and an evaluation for every candidate that still waits
    train                    when a turn has built a dataset, where the settings say how (`[train]`)
    maintain ▸ nightly       forget, retire, compact, vacuum, audit
    evaluate-and-promote     when a candidate is registered
    cluster, curate, evaluate, promote    by hand, from the UI

`python -m flows.serve` serves them until it is stopped; each run is a process of its own. Schedules belong to whoever
edits them in the UI: the ones below are only where a deployment begins.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
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
from prefect.states import Completed, Crashed, Failed
from prefect.types.entrypoint import EntrypointType

from flows.cluster.flow import cluster_flow
from flows.context import SERVED_MARK, lake_of, settings_from_environment
from flows.curate.flow import curate_flow
from flows.enlist import enlist
from flows.evaluate.flow import evaluate_flow
from flows.ledger import fold
from flows.maintain.flow import maintain_flow
from flows.prefect_api import PROMOTION, Orchestrator, request_evaluation, request_training, served
from flows.promote.flow import promote_flow
from flows.run import moment, title
from flows.run_process import say_process
from flows.trainer.flow import train_task
from flows.trainer.stage import due
from flows.turn import registered_at, turn
from schemas.errors import NotEnoughData
from streams.lake.lease import host_name, is_alive

_log = logging.getLogger(__name__)

POLL_S = 2.0
"""How soon a run that was asked for starts; Prefect's own ten seconds feel broken to whoever has just clicked."""
TRAINING_FAILED = "TrainingFailed"
"""State of a training that gave no model: it stands by itself, and no turn waits for it."""
RUNS_AT_ONCE = 4
"""Over all deployments: a run is a process of some hundred megabytes."""
AT_WORK = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
"""States that only a live process can leave."""
STARTS_WITHIN = timedelta(minutes=10)
"""A run that has said nothing of its process for so long never got one: its server's process was killed."""


def _turn_name() -> str:
    return title("turn", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="turn", flow_run_name=_turn_name, persist_result=False, on_running=[say_process])
def turn_flow(application: str | None = None, as_of: str | None = None) -> Any:
    """Cluster, curate, and ask for an evaluation of every candidate that still waits for one."""
    settings = settings_from_environment(application=application)
    instant = moment(as_of, flow_run.scheduled_start_time)
    lake = lake_of(settings)
    for candidate in fold(lake, settings.application).waiting:
        request_evaluation(settings, candidate.id, instant.isoformat())
    known = {"application": settings.application, "as_of": instant.isoformat()}
    try:
        summary = turn(
            lake, settings, instant, {"cluster": lambda: cluster_flow(**known), "curate": lambda: curate_flow(**known)}
        )
    except NotEnoughData as nothing:
        return Completed(name="NothingToDo", message=str(nothing))
    if due(lake, settings):
        request_training(settings, instant.isoformat())
    return summary


def _training_name() -> str:
    return title("train", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="train", flow_run_name=_training_name, persist_result=False, on_running=[say_process])
def train_and_register_flow(application: str | None = None) -> Any:
    """Train a model on the newest dataset and register it, which asks for its evaluation."""
    settings = settings_from_environment(application=application)
    outcome = train_task(settings.application)
    if outcome.failed:
        return Failed(name=TRAINING_FAILED, message=f"{outcome.status}: {outcome.reason}")
    if outcome.status != "trained":
        return Completed(name="NothingToDo", message=f"{outcome.status}: {outcome.reason}")
    candidate = enlist(lake_of(settings), settings, outcome.key, datetime.now(UTC))
    return {"train": msgspec.to_builtins(outcome), "candidate": candidate.id if candidate else None}


def _judging_name() -> str:
    return title("evaluate-and-promote", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="evaluate-and-promote", flow_run_name=_judging_name, persist_result=False, on_running=[say_process])
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
        place = served(PROMOTION, settings.application)
        Orchestrator.of(settings).start(place, {"evaluation_id": evaluation_id, **known}, evaluation_id)
        return Completed(name="AwaitingApproval", message=f"evaluation {evaluation_id} waits for a person's word")
    return {"evaluate": evaluation, "promote": promote_flow(evaluation_id, **known)}


Served = tuple[Flow[..., Any], Schedule | None]
"""A flow, and the schedule that its deployment begins with."""
SERVED: tuple[Served, ...] = (
    (turn_flow, Cron("0 * * * *", timezone="UTC", slug="hourly")),
    (evaluate_and_promote_flow, None),
    (train_and_register_flow, None),
    (maintain_flow, Cron("30 3 * * *", timezone="UTC", slug="nightly")),
    (cluster_flow, None),
    (curate_flow, None),
    (evaluate_flow, None),
    (promote_flow, None),
)
EARLIER = (
    "turn/scheduled", "evaluate-and-promote/on-registration", "maintain/scheduled", "cluster/by-hand",
    "curate/by-hand", "evaluate/by-hand", "promote/by-hand",
)  # fmt: skip
"""Names of deployments before they carried the application: they would go on planning runs that nobody takes."""


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = settings_from_environment()
    mark = settings.home_path / SERVED_MARK
    mark.unlink(missing_ok=True)
    deployments = asyncio.run(prepare(settings.application))
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    later = threading.Timer(STARTS_WITHIN.total_seconds() + 1, lambda: asyncio.run(sweep(settings.application)))
    later.daemon = True
    later.start()
    serve(*deployments, pause_on_shutdown=False, print_starting_message=False, limit=RUNS_AT_ONCE, query_seconds=POLL_S)


async def prepare(application: str) -> list[RunnerDeployment]:
    """The deployments to serve, registered, after what an earlier process left as running has been called crashed.

    A deployment that the server knows keeps its schedules and its pause switch as a person left them.
    """
    async with get_client() as client:
        deployments = [await deployment_of(client, *each, application) for each in SERVED]
        for deployment in deployments:
            await deployment.aapply()
        for name in {*EARLIER} - {deployment.full_name for deployment in deployments}:
            if (left := await find(client, name)) is not None:
                await client.delete_deployment(left)
    await sweep(application)
    return deployments


async def sweep(application: str) -> None:
    """Call crashed what is cut off. Again when a run that never got a process has had the time for it."""
    async with get_client() as client:
        await _sweep(client, [served(each.name, application) for each, _ in SERVED])


async def deployment_of(
    client: PrefectClient,
    flow: Flow[..., Any],
    schedule: Schedule | None,
    application: str,
    job_variables: dict[str, Any] | None = None,
) -> RunnerDeployment:
    """The deployment of a flow for an application, to be registered; `job_variables` for a work pool."""
    name = served(flow.name, application)
    known = await find(client, name) is not None
    deployment = await flow.ato_deployment(
        name.partition("/")[2],
        schedule=None if known else schedule,
        concurrency_limit=1,
        parameters={"application": application},
        job_variables=job_variables,
        description=flow.description,
        tags=["llm-flywheel", application],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    if known:  # a field that is not set is not sent, and what is not sent is kept
        deployment.model_fields_set.difference_update({"schedules", "paused"})
    return deployment


async def _sweep(client: PrefectClient, names: Sequence[str]) -> None:
    """A run whose process was killed stays RUNNING for ever and holds its deployment's one place: call it crashed.

    Only where its process was one of this machine and is no more, or never was: others may serve the same flows, and
    their runs are theirs.
    """
    ids = [found for name in names if (found := await find(client, name)) is not None]
    if not ids:
        return
    cut_off = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(AT_WORK)))),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=ids)),
    )
    for run in cut_off:
        since = run.state.timestamp if run.state else run.created
        if not is_gone(run.infrastructure_pid, since, datetime.now(UTC)):
            continue
        _log.warning("run %s was cut off by a stop or a crash; it is marked as crashed", run.name)
        await client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)


def is_gone(process: str | None, since: datetime | None, now: datetime) -> bool:
    """Whether a run's process, as `say_process` told it, is known to be no more; `since`: of its state."""
    if not process:
        return since is None or now - since > STARTS_WITHIN
    host, _, number = process.rpartition(" ")
    return host == host_name() and not is_alive(int(number))


async def find(client: PrefectClient, name: str) -> Any:
    """The id of the deployment `flow/deployment`; None where the server knows none."""
    try:
        return (await client.read_deployment_by_name(name)).id
    except ObjectNotFound:
        return None


if __name__ == "__main__":
    from flows.serve import main as serve_flows  # a run finds its flow by this module's own name, not by `__main__`

    serve_flows()
