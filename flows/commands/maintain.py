"""`flywheel maintain` and `flywheel audit`: tables in order, and proof that nothing is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from flows.context import lake_of
from flows.maintain import stage
from schemas.errors import LakeError
from schemas.events import to_json
from schemas.settings import Settings
from streams.lake import audit as auditing

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def maintain(context: typer.Context, as_json: AsJson = False) -> None:
    """Forget erased users, retire old days, join small files, remove unneeded ones, and audit."""
    settings: Settings = context.obj
    summary = stage.maintain(lake_of(settings), settings, datetime.now(UTC))
    if as_json:
        print(to_json(summary))  # noqa: T201
    else:
        joined = sum(summary["compacted"].values())
        erased = sum(summary["erased"].values())
        Console(highlight=False).print(
            f"{erased} rows erased, {summary['retired']} retired, {joined} files fewer by compaction, "
            f"{summary['vacuumed']} files removed"
        )
    _report([msgspec.convert(incident, auditing.Incident) for incident in summary["incidents"]], summary["files"])


def audit(
    context: typer.Context,
    hashes: Annotated[bool, typer.Option(help="Also read every file and compare it with its SHA-256.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check that every archived offset is a row or a dead letter, once, and that no file has changed."""
    settings: Settings = context.obj
    found = auditing.audit(lake_of(settings), hashes=hashes)
    if as_json:
        print(to_json(msgspec.to_builtins(found)))  # noqa: T201
    _report(list(found.incidents), found.files)


def _report(incidents: list[auditing.Incident], checked: int) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for incident in incidents:
        console.print(f"[bold red]{incident.what}[/] in {incident.table}: {incident.detail}")
    if incidents:
        raise LakeError(f"{len(incidents)} places are not as they must be; docs/guarantees.md says what to do")
    console.print(f"every archived offset is accounted for, {checked} files match their hashes")
