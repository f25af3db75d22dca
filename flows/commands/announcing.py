"""Telling Kafka, and MLflow, what the ledger says: after a decision that a person made at the keyboard."""

from __future__ import annotations

from flows.announce import Announcer, announce_pending
from flows.promote.mirror import keep_in_step
from flows.seal import seal_of
from flows.terminal import Terminal
from schemas.errors import BrokerError, LedgerError, UsageError
from schemas.events import Decision
from schemas.settings import Settings
from streams.lake import Lake


def tell_later(_: Decision) -> None:
    """For a decision that `announce_or_say` announces: a missing broker must not look like a missing decision."""


def announce_or_say(lake: Lake, settings: Settings) -> None:
    """Tell Kafka, and MLflow where it is configured; where that fails say so, since the ledger row stands anyway."""
    try:
        with Announcer(settings) as announce:
            announce_pending(lake, settings.application, announce, seal_of(settings))
    except (BrokerError, UsageError) as error:
        _warn("recorded, but not announced yet", f"{error}. The next decision announces it too.")
    try:
        keep_in_step(lake, settings)
    except (LedgerError, UsageError) as error:
        _warn("recorded, but not mirrored", str(error))


def _warn(what: str, why: str) -> None:
    Terminal(stderr=True).say((what, "yellow"), f": {why}")
