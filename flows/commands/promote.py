"""`flywheel promote`: decide on a finished evaluation, and approve where a person's word is asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from flows.commands.announcing import announce_or_say, tell_later
from flows.commands.shared import AsJson, identity, print_json, settings_of
from flows.context import lake_of
from flows.evaluate.stage import newest
from flows.names import cluster_names
from flows.promote.report import markdown
from flows.promote.stage import Approval, Summary, promote
from flows.terminal import Terminal
from schemas.errors import UsageError
from schemas.records import Verdict
from schemas.settings import Settings


def promote_command(
    context: typer.Context,
    evaluation: Annotated[str | None, typer.Argument(help="Id of a finished evaluation; default: the newest.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Say yes, where `gate.approval` asks.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Say no, where `gate.approval` asks.")] = False,
    reviewer: Annotated[str, typer.Option(help="Who says so; default: the name of your account.")] = "",
    comment: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    as_json: AsJson = False,
) -> None:
    """Decide on an evaluation: verdict, ledger row, announcement. Deciding it again changes nothing."""
    settings = settings_of(context)
    lake = lake_of(settings)
    approval = _approval(approve, reject, reviewer, comment)
    name = evaluation or newest(lake, settings.application)
    summary = promote(lake, settings, datetime.now(UTC), name, tell_later, approval)
    announce_or_say(lake, settings)
    if as_json:
        print_json(summary)
    else:
        _show(summary, settings, cluster_names(lake, settings.application))


def _approval(approve: bool, reject: bool, reviewer: str, comment: str) -> Approval | None:
    if approve and reject:
        raise UsageError("--approve and --reject exclude each other")
    if not approve and not reject:
        return None
    word: Literal["promote", "reject"] = "promote" if approve else "reject"
    return Approval(word, reviewer or identity(), comment)


def _show(summary: Summary, settings: Settings, names: dict[str, str]) -> None:
    verdict = Verdict(summary.verdict, summary.reasons, settings.gate.policy)
    terminal = Terminal()
    terminal.markdown(markdown(verdict, summary.candidate, summary.against, summary.eval_set, names))
    serving = summary.champion.model if summary.champion else "nobody"
    terminal.say(f"{summary.action.replace('_', ' ')}; {serving} serves")
    if summary.action == "awaiting_approval":
        terminal.say("Answer with `flywheel promote --approve` or `--reject`, or in the Prefect UI.")
