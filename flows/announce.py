"""Announces decisions, and tells of reviews, on Kafka: the way out of the ledger for flows and commands.

A decision is a ledger row first; what cannot be announced now is announced by whoever decides next (see
`flows.ledger.unannounced`). Go on to `streams/producer.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

from flows import ledger
from flows.seal import Seal
from schemas.events import Decision, Event
from schemas.settings import Settings
from streams.keyring import signer_of
from streams.lake import Lake
from streams.producer import EventProducer

Announce = Callable[[Decision], None]
"""Tells listeners of a decision; called after the ledger row is written, again until the decision is archived."""


class Announcer:
    """Sends events, decisions signed; connects at the first one, so that a command with nothing to say needs no broker.

    Leaving the `with` block returns when all are acknowledged. Raises what `EventProducer` raises.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: EventProducer | None = None

    def __call__(self, event: Event) -> None:
        """Queue one event for its topic."""
        if self._producer is None:
            self._producer = EventProducer(self._settings.kafka, signer=signer_of(self._settings))
        self._producer.send(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: object) -> None:
        if self._producer is not None:
            self._producer.__exit__(kind, value, trace)


def announce_pending(lake: Lake, application: str, announce: Announce, seal: Seal) -> int:
    """Announce every ledger row that is not archived from Kafka yet, oldest first; how many there were.

    Raises LedgerBroken where a row is signed by nobody trusted: whoever may write to the lake announces nothing.
    """
    pending = ledger.unannounced(lake, application, seal)
    for decision in pending:
        announce(decision)
    return len(pending)


def tell(settings: Settings, events: Iterable[Event]) -> None:
    """Send events; returns when all are acknowledged. Raises what `EventProducer` raises."""
    with Announcer(settings) as announce:
        for event in events:
            announce(event)
