"""`flywheel turn`: one turn of the wheel, under Prefect or in this process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.prefect_api import TURN, Orchestrator, page_of
from flows.terminal import Terminal, pairs
from flows.turn import turn as turn_here
from schemas.errors import UsageError
from schemas.settings import Settings


def turn(
    context: typer.Context,
    as_of: Annotated[
        str | None, typer.Option(help="The instant that windows end at, ISO 8601 with its offset; default: now.")
    ] = None,
    prefect: Annotated[
        bool, typer.Option("--prefect/--no-prefect", help="Ask the Prefect server, or work in this process.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Cluster the failures and build the datasets, now instead of at the next scheduled time."""
    settings = settings_of(context)
    moment = _instant(as_of)
    terminal = Terminal(stderr=True)
    if prefect and (url := _asked(settings, moment)):
        if as_json:
            print_json({"run": url})
        else:
            Terminal().say(f"turn started: {url}")
        return
    if prefect:
        terminal.say("No Prefect server answers, so the turn is made in this process.", style="dim")
    summary = turn_here(lake_of(settings), settings, moment)
    if as_json:
        print_json(summary)
    else:
        _show(Terminal(), summary)


def _asked(settings: Settings, moment: datetime) -> str | None:
    """The page of the run that was started, or None where nobody took the order."""
    known = {"application": settings.application, "as_of": moment.isoformat()}
    run = Orchestrator.of(settings).start(TURN, known, f"turn:{settings.application}:{moment.isoformat()}")
    return None if run is None else page_of(settings, run)


def _instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--as-of {text!r} is not a time: {error}") from error
    if moment.tzinfo is None:
        raise UsageError(f"--as-of {text!r} has no offset: write for example {text}Z")
    return moment


def _show(terminal: Terminal, summary: dict[str, Any]) -> None:
    for stage, found in summary.items():
        plain = {name: value for name, value in found.items() if isinstance(value, str | int | float)}
        terminal.say((stage, "bold"), f": {pairs(plain)}")
