"""Promote as a Prefect flow: what `stage.py` does, with the verdict as artifact and, where asked for, a person's word.

A run that waits for approval is suspended: it holds no process, and starts from the top once somebody has answered the
form in the Prefect UI. Nothing before the form writes anything, and evidence is read again after it.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from flows.announce import Announcer
from flows.context import lake_of, settings_from_environment
from flows.names import cluster_names
from flows.promote.mirror import keep_in_step
from flows.promote.report import markdown
from flows.promote.stage import Approval, Summary, approval_of, promote
from flows.run import moment, title
from flows.run_process import say_process
from schemas.errors import LedgerError, UsageError
from schemas.records import Verdict

__all__ = ["promote", "promote_flow"]

APPROVAL_TIMEOUT_S = 7 * 24 * 3600
"""A week: after that the evidence is old, and the run fails instead of waiting for ever."""


class PromotionForm(RunInput):
    """What the Prefect UI asks; an answer left as it stands promotes nobody."""

    decision: Literal["promote", "reject"] = Field(default="reject", description="Shall the candidate serve?")
    reviewer: str = Field(default="", description="Who decides (Prefect does not know; it is recorded as you say).")
    comment: str = Field(default="", description="Why.")


def _name() -> str:
    return title("promote", flow_run.parameters, flow_run.scheduled_start_time)


@flow(name="promote", flow_run_name=_name, persist_result=False, on_running=[say_process])
def promote_flow(evaluation_id: str, application: str | None = None, as_of: str | None = None) -> dict[str, Any]:
    """Decide on an evaluation; suspended for a person's word where `gate.approval` asks for it."""
    settings = settings_from_environment(application=application)
    instant = moment(as_of, flow_run.scheduled_start_time)
    lake = lake_of(settings)
    names = cluster_names(lake, settings.application)
    with Announcer(settings) as announce:
        summary = promote(lake, settings, instant, evaluation_id, announce)
        if summary.action == "awaiting_approval":
            approval = _ask(evaluation_id, _report(summary, settings.gate.policy, names))
            summary = promote(lake, settings, instant, evaluation_id, announce, approval)
    try:
        keep_in_step(lake, settings)
    except (LedgerError, UsageError) as error:
        get_run_logger().warning("%s", error)
    create_markdown_artifact(
        _report(summary, settings.gate.policy, names), key="verdict", description=f"{summary.action}: {evaluation_id}"
    )
    return dict(msgspec.to_builtins(summary))


def _ask(evaluation_id: str, description: str) -> Approval:
    """A person's word; the run is suspended until there is one."""
    form = suspend_flow_run(
        wait_for_input=PromotionForm.with_initial_data(
            description=description, decision="reject", reviewer="", comment=""
        ),
        timeout=APPROVAL_TIMEOUT_S,
        key=f"approve-{evaluation_id}",
    )
    return approval_of(form.decision, form.reviewer, form.comment)


def _report(summary: Summary, policy: str, names: dict[str, str]) -> str:
    verdict = Verdict(summary.verdict, summary.reasons, policy)
    return markdown(verdict, summary.candidate, summary.against, summary.eval_set, names)
