"""What earlier runs concluded: who lives where, and the clusters as they were last seen.

The state is a fold over the finished runs in the lake and lies nowhere else: replaying them gives the same ids. Go on
to `flow.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from flows.run import runs
from schemas.errors import UsageError
from streams.lake import Lake
from streams.lake.query import query, read

_MEMBERS = Path(__file__).with_name("members.sql").read_text()
TABLES = ("cluster_members", "embeddings", "runs")


@dataclass(frozen=True)
class State:
    """The clusters before a run."""

    previous: str
    """Id of the newest finished run; empty before the first."""
    homes: dict[str, str]
    """Interaction → cluster, for every failure that was ever placed."""
    text_hashes: dict[str, str]
    """Interaction → hash of the text by which it was placed."""
    clusters: dict[str, dict[str, Any]]
    """Cluster → its row of the `clusters` table in the previous run, dissolved ones included."""
    resolved: dict[str, datetime]
    """Cluster → start of the window in which it was last called resolved."""
    told: frozenset[tuple[str, str, tuple[str, ...]]]
    """Splits and merges that were proposed before: (event, cluster, other clusters)."""

    def living(self) -> list[str]:
        """Ids that may take new failures, oldest name first: all that were not merged into another."""
        return sorted(id_ for id_, row in self.clusters.items() if not row["alias_of"])


def load(lake: Lake, application: str, as_of: datetime) -> State:
    """The state that a run at `as_of` starts from. Raises UsageError where a later run has been finished."""
    history = runs(lake, "cluster", application)
    if history and history[-1]["as_of"] > as_of:
        raise UsageError(
            f"cluster runs of {application!r} go forward in time: one as of {history[-1]['as_of']:%Y-%m-%d %H:%M:%S}Z "
            f"is finished, so none can start as of {as_of:%Y-%m-%d %H:%M:%S}Z. Give a later time."
        )
    previous = history[-1]["run_id"] if history else ""
    rows = query(lake, _MEMBERS, lake.versions(TABLES), {"application": application}).to_pylist()
    visible = {row["run_id"] for row in history}
    events = [row for row in read(lake, "cluster_events").to_pylist() if row["run_id"] in visible]
    return State(
        previous,
        {row["interaction_id"]: row["cluster_id"] for row in rows},
        {row["interaction_id"]: row["text_hash"] for row in rows},
        {row["cluster_id"]: row for row in _of_run(lake, "clusters", previous)} if previous else {},
        _resolved(events),
        frozenset((row["event"], row["cluster_id"], tuple(row["other_ids"] or ())) for row in events),
    )


def clusters_of(lake: Lake, run_id: str) -> list[dict[str, Any]]:
    """The `clusters` rows of a run, largest first."""
    return sorted(_of_run(lake, "clusters", run_id), key=lambda row: (-row["size"], row["cluster_id"]))


def events_of(lake: Lake, run_id: str) -> list[dict[str, Any]]:
    """The `cluster_events` rows of a run."""
    return _of_run(lake, "cluster_events", run_id)


def _of_run(lake: Lake, table: str, run_id: str) -> list[dict[str, Any]]:
    rows: pa.Table = read(lake, table)
    return [row for row in rows.to_pylist() if row["run_id"] == run_id]


def _resolved(events: list[dict[str, Any]]) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for row in events:
        if row["event"] == "resolved":
            start = datetime.fromisoformat(msgspec.json.decode(row["details"])["window_start"])
            found[row["cluster_id"]] = max(start, found.get(row["cluster_id"], start))
    return found
