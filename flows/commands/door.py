"""`flywheel door`: events, feedback and OpenTelemetry over HTTP, as a process of its own; and who may send."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.terminal import Terminal
from schemas.errors import UsageError
from streams.doors import bridge, run
from streams.doors.tokens import ALL, USUAL, Grant, May, Tokens
from streams.logs import to_stderr

app = typer.Typer(help="The HTTP door: events, feedback and OpenTelemetry in, the champion out; who may send.")
token = typer.Typer(
    help="Tokens of the door: make one for an application, list them, revoke one.", no_args_is_help=True
)
app.add_typer(token, name="token")

Name = Annotated[str, typer.Argument(help="The token's name, as `flywheel door token list` shows it.")]


@app.callback(invoke_without_command=True)
def door(context: typer.Context) -> None:
    """Open the HTTP door until Ctrl-C: events, feedback and OpenTelemetry in, the champion out."""
    if context.invoked_subcommand is None:
        to_stderr("door")
        run.door(settings_of(context))


@app.command("bridge")
def carry(
    context: typer.Context,
    until_idle: Annotated[
        float | None, typer.Option(help="End once nothing has come for so many seconds; otherwise run until Ctrl-C.")
    ] = None,
) -> None:
    """Carry over what an OpenTelemetry Collector writes to Kafka (`door.collector_topic`), until Ctrl-C."""
    to_stderr("bridge")
    bridge.bridge(settings_of(context), until_idle)


@token.command("make")
def make(
    context: typer.Context,
    application: Annotated[str, typer.Argument(help="Whose events the token sends.")],
    name: Annotated[str, typer.Option(help="How to call the token; default: the application.")] = "",
    may: Annotated[
        list[str] | None,
        typer.Option(help=f"What it sends, of {', '.join(ALL)}; repeat it. Default: {', '.join(USUAL)}."),
    ] = None,
) -> None:
    """Make a token and print it: only its hash is kept. From the first one on, the door asks everybody for one."""
    wanted = tuple(may or USUAL)
    known: dict[str, May] = {each: each for each in ALL}
    if wrong := [each for each in wanted if each not in known]:
        raise UsageError(f"{wrong[0]!r} is nothing that a token may send: it is one of {', '.join(ALL)}")
    grant = Grant(
        name=name or application, application=application, may=tuple(known[each] for each in wanted),
        made_at=datetime.now(UTC),
    )  # fmt: skip
    print(Tokens(settings_of(context).home_path).make(grant).reveal())  # noqa: T201 for `TOKEN=$(flywheel …)`


@token.command("list")
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Who may send what. The tokens themselves are kept nowhere."""
    grants = Tokens(settings_of(context).home_path).all()
    if as_json:
        print_json([{"name": each.name, "application": each.application, "may": each.may} for each in grants])
        return
    terminal = Terminal()
    cells = [
        (each.name, each.application, ", ".join(each.may), f"{each.made_at:%Y-%m-%d %H:%M}" if each.made_at else "")
        for each in grants
    ]
    terminal.table(("token", "application", "may send", "made"), cells, whole=("token",))
    if not grants:
        terminal.say("There is no token: the door takes what comes from this machine, and nothing else.")


@token.command("revoke")
def revoke(context: typer.Context, name: Name) -> None:
    """Revoke a token: from its next request on, whoever has it is refused."""
    grant = Tokens(settings_of(context).home_path).revoke(name)
    Terminal().say(f"The token {grant.name} of {grant.application} is revoked.")
