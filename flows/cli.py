"""`flywheel`: the one door for people.

A table of names: a command's own module is imported when the command is called, so that `--help` costs nothing else.
Settings are made once, then handed to the command. `run` ends every command with its exit code. Go on to
`flows/commands/`.
"""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from flows.terminal import Terminal
from flows.visible import visible
from schemas.errors import FlywheelError, UsageError


class Entry(NamedTuple):
    """A command or a group of commands."""

    place: str
    """`module:attribute`: the function of a command, the Typer of a group."""
    line: str
    """Its line in `flywheel --help`, which is the first sentence of its own help."""


COMMANDS = {
    "demo": Entry(
        "flows.commands.demo:demo",
        "See the whole loop turn: customers, failures, clusters, datasets, a better model, the gate; then traffic "
        "moves.",
    ),
    "up": Entry(
        "flows.commands.up:up",
        "Start everything and keep it running: broker, archiver, triage, door, web app, Prefect, the scheduled flows.",
    ),
    "ui": Entry(
        "flows.commands.ui:ui", "Open the web app: is the wheel turning, what fails, what waits, who serves and why."
    ),
    "status": Entry(
        "flows.commands.status:status",
        "Show lag per partition, rows, bytes and last commit per table, and dead letters by reason.",
    ),
    "turn": Entry(
        "flows.commands.turn:turn",
        "Cluster the failures and build the datasets, now instead of at the next scheduled time.",
    ),
    "train": Entry(
        "flows.commands.train:train_command",
        "Train a model on the newest dataset by the command of the settings, and register it; done once a dataset.",
    ),
    "cluster": Entry("flows.commands.cluster:app", "Ways of failing: list them, look into one, compare two runs."),
    "dataset": Entry(
        "flows.commands.dataset:app", "Datasets: build, list, quarantine, trace, recipe, fit, export, push, lost."
    ),
    "trace": Entry(
        "flows.commands.trace:trace_command",
        "Follow a model back to the dataset, rows and Kafka offsets that taught it.",
    ),
    "eval-set": Entry("flows.commands.eval_set:app", "Frozen eval sets: pin one, list them."),
    "golden": Entry("flows.commands.golden:app", "Golden examples: eval items by hand; add, edit, retire, list."),
    "candidate": Entry("flows.commands.candidate:app", "Candidates: register one, say what trained it, list them."),
    "champion": Entry("flows.commands.champion:app", "The champion: who serves and why; set the first one; roll back."),
    "evaluate": Entry(
        "flows.commands.evaluate:evaluate_command",
        "Compare a candidate with the champion; stopped or killed, it goes on where it was.",
    ),
    "gate": Entry(
        "flows.commands.gate:app",
        "Verdict on a candidate, for continuous integration: 0 promote, 1 block, 2 inconclusive, 3 error.",
    ),
    "promote": Entry(
        "flows.commands.promote:promote_command",
        "Decide on an evaluation: verdict, ledger row, announcement.",
    ),
    "ledger": Entry("flows.commands.ledger:app", "The ledger of decisions: show it, verify it."),
    "variant": Entry("flows.commands.variant:app", "Variants that serve side by side: compare how their users fare."),
    "experiment": Entry(
        "flows.commands.experiment:app",
        "Experiments: several candidates side by side on live users; start, status, stop.",
    ),
    "review": Entry(
        "flows.commands.review:app", "Review, blind, where two models answer differently: the gate decides by it."
    ),
    "dead-letter": Entry(
        "flows.commands.dead_letter:app", "Refused events: list them, look into one, send them again after a fix."
    ),
    "replay": Entry("flows.commands.replay:replay", "Send a file of events to Kafka."),
    "import": Entry(
        "flows.commands.import_:import_command",
        "Import history from Langfuse, LangSmith, OpenAI-style JSON lines, spans, chat data sets or a table.",
    ),
    "erase": Entry(
        "flows.commands.erase:erase_command",
        "Remove a person's rows, withdraw and rebuild the datasets that hold them, and write a receipt.",
    ),
    "erasure": Entry(
        "flows.commands.erasure:app", "Erasures that came over Kafka and wait: list them, stop or confirm one."
    ),
    "maintain": Entry(
        "flows.commands.maintain:maintain",
        "Forget erased users, retire old days, join small files, remove unneeded ones, and audit.",
    ),
    "audit": Entry(
        "flows.commands.maintain:audit",
        "Check that every archived offset is a row or a dead letter, once, and that no file has changed.",
    ),
    "settings": Entry(
        "flows.commands.settings:show", "Show every setting: its value now, its default, and its reason."
    ),
    "broker": Entry(
        "flows.commands.broker:broker",
        "Run the embedded Kafka alone, until Ctrl-C: for applications and archivers that are started by hand.",
    ),
    "topics": Entry(
        "flows.commands.broker:topics",
        "Make the topics that are missing, and with --acl say who may use them; run it as a Kafka administrator.",
    ),
    "archive": Entry("flows.commands.archive:archive", "Archive events from Kafka into the lake, exactly once."),
    "door": Entry(
        "flows.commands.door:app",
        "The HTTP door: events, feedback and OpenTelemetry in, the champion out; who may send.",
    ),
    "triage": Entry(
        "flows.commands.triage:triage",
        "Show live failure rates, raise alerts, and take back a champion that is worse than the one before.",
    ),
    "serve": Entry(
        "flows.commands.up:serve", "Serve the flows alone, for a Prefect server that runs elsewhere (PREFECT_API_URL)."
    ),
    "deploy": Entry(
        "flows.commands.deploy:deploy",
        "Register the flows with a Prefect work pool (PREFECT_API_URL), whose workers run them.",
    ),
}
"""In the order in which a newcomer meets them. A name's plural is understood too: `clusters list`."""
AS_WRITTEN = {"up", "demo", "broker", "settings"}
"""Commands that start a broker and a Prefect server, or show what is configured; all others find those of a running
`flywheel up`."""
VERDICTS = {"gate"}
"""Commands whose exit codes 0, 1 and 2 are verdicts, so that each of their errors ends with ERROR."""
ERROR = FlywheelError.exit_code
FILE_TROUBLE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY,
    errno.ENAMETOOLONG, errno.ELOOP, errno.ENOSPC, errno.EDQUOT,
}  # fmt: skip
"""What is wrong with a path that a person named, and not with this program."""


