"""`flywheel train`: the training of the settings, now and in this process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.enlist import enlist
from flows.terminal import Terminal, working
from flows.trained import place_of
from flows.trainer.stage import train
from flows.visible import one_line
from schemas.errors import FlywheelError, NotEnoughData


def train_command(
    context: typer.Context,
    again: Annotated[bool, typer.Option("--again", help="Try anew where it has failed on this dataset.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on the newest dataset by the command of the settings, and register it; done once a dataset."""
    settings = settings_of(context)
    lake = lake_of(settings)
    with working(Terminal(stderr=True), "training"):
        outcome = train(lake, settings, again=again)
    candidate = enlist(lake, settings, outcome.key, datetime.now(UTC)) if outcome.status == "trained" else None
    if as_json:
        print_json({**msgspec.to_builtins(outcome), "candidate": candidate.id if candidate else None})
    if outcome.failed:
        log = place_of(settings.home_path, outcome.key).folder / "trainer.log"
        raise FlywheelError(f"{outcome.status}: {outcome.reason} (its log: {log}; `flywheel train --again` tries anew)")
    if outcome.status != "trained":
        raise NotEnoughData(f"{outcome.status}: {outcome.reason}")
    if as_json:
        return
    terminal = Terminal()
    terminal.say(f"trained on {outcome.dataset}, {outcome.rows} rows, in {outcome.spent_s:.0f} s")
    if candidate:
        terminal.say("candidate ", (candidate.id, "bold"), f" is {one_line(candidate.model)} at {candidate.endpoint}")
    else:
        model = place_of(settings.home_path, outcome.key).model
        terminal.say(f"train.endpoint is not set: `flywheel candidate add --model-dir {model}` registers it")
