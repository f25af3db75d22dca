"""What several commands share: who is at the keyboard, JSON for programs, and telling Kafka what the ledger says."""

from __future__ import annotations

import getpass
from typing import Any

from rich.console import Console
from rich.markup import escape

from flows.announce import Announcer
from flows.promote.mirror import keep_in_step
from flows.promote.stage import announce_pending
from schemas.errors import BrokerError, LedgerError, UsageError
from schemas.events import Decision, to_json
from schemas.settings import Settings
from streams.lake import Lake


def identity() -> str:
    """The name that a decision made at this keyboard is recorded under."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, without colours."""
    print(to_json(value))  # noqa: T201


def tell_later(_: Decision) -> None:
    """For a decision that `announce_or_say` announces: a missing broker must not look like a missing decision."""


def announce_or_say(lake: Lake, settings: Settings) -> None:
    """Tell Kafka, and MLflow where it is configured; where that fails say so, since the ledger row stands anyway."""
    try:
        with Announcer(settings.kafka) as announce:
            announce_pending(lake, settings.application, announce)
    except (BrokerError, UsageError) as error:
        _warn("recorded, but not announced yet", f"{error}. The next decision announces it too.")
    try:
        keep_in_step(lake, settings)
    except (LedgerError, UsageError) as error:
        _warn("recorded, but not mirrored", str(error))


def _warn(what: str, why: str) -> None:
    Console(stderr=True).print(f"[yellow]{what}[/]: {escape(why)}", highlight=False, soft_wrap=True)
