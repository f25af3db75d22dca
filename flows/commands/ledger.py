"""`flywheel ledger`: the record of every decision, and the proof that nobody changed it."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from flows import ledger
from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.registry import EVAL_SET
from flows.seal import seal_of
from flows.terminal import Terminal
from schemas.events import Candidate, Decision
from streams.keyring import signer_of

app = typer.Typer(help="The ledger of decisions: show it, verify it.", no_args_is_help=True)


@app.command("show")
def show(
    context: typer.Context,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest rows.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest rows, oldest of them first."""
    settings = settings_of(context)
    rows = ledger.rows(lake_of(settings), settings.application)[-last:]
    if as_json:
        print_json([msgspec.to_builtins(row) for row in rows])
        return
    cells = [
        (
            str(row.sequence), f"{row.time:%Y-%m-%d %H:%M}", row.action, _name(row.candidate), _name(row.champion),
            row.verdict, _eval_set(row), row.decided_by, next(iter(row.reasons), ""), row.hash[:12],
        )
        for row in rows
    ]  # fmt: skip
    columns = (
        "row",
        "time",
        "action",
        "candidate",
        "champion after",
        "verdict",
        "eval set",
        "by",
        "first reason",
        "hash",
    )
    terminal = Terminal()
    terminal.table(columns, cells, whole=("row", "candidate", "champion after", "hash"))
    if not rows:
        terminal.say(_empty(settings.application))


@app.command("verify")
def verify(context: typer.Context) -> None:
    """Check every application's hash chain, its signatures, its end, and what was announced or seen here before.

    Exit code 8 where it does not hold, with the first row that does not.
    """
    settings = settings_of(context)
    lake, terminal = lake_of(settings), Terminal()
    for application in (applications := ledger.applications(lake)):
        rows = ledger.verify(lake, application, seal_of(settings))
        early = ledger.unsigned(lake, application)
        said = f" ({early} of them unsigned, before signatures)" if early else ""
        terminal.say(f"{application}: {rows} rows hold{said}, head {ledger.fold(lake, application).head}")
    if not applications:
        terminal.say(_empty(settings.application))


def _empty(application: str) -> str:
    return f"The ledger of {application} is empty: `flywheel champion set` or `flywheel candidate add` begins it."


@app.command("key")
def key(context: typer.Context) -> None:
    """The public key of this home's decisions: listeners believe what it signed, and nothing else."""
    print(signer_of(settings_of(context)).public_key)  # noqa: T201 for `$(flywheel ledger key)`


def _eval_set(decision: Decision) -> str:
    """What it was decided on, or is to be."""
    name, version = decision.evidence.get(EVAL_SET, ""), decision.evidence.get("dataset_version", "")
    return f"{name}@{version}" if name and version else name or version


def _name(candidate: Candidate | None) -> str:
    return f"{candidate.model} {candidate.id}" if candidate else ""
