"""`flywheel eval`: eval sets that are frozen under a name, so that no later training build may resemble them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flows.commands.shared import print_json
from flows.context import lake_of
from flows.curate.versions.freeze import freeze
from flows.versions import versions
from schemas.settings import DEFAULT_RECIPE, Settings

app = typer.Typer(help="Frozen eval sets: pin one, list them.", no_args_is_help=True)


@app.command("freeze")
def freeze_eval_set(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name to freeze it under: small letters, digits, dashes.")],
    dataset: Annotated[str, typer.Option(help="The recipe whose newest eval set is frozen.")] = DEFAULT_RECIPE,
) -> None:
    """Freeze the newest eval set: from now on every training build keeps away from it."""
    settings: Settings = context.obj
    frozen = freeze(lake_of(settings), settings, datetime.now(UTC), name, dataset)
    rows = sum(frozen.rows.values())
    Console().print(f"{name}@{frozen.version}: {rows} items frozen", highlight=False)


@app.command("list")
def list_frozen(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the frozen eval sets, oldest first."""
    settings: Settings = context.obj
    found = [v for v in versions(lake_of(settings), settings.application) if v.kind == "frozen"]
    if as_json:
        shown = [{k: v for k, v in msgspec.to_builtins(version).items() if k != "manifest"} for version in found]
        print_json(shown)
        return
    table = Table("name", "version", "frozen", "items", "status")
    for version in found:
        items = str(sum(version.rows.values()))
        table.add_row(version.dataset, version.version, f"{version.created:%Y-%m-%d %H:%M}", items, version.status)
    Console().print(table)
