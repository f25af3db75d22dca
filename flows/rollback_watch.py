"""Rolls back a champion that triage finds worse than the one before.

`python -m flows.rollback_watch`, as `flywheel triage` and `flywheel up` start it. `streams/triage/app.py` finds out and
alerts; here its finding becomes a rollback, which needs the ledger that `streams` does not know.
"""

from __future__ import annotations

from datetime import UTC, datetime

from flows.announce import Announcer
from flows.context import lake_of, settings_from_environment
from flows.promote.rollback import roll_back
from flows.seal import seal_of
from schemas.events import Alert, Candidate
from schemas.settings import Settings
from streams.triage import app


def main(settings: Settings) -> None:
    """Run triage until SIGTERM or SIGINT, and take champions back where it finds that they are worse."""

    def take_back(application: str, champion: Candidate, alert: Alert) -> None:
        lake, now, seal = lake_of(settings), datetime.now(UTC), seal_of(settings)
        with Announcer(settings) as announce:
            evidence = {"alert": alert.id, "rule": alert.rule}
            roll_back(lake, application, champion.id, alert.message, evidence, now, announce, seal)

    app.main(settings, take_back)


if __name__ == "__main__":
    main(settings_from_environment())
