"""`flywheel maintain` and `flywheel audit`: tables in order, and proof that nothing is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.maintain import stage
from flows.terminal import Terminal, working
from schemas.errors import LakeError
from streams.lake import audit as auditing


def maintain(context: typer.Context, as_json: AsJson = False) -> None:
    """Forget erased users, retire old days, join small files, remove unneeded ones, and audit."""
    settings = settings_of(context)
    with working(Terminal(stderr=True), "tables in order"):
        summary = stage.maintain(lake_of(settings), settings, datetime.now(UTC))
    if as_json:
        print_json(summary)
    else:
        joined = sum(summary["compacted"].values())
        erased, superseded = (sum(summary[what].values()) for what in ("erased", "superseded"))
        Terminal().say(
            f"{erased} rows erased, {summary['retired']} retired, {superseded} superseded, "
            f"{joined} files fewer by compaction, {summary['vacuumed']} files removed"
        )
        if summary["waiting"]:
            Terminal().say(f"{summary['waiting']} erasures wait: `flywheel erasure list` shows them")
    _report([msgspec.convert(incident, auditing.Incident) for incident in summary["incidents"]], summary["files"])


def audit(
    context: typer.Context,
    hashes: Annotated[bool, typer.Option(help="Also read every file and compare it with its SHA-256.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check that every archived offset is a row or a dead letter, once, and that no file has changed."""
    settings = settings_of(context)
    with working(Terminal(stderr=True), "auditing"):
        found = auditing.audit(lake_of(settings), hashes=hashes)
    if as_json:
        print_json(msgspec.to_builtins(found))
    _report(list(found.incidents), found.files)


def _report(incidents: list[auditing.Incident], checked: int) -> None:
    terminal = Terminal(stderr=True)
    for incident in incidents:
        terminal.say((incident.what, "bold red"), f" in {incident.table}: {incident.detail}")
    if incidents:
        raise LakeError(f"{len(incidents)} places are not as they must be; docs/guarantees.md says what to do")
    terminal.say(f"every archived offset is accounted for, {checked} files match their hashes")
