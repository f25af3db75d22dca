"""A lake that is ready for a dataset: events and judged outcomes straight into it, without Kafka or clustering."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.run import begin, finish
from flows.testing.events import happened
from schemas.events import Event
from schemas.secrets import Secret
from schemas.settings import CurateSettings, Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows

DEFAULTS = {"paraphrase": 1, "hold_back": 0, "salt": Secret("a world's")}
AS_OF = datetime(2026, 2, 1, tzinfo=UTC)


class World:
    """A lake and its settings, filled by hand. Without the paraphrase check, unless asked: it loads an embedder."""

    def __init__(self, home: Path, **curate: Any) -> None:
        self.settings = Settings(home=str(home), curate=CurateSettings(**{**DEFAULTS, **curate}))
        self.lake = Lake(self.settings.lake_root)

    def happened(self, *events: Event) -> None:
        """Put events into their raw tables."""
        happened(self.lake, *events)

    def judged(self, outcomes: dict[str, str], clusters: dict[str, str] | None = None, as_of: datetime = AS_OF) -> None:
        """Publish a cluster run: interaction id → ok, failed or unknown, and interaction id → cluster."""
        run = begin(self.lake, "cluster", "support-bot", as_of, ("interactions", "feedback"), None)
        base = {"run_id": run.run_id, "application": "support-bot"}
        rows = [
            {**base, "interaction_id": i, "time": as_of, "conversation_id": "c", "request_model": "m", "outcome": o,
             "score": {"ok": 0.9, "failed": 0.1}.get(o)}
            for i, o in outcomes.items()
        ]  # fmt: skip
        publish(self.lake, "outcomes", to_rows("outcomes", rows), run.run_id)
        members = [
            {**base, "interaction_id": i, "cluster_id": c, "assigned_by": "birth"} for i, c in (clusters or {}).items()
        ]
        publish(self.lake, "cluster_members", to_rows("cluster_members", members), run.run_id)
        finish(self.lake, run, {})
