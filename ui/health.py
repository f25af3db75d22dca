"""Whether the wheel turns, as last seen: what Kafka holds beyond the lake, whether that moves, when the next turn is.

Asked by a thread of its own, so that no page waits for a neighbour that does not answer. Go on to `state.py`.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from msgspec import Struct

from flows.maintain.status import lags
from flows.prefect_api import TURN, Orchestrator, served
from schemas.errors import FlywheelError
from schemas.settings import NO_BROKER, Settings
from streams.admin import Admin
from streams.lake import Lake

EVERY_S = 4.0
"""Two looks tell a stopped archiver from a busy one: ten seconds, with the second look's own time."""
PLAN_S = 30.0
"""How often Prefect is asked for the next turn: an hourly plan changes seldom, and a person's change is soon seen."""
_log = logging.getLogger(__name__)


class Health(Struct, frozen=True, kw_only=True):
    """The neighbours as last seen."""

    asked: bool = False
    """Whether Kafka was asked at all so far."""
    named: bool = True
    """Whether the settings name a broker: without one nothing is awaited."""
    kafka: str = ""
    """Empty, or why Kafka could not be asked."""
    behind: int = 0
    """Events that Kafka holds and the lake does not have yet."""
    lost: int = 0
    """Events that Kafka no longer holds and the lake never got."""
    place: int = 0
    """All committed offsets together: where it stays while `behind` is not 0, nobody archives."""
    still_since: datetime | None = None
    """Since when events wait and none was archived; None while they move or none wait."""
    next_turn: datetime | None = None
    prefect: bool = False
    """Whether Prefect has a turn planned."""

    @property
    def archiver_stopped(self) -> bool:
        """Events wait, and in two looks none came to rest."""
        return self.still_since is not None


class Watch:
    """The thread that looks, as a context manager."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake, self._settings = lake, settings
        self._admin: Admin | None = None
        self._plan: tuple[float, datetime | None] = (-PLAN_S, None)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self.seen = Health()

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def look(self, now: datetime) -> Health:
        """Ask the neighbours."""
        self.seen = after(self.seen, self._look(), now)
        return self.seen

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look(datetime.now(UTC))
            except Exception:  # whatever a neighbour's client raises: the next look may succeed
                _log.exception("the neighbours could not be asked")
            self._stop.wait(EVERY_S)

    def _planned(self, now: float) -> datetime | None:
        """When the next turn is, as Prefect said within PLAN_S."""
        asked, turn = self._plan
        if self._settings.prefect_port and now - asked >= PLAN_S:
            planned = Orchestrator.of(self._settings).planned(served(TURN, self._settings.application))
            turn = datetime.fromisoformat(planned) if planned else None
            self._plan = now, turn
        return turn

    def _look(self) -> Health:
        began = time.monotonic()
        turn = self._planned(began)
        try:
            self._admin = self._admin or Admin(self._settings.kafka)
            found = lags(self._lake, self._admin)
        except FlywheelError as error:
            named = str(error) != NO_BROKER
            said = str(error) if named else "no broker is named here"
            return Health(asked=True, named=named, kafka=said, next_turn=turn, prefect=turn is not None)
        _log.debug("looked in %.2f s", time.monotonic() - began)
        return Health(
            asked=True,
            behind=sum(one.lag for one in found),
            lost=sum(one.lost for one in found),
            place=sum(one.archived or 0 for one in found),
            next_turn=turn,
            prefect=turn is not None,
        )


def after(before: Health, found: Health, now: datetime) -> Health:
    """What is seen now, knowing what was seen before: whether what waits has stood still."""
    still = found.behind > 0 and before.asked and not before.kafka and before.behind > 0 and before.place == found.place
    if not still:
        return found
    return Health(
        asked=found.asked,
        behind=found.behind,
        lost=found.lost,
        place=found.place,
        still_since=before.still_since or now,
        next_turn=found.next_turn,
        prefect=found.prefect,
    )
