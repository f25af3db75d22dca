"""`flywheel broker` and `flywheel topics`: the embedded Kafka alone; the topics of any Kafka, and who may use them."""

from __future__ import annotations

import contextlib
import time
from typing import Annotated

import typer

from flows.commands.shared import settings_of
from flows.terminal import Terminal
from schemas.errors import UsageError
from schemas.topics import TOPICS
from streams import access
from streams.admin import Admin
from streams.broker.broker import Broker
from streams.processes.supervise import TICK_S, sigterm_interrupts


def broker(context: typer.Context) -> None:
    """Run the embedded Kafka alone, until Ctrl-C: for applications and archivers that are started by hand."""
    settings = settings_of(context)
    kafka = settings.kafka
    if kafka.bootstrap_servers:
        raise UsageError(f"Kafka is at {kafka.bootstrap_servers} already, so none is started")
    running = Broker(settings.home_path / "kafka", kafka.port or None, kafka.heap)
    with sigterm_interrupts(), contextlib.suppress(KeyboardInterrupt), running:
        Terminal().say(f"Kafka is at {running.bootstrap_servers}; Ctrl-C stops it.")
        while True:
            running.check()
            time.sleep(TICK_S)


def topics(
    context: typer.Context,
    acl: Annotated[
        bool, typer.Option("--acl", help="Also give every principal its permissions, where the brokers ask for any.")
    ] = False,
    principal: Annotated[
        list[str] | None,
        typer.Option(help="ROLE=NAME: who a role is at the brokers; else User:flywheel-ROLE. May be repeated."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the permissions; ask Kafka for nothing.")] = False,
) -> None:
    """Make the topics that are missing, and with --acl say who may use them; run it as a Kafka administrator."""
    settings = settings_of(context)
    rules, names = access.rules(settings), access.principals(_given(principal or []))
    terminal = Terminal()
    if show:
        kinds = [(names[rule.role], rule.operation, rule.kind.lower(), _pattern(rule)) for rule in rules]
        terminal.table(("principal", "may", "on", "name"), kinds, whole=("principal", "name"))
        return
    admin = Admin(settings.kafka)
    made = admin.ensure_topics()
    terminal.say(f"{len(made)} topics made, {len(TOPICS) - len(made)} were there")
    if acl:
        terminal.say(f"{admin.allow(rules, names)} permissions for {len(names)} principals")


def _given(pairs: list[str]) -> dict[str, str]:
    given = dict(pair.partition("=")[::2] for pair in pairs)
    if not all(given.values()):
        raise UsageError("--principal is ROLE=NAME, e.g. application=shop-frontend")
    return given


def _pattern(rule: access.Rule) -> str:
    return f"{rule.name}*" if rule.prefixed else rule.name
