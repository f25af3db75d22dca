"""`flywheel ledger`: the record of every decision, and the proof that nobody changed it."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flows import ledger
from flows.commands.candidate import AsJson
from flows.commands.shared import print_json
from flows.context import lake_of
from schemas.events import Candidate, Decision
from schemas.settings import Settings

app = typer.Typer(help="The ledger of decisions: show it, verify it.", no_args_is_help=True)


@app.command("show")
def show(
    context: typer.Context,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest rows.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest rows, oldest of them first."""
    settings: Settings = context.obj
    rows = ledger.rows(lake_of(settings), settings.application)[-last:]
    if as_json:
        print_json([msgspec.to_builtins(row) for row in rows])
        return
    table = Table(
        "row", "time", "action", "candidate", "champion after", "verdict", "eval set", "by", "first reason", "hash"
    )
    for row in rows:
        table.add_row(
            str(row.sequence), f"{row.time:%Y-%m-%d %H:%M}", row.action, _name(row.candidate), _name(row.champion),
            row.verdict, _eval_set(row), row.decided_by, next(iter(row.reasons), ""), row.hash[:12],
        )  # fmt: skip
    Console().print(table)


@app.command("verify")
def verify(context: typer.Context) -> None:
    """Check every application's hash chain, its end, and what was announced. Exit code 8 where it does not hold."""
    lake = lake_of(context.obj)
    for application in ledger.applications(lake):
        rows = ledger.verify(lake, application)
        head = ledger.fold(lake, application).head
        Console().print(f"{application}: {rows} rows hold, head {head}", highlight=False, soft_wrap=True, markup=False)


def _eval_set(decision: Decision) -> str:
    """What it was decided on, or is to be."""
    name, version = decision.evidence.get(ledger.EVAL_SET, ""), decision.evidence.get("dataset_version", "")
    return f"{name}@{version}" if name and version else name or version


def _name(candidate: Candidate | None) -> str:
    return f"{candidate.model} {candidate.id[:8]}" if candidate else ""
