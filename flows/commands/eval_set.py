"""`flywheel eval-set`: eval sets that are frozen under a name, so that no later training build may resemble them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.curate.versions.freeze import freeze
from flows.terminal import Terminal
from flows.versions import versions
from schemas.settings import DEFAULT_RECIPE

app = typer.Typer(help="Frozen eval sets: pin one, list them.", no_args_is_help=True)


@app.command("freeze")
def freeze_eval_set(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name to freeze it under: small letters, digits, dashes.")],
    dataset: Annotated[str, typer.Option(help="The recipe whose newest eval set is frozen.")] = DEFAULT_RECIPE,
) -> None:
    """Freeze the newest eval set: from now on every training build keeps away from it."""
    settings = settings_of(context)
    frozen = freeze(lake_of(settings), settings, datetime.now(UTC), name, dataset)
    rows = sum(frozen.rows.values())
    Terminal().say(f"{name}@{frozen.version}: {rows} items frozen")


@app.command("list")
def list_frozen(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """List the frozen eval sets, oldest first."""
    settings = settings_of(context)
    found = [v for v in versions(lake_of(settings), settings.application) if v.kind == "frozen"]
    if as_json:
        shown = [{k: v for k, v in msgspec.to_builtins(version).items() if k != "manifest"} for version in found]
        print_json(shown)
        return
    rows = [(v.dataset, v.version, f"{v.created:%Y-%m-%d %H:%M}", str(sum(v.rows.values())), v.status) for v in found]
    terminal = Terminal()
    terminal.table(("name", "version", "frozen", "items", "status"), rows, whole=("name", "version"))
    if not rows:
        terminal.say("No eval set is frozen yet: `flywheel eval-set freeze NAME` pins the newest one.")
