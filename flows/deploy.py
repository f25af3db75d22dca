"""Registers the flows with a Prefect work pool, whose workers run them: for teams that have one, beside `serve.py`.

A worker starts each run somewhere else: as a process beside it, in a container, as a job of Kubernetes. So a run's
settings travel with its deployment, all but the secrets and the home, which the worker's own surroundings must give.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    temporary_settings,
)

from flows.context import prefect_auth, prefect_key, prefect_url, shareable
from flows.serve import SERVED, deployment_of
from schemas.errors import UsageError
from schemas.settings import Settings

MEMORY_GIB: Mapping[str, int] = {
    "turn": 4, "cluster": 4, "curate": 4, "maintain": 2, "evaluate": 1, "evaluate-and-promote": 1, "promote": 1,
    "train": 8,
}  # fmt: skip
"""What a run of a flow may take, GiB. A turn over 9,000 interactions held 483 MiB, de-duplicating a million texts 1.2
GiB (docs/performance.md), compaction half a GiB a file: room for these at once; larger lakes need to say more."""
RUN_ENVIRONMENT = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "DO_NOT_TRACK": "1",
}
"""What each run is told of Prefect's ways, as by `flywheel up`: results are never pickled."""


def deploy(settings: Settings, pool: str, image: str, memory: Mapping[str, int]) -> list[str]:
    """Register every flow of the settings' application with a work pool; the names of the deployments.

    `image` is the container image of the runs, empty for a pool of processes; `memory` is GiB by flow, where the
    default does not do. Done again it moves image, memory and settings; schedules and the pause switch stay as a person
    left them. Raises UsageError for a pool that is not there, or an image or a flow that does not fit.
    """
    if unknown := sorted(memory.keys() - MEMORY_GIB.keys()):
        raise UsageError(f"no flow is called {unknown[0]!r}: {', '.join(MEMORY_GIB)}")
    given: dict[Any, Any] = {PREFECT_API_URL: prefect_url(settings)}
    if auth := prefect_auth(settings):
        given[PREFECT_API_AUTH_STRING] = auth.reveal()
    if key := prefect_key():
        given[PREFECT_API_KEY] = key.reveal()
    with temporary_settings(given):
        return asyncio.run(_deploy(settings, pool, image, {**MEMORY_GIB, **memory}))


async def _deploy(settings: Settings, pool: str, image: str, memory: Mapping[str, int]) -> list[str]:
    async with get_client() as client:
        try:
            kind = (await client.read_work_pool(pool)).type
        except ObjectNotFound:
            raise UsageError(
                f"there is no work pool {pool!r}: make it with `prefect work-pool create {pool} --type process` "
                "(or docker, or kubernetes)"
            ) from None
        if kind == "process" and image:
            raise UsageError(f"{pool} is a pool of processes, which run the flywheel that is installed beside them")
        if kind != "process" and not image:
            raise UsageError(f"{pool} is a pool of type {kind}: name the image of its runs with --image")
        made = []
        for flow, schedule in SERVED:
            variables = job_variables(kind, image, memory[flow.name], shareable(settings) | RUN_ENVIRONMENT)
            deployment = await deployment_of(client, flow, schedule, settings.application, variables)
            await deployment.aapply(work_pool_name=pool)
            made.append(deployment.full_name)
        return made


def job_variables(kind: str, image: str, gib: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """What a worker of this kind is told of a run, in the words of its pool's own template."""
    told: dict[str, Any] = {"env": dict(environment)}
    if image:
        told["image"] = image
    if kind == "docker":
        told["mem_limit"] = f"{gib}g"
    if kind == "kubernetes":
        told |= {"memory_request": f"{gib}Gi", "memory_limit": f"{gib}Gi"}
    return told
