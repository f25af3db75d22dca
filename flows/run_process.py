"""Which process a Prefect run has: told when it begins, so that whoever serves knows which runs are cut off.

Go on to `serve.py`, which sweeps.
"""

from __future__ import annotations

import os
from typing import Any

from prefect.client.orchestration import get_client

from streams.lake.lease import host_name
from streams.logs import tell_ids

LOGGERS = ("flows", "prefect.flow_runs", "prefect.task_runs")
"""Those that Prefect has given handlers of their own."""


def say_process(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 as Prefect calls it
    """A hook `on_running`: write the run's host and process number beside it, where Prefect's workers write theirs.

    And from here on every line of the process's log carries the run's id: the outermost one's, where flows call flows.
    A run of a work pool is its worker's, who has written where it is, to be able to cancel it.
    """
    if flow_run.parent_task_run_id is None:
        tell_ids({"flow_run": str(flow_run.id)}, *LOGGERS)
    if flow_run.work_pool_name:
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, infrastructure_pid=f"{host_name()} {os.getpid()}")
