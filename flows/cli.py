"""`flywheel`: the one door for people.

Makes the settings once, then hands them to a command in `flows/commands/`.

`main` turns the errors of `schemas/errors.py` into a sentence and an exit code; docs/operations.md lists the codes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows.commands import (
    archive,
    broker,
    candidate,
    champion,
    clusters,
    dataset,
    dead_letters,
    demo,
    erase,
    eval_sets,
    evaluate,
    gate,
    labels,
    ledger,
    maintain,
    promote,
    replay,
    status,
    triage,
    turn,
    up,
)
from flows.commands import settings as settings_command
from flows.context import settings_from_environment, with_addresses
from schemas.errors import FlywheelError

app = typer.Typer(
    name="flywheel",
    help="Production feedback into better models: events in, failures clustered, datasets built, candidates gated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def prepare(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="TOML file of settings; default: flywheel.toml where it exists.", dir_okay=False)
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Data root: everything that is written lies below it.")] = None,
) -> None:
    """Settings come from the defaults, then the TOML file, then FLYWHEEL_* variables, then --home."""
    settings = settings_from_environment(config, home)
    context.obj = settings if context.invoked_subcommand in STARTERS else with_addresses(settings)


STARTERS = {"up", "demo", "broker"}
"""Commands that start a broker and a Prefect server; all others find those of a running `flywheel up`."""
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "up": up.up,
    "broker": broker.broker,
    "replay": replay.replay,
    "archive": archive.archive,
    "triage": triage.triage,
    "serve": up.serve,
    "turn": turn.turn,
    "erase": erase.erase_command,
    "evaluate": evaluate.evaluate_command,
    "promote": promote.promote_command,
    "status": status.status,
    "maintain": maintain.maintain,
    "audit": maintain.audit,
    "settings": settings_command.show,
}
GROUPS = {
    "clusters": clusters.app,
    "dataset": dataset.app,
    "eval": eval_sets.app,
    "candidate": candidate.app,
    "champion": champion.app,
    "gate": gate.app,
    "ledger": ledger.app,
    "labels": labels.app,
    "dead-letters": dead_letters.app,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run a command; end with the exit code of the error that it raised, if any.

    Settings are read before a command is known; `gate` must not end with one of its verdicts' codes for that.
    """
    try:
        app()
    except FlywheelError as error:
        Console(stderr=True).print(
            f"[bold red]{type(error).__name__}[/]: {escape(str(error))}", highlight=False, soft_wrap=True
        )
        sys.exit(gate.ERROR if "gate" in sys.argv[1:] else error.exit_code)


if __name__ == "__main__":
    main()
