"""Temporal: an activity turns the wheel, the workflow waits for the decision and rolls out.

Start it with an application's name; send the signal `decided` with the model that a decision names.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    import llm_flywheel as fly
    from llm_flywheel.ids import NAMESPACE

TURN = ("flywheel", "turn")
"""The command that turns the wheel; the same instant twice is one run, so it may be tried again."""
rolled_out: list[str] = []


@activity.defn
async def turn(application: str) -> None:
    """Turn the wheel; a heartbeat each second tells that this worker lives."""
    process = await asyncio.create_subprocess_exec(*TURN, env={**os.environ, "FLYWHEEL_APPLICATION": application})
    while process.returncode is None:
        activity.heartbeat()
        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=1)
    if process.returncode:
        raise RuntimeError(f"flywheel turn ended with {process.returncode}")


@activity.defn
async def note(interaction: str) -> None:
    """Feedback from a workflow: tried again, it is the same event."""
    at = activity.info()
    once = uuid.uuid5(NAMESPACE, f"{at.workflow_id}\n{at.workflow_run_id}\n{at.activity_id}")
    fly.rule("workflow", passed=True, interaction=interaction, id=str(once))


@activity.defn
async def roll_out(model: str) -> None:
    """Point your gateway or configuration at the model."""
    rolled_out.append(model)


@workflow.defn
class Rollout:
    """One turn, and what comes of it."""

    def __init__(self) -> None:
        self.model: str | None = None

    @workflow.signal
    def decided(self, model: str) -> None:
        """A decision has named a champion."""
        self.model = model

    @workflow.run
    async def run(self, application: str) -> str:
        """The model that was rolled out; empty where nobody decided within a week."""
        await workflow.execute_activity(
            turn, application, start_to_close_timeout=timedelta(hours=6), heartbeat_timeout=timedelta(seconds=30)
        )
        try:
            await workflow.wait_condition(lambda: self.model is not None, timeout=timedelta(days=7))
        except TimeoutError:
            return ""
        await workflow.execute_activity(roll_out, self.model, start_to_close_timeout=timedelta(minutes=5))
        return str(self.model)
