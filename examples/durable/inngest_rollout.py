"""Inngest: one step turns the wheel, one waits for the decision, one rolls out."""

from __future__ import annotations

import datetime
import logging
import os
import subprocess

import inngest

client = inngest.Inngest(app_id="flywheel", logger=logging.getLogger("inngest"), is_production=False)
TURN = ["flywheel", "turn"]
"""The command that turns the wheel; the same instant twice is one run, so it may be tried again."""
rolled_out: list[str] = []


@client.create_function(fn_id="rollout", trigger=inngest.TriggerEvent(event="wheel/turn"))
def rollout(ctx: inngest.ContextSync) -> str:
    """The model that was rolled out; empty where nobody decided within a week."""
    application = str(ctx.event.data["application"])

    def turn() -> None:
        subprocess.run(TURN, check=True, env={**os.environ, "FLYWHEEL_APPLICATION": application})  # noqa: S603 - our own

    ctx.step.run("turn", turn)
    decision = ctx.step.wait_for_event(
        "decision",
        event="llm/decision",
        if_exp="async.data.application == event.data.application",
        timeout=datetime.timedelta(days=7),
    )
    if decision is None:
        return ""
    ctx.step.run("roll out", lambda: rolled_out.append(str(decision.data["model"])))
    return str(decision.data["model"])
