"""`flywheel turn`: one turn of the wheel, under Prefect or in this process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.prefect_api import TURN, FlowRun, Orchestrator, page_of, served
from flows.run import latest
from flows.terminal import Terminal, pairs, progress, working
from flows.turn import turn as turn_here
from schemas.errors import FlywheelError, NotEnoughData, UsageError
from schemas.settings import Settings


def turn(
    context: typer.Context,
    as_of: Annotated[
        str | None, typer.Option(help="The instant that windows end at, ISO 8601 with its offset; default: now.")
    ] = None,
    prefect: Annotated[
        bool, typer.Option("--prefect/--no-prefect", help="Ask the Prefect server, or work in this process.")
    ] = True,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for Prefect's run to end, or only start it.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Cluster the failures and build the datasets, now instead of at the next scheduled time."""
    settings = settings_of(context)
    moment = _instant(as_of)
    terminal = Terminal(stderr=True)
    run = _asked(settings, moment) if prefect else None
    if run is not None and not wait:
        page = page_of(settings, run)
        print_json({"run": page}) if as_json else Terminal().say(f"turn started: {page}")
        return
    if run is not None:
        summary = _awaited(terminal, settings, run)
    else:
        if prefect:
            terminal.say("No Prefect server answers, so the turn is made in this process.", style="dim")
        with working(terminal, "turning"):
            summary = turn_here(lake_of(settings), settings, moment)
    if as_json:
        print_json(summary)
    else:
        _show(Terminal(), summary)


def _asked(settings: Settings, moment: datetime) -> FlowRun | None:
    """The run that was started, or None where no server answers or nobody serves the flow."""
    known = {"application": settings.application, "as_of": moment.isoformat()}
    return Orchestrator.of(settings).start(
        served(TURN, settings.application), known, f"turn:{settings.application}:{moment.isoformat()}"
    )


def _awaited(terminal: Terminal, settings: Settings, run: FlowRun) -> dict[str, Any]:
    """What Prefect's run has made. Raises FlywheelError, with the page to look at, where it did not get that far."""
    page = page_of(settings, run)
    terminal.say(f"turn started: {page}", style="dim")
    with progress(terminal, noted=True) as bar:
        task = bar.add_task("turning", total=None, note="")
        try:
            ended = Orchestrator.of(settings).wait(run.id, lambda seen: bar.update(task, note=_said(seen)))
        except KeyboardInterrupt:
            raise FlywheelError(f"not waited for any longer; the turn itself goes on: {page}") from None
    if ended is None:
        raise FlywheelError(f"the Prefect server answers no more; whether the turn is done stands at {page}")
    said = ended.state.message if ended.state and ended.state.message else ""
    if ended.state_type != "COMPLETED":
        raise FlywheelError(f"the turn ended {_said(ended)}: {said or 'its log says why'}: {page}")
    if ended.state and ended.state.name == "NothingToDo":
        raise NotEnoughData(said)
    made = latest(lake_of(settings), "turn", settings.application)
    return made.told(dict[str, Any]) if made else {}


def _said(run: FlowRun) -> str:
    return (run.state.name if run.state else run.state_type or "").lower()


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