class Door(TyperGroup):
    """The commands by name and line; the one that is called is loaded."""

    called: str | None = None
    """The command that the arguments name, once that is known."""

    def __init__(self, **attributes: Any) -> None:
        lines = {name: TyperCommand(name, help=escape(entry.line)) for name, entry in COMMANDS.items()}
        super().__init__(**{**attributes, "commands": lines})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As ever, and loaded."""
        name, found, rest = super().resolve_command(ctx, [singular(args[0]), *args[1:]])
        if found is None or name is None:
            return name, found, rest
        self.called = name
        return name, load(name), rest


def singular(name: str) -> str:
    """A command's name; the plural of a group's is another name for it."""
    found = COMMANDS.get(name[:-1]) if name.endswith("s") and name not in COMMANDS else None
    return name[:-1] if found is not None and found.place.endswith(":app") else name


def load(name: str) -> Any:
    """A command or a group as Typer makes it, from its own module."""
    module, _, attribute = COMMANDS[name].place.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    holder = typer.Typer(rich_markup_mode="rich")
    if isinstance(target, typer.Typer):
        holder.add_typer(target, name=name)
    else:
        holder.command(name)(target)
    return _literal(typer.main.get_group(holder).commands[name])


def _literal(command: Any) -> Any:
    """The command with a help in which no bracket is markup."""
    command.help = escape(command.help or "")
    for parameter in command.params:
        if getattr(parameter, "help", None):
            parameter.help = escape(parameter.help)
    for inner in getattr(command, "commands", {}).values():
        _literal(inner)
    return command


app = typer.Typer(
    name="flywheel",
    cls=Door,
    help="Production feedback into better models: events in, failures clustered, datasets built, candidates gated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        Terminal().say(f"llm-flywheel {importlib.metadata.version('llm-flywheel')}")
        raise typer.Exit


@app.callback()
def prepare(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="TOML file of settings; default: flywheel.toml where it exists.", dir_okay=False)
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Data root: everything that is written lies below it.")] = None,
    version: Annotated[  # noqa: ARG001 its callback answers
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Settings come from the defaults, then the TOML file, then FLYWHEEL_* variables, then --home."""
    surroundings = importlib.import_module("flows.context")  # by name: it loads Arrow, which `--help` does not need
    settings = surroundings.settings_from_environment(config, home)
    if config is None and (file := surroundings.found_file()):
        Terminal(stderr=True).say(f"settings of {file.resolve()}", style="dim")
    context.obj = settings if context.invoked_subcommand in AS_WRITTEN else surroundings.with_addresses(settings)


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code.

    What it writes, and what the processes write that it starts, is its owner's alone.
    """
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # whatever the locale can show
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command; its exit code. An error is told on stderr in a sentence, a bug with its traceback."""
    door: Any = typer.main.get_command(app)
    try:
        return door.main(list(arguments), "flywheel", standalone_mode=False) or 0
    except SystemExit as ended:  # Typer, where the reader of a pipe has gone
        return ERROR if door.called in VERDICTS else int(ended.code or 0)
    except Exception as error:
        _tell(error, door.called)
        return exit_code(error, door.called)


def exit_code(error: Exception, command: str | None) -> int:
    """The one map from errors to exit codes; docs/operations.md is for people.

    Before a command is known it may have been meant to be one whose codes are verdicts.
    """
    if isinstance(error, typer.TyperException) and not error.format_message():  # a call for help
        return error.exit_code
    if command in VERDICTS or command is None:
        return ERROR
    if isinstance(error, FlywheelError | typer.TyperException):
        return error.exit_code
    return UsageError.exit_code if _is_file_trouble(error) else 1


def _tell(error: Exception, command: str | None) -> None:
    terminal = Terminal(stderr=True)
    if isinstance(error, FlywheelError):
        terminal.say((type(error).__name__, "bold red"), f": {error}")
    elif isinstance(error, typer.TyperException):
        if message := error.format_message():  # empty where the help was asked for by saying nothing
            path = getattr(getattr(error, "ctx", None), "command_path", f"flywheel {command or ''}".rstrip())
            sentence = message if message.endswith((".", "?")) else f"{message}."
            terminal.say(("UsageError", "bold red"), f": {sentence} `{path} --help` says what it takes.")
    elif _is_file_trouble(error):
        terminal.say(("UsageError", "bold red"), f": {error.filename} cannot be used: {error.strerror}")  # type: ignore[attr-defined]
    else:
        sys.stderr.write(visible("".join(traceback.format_exception(error))))


def _is_file_trouble(error: Exception) -> bool:
    return isinstance(error, OSError) and bool(error.filename) and error.errno in FILE_TROUBLE


if __name__ == "__main__":
    main()
