"""`flywheel broker`: the embedded Kafka alone."""

from __future__ import annotations

import contextlib
import time

import typer

from flows.commands.shared import settings_of
from flows.terminal import Terminal
from schemas.errors import UsageError
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
