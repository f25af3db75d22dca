"""`flywheel experiment`: several candidates side by side on live users."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.commands.shared import AsJson, identity, print_json, settings_of
from flows.context import lake_of
from flows.promote import experiment
from flows.promote.experiment import Experiment
from flows.terminal import Terminal
from flows.visible import one_line

app = typer.Typer(
    help="Experiments: several candidates side by side on live users; start, status, stop.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="Name of the experiment: the salt by which users are dealt.")]


@app.command("start")
def start(
    context: typer.Context,
    name: Name,
    arm: Annotated[list[str], typer.Option("--arm", help="Name of an arm, two or more; the first is the control.")],
    slow_ms: Annotated[float, typer.Option(min=0, help="A longer request is slow; 0: none is.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Begin: from now on users whose `variant` is NAME/ARM are counted, each by the arm that they met first."""
    settings = settings_of(context)
    begun = experiment.started(
        lake_of(settings), settings, name, arm, datetime.now(UTC), slow_ms=slow_ms, decided_by=identity()
    )
    _show(begun, as_json=as_json)


@app.command("status")
def status(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Shares that the application shall deal, what was counted, and what was dropped and why; each turn looks anew."""
    settings = settings_of(context)
    _show(experiment.known(lake_of(settings), settings.application, name), as_json=as_json)


@app.command("stop")
def stop(
    context: typer.Context,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why: it is recorded.")],
    as_json: AsJson = False,
) -> None:
    """End it without a winner. What was counted stays."""
    settings = settings_of(context)
    ended = experiment.stop(lake_of(settings), settings, name, reason, datetime.now(UTC), identity())
    _show(ended, as_json=as_json)


def _show(one: Experiment, *, as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    terminal = Terminal()
    ended = f", {one_line(one.reason)}" if one.reason else ""
    terminal.say(f"{one_line(one.experiment)}: {one.action} {one.time:%Y-%m-%d %H:%M}Z{ended}, look {one.sequence}")
    rows = [_row(one, arm) for arm in one.arms]
    terminal.table(("arm", "share", "users", "judged", "failed", "errors", "slow", "by now"), rows, whole=("arm",))
    for arm, why in one.dropped.items():
        terminal.say(f"{one_line(arm)} is dropped: {one_line(why)}")
    if one.winner:
        terminal.say(f"{one_line(one.winner)} is left: evaluate and promote it as any candidate")


def _row(one: Experiment, arm: str) -> tuple[str, ...]:
    tally, now = one.tallies[arm], one.recount.get(arm, one.tallies[arm])
    numbers = (tally.users, tally.judged, tally.failed, tally.errors, tally.slow)
    return arm, f"{one.shares[arm]:.1%}", *map(str, numbers), f"{now.failed} of {now.judged}"
