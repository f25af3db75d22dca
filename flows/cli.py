"""`flywheel`: the one door for people.

Reads the environment once, then hands settings to a command in `flows/commands/`.

`main` turns the errors of `schemas/errors.py` into a sentence and an exit code; docs/operations.md lists the codes.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands import archive, candidate, champion, demo, evaluate, gate, ledger, promote, replay, triage, turn, up
from flows.commands import settings as settings_command
from flows.context import with_addresses
from schemas.errors import FlywheelError, SettingsError
from schemas.settings import load

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
    file = config or Path("flywheel.toml")
    if config and not config.exists():
        raise SettingsError(f"{config} does not exist")
    try:
        table = tomllib.loads(file.read_text()) if file.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: {error}") from error
    environment = dict(os.environ)
    if home:
        environment["FLYWHEEL_HOME"] = str(home)
    settings = load(table, environment)
    context.obj = settings if context.invoked_subcommand in STARTERS else with_addresses(settings)


STARTERS = {"up", "demo"}
"""Commands that start a broker and a Prefect server; all others find those of a running `flywheel up`."""
COMMANDS: dict[str, Callable[..., None]] = {
    "up": up.up,
    "serve": up.serve,
    "triage": triage.triage,
    "turn": turn.turn,
    "demo": demo.demo,
    "up": up.up,
    "replay": replay.replay,
    "archive": archive.archive,
    "triage": triage.triage,
    "serve": up.serve,
    "turn": turn.turn,
    "evaluate": evaluate.evaluate_command,
    "promote": promote.promote_command,
    "settings": settings_command.show,
}
GROUPS = {
    "candidate": candidate.app,
    "champion": champion.app,
    "gate": gate.app,
    "ledger": ledger.app,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run a command; end with the exit code of the error that it raised, if any."""
    try:
        app()
    except FlywheelError as error:
        Console(stderr=True).print(f"[bold red]{type(error).__name__}[/]: {error}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
