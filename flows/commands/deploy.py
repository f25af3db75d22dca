"""`flywheel deploy`: the flows for the workers of a Prefect work pool."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from flows.commands.shared import settings_of
from flows.terminal import Terminal
from schemas.errors import UsageError


def deploy(
    context: typer.Context,
    pool: Annotated[str, typer.Option(help="Name of the work pool, of type process, docker or kubernetes.")],
    image: Annotated[str, typer.Option(help="Container image of the runs; none for a pool of processes.")] = "",
    memory: Annotated[
        list[str] | None, typer.Option(help="GiB that a flow's runs may take, as FLOW=GIB; may be given often.")
    ] = None,
) -> None:
    """Register the flows with a Prefect work pool (PREFECT_API_URL), whose workers run them."""
    wanted = dict(map(_memory, memory or []))
    register = importlib.import_module("flows.deploy").deploy  # by name: Prefect takes two seconds
    terminal = Terminal()
    for name in register(settings_of(context), pool, image, wanted):
        terminal.say(name)
    terminal.say(f"Workers of {pool} run these; secrets and FLYWHEEL_HOME are for their own surroundings to give.")


def _memory(text: str) -> tuple[str, int]:
    flow, _, gib = text.partition("=")
    if not (gib.isascii() and gib.isdigit() and int(gib)):
        raise UsageError(f"--memory {text!r} is not FLOW=GIB, such as turn=8")
    return flow, int(gib)
