"""Which name people know a cluster by: wherever an id stands that somebody has to make sense of.

Evaluate and promote speak of slices, which are cluster ids; their reports pass them through here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from flows.run import latest
from flows.visible import one_line
from streams.lake import Lake
from streams.lake.query import rows

_WORD = re.compile(r"[0-9A-Za-z-]{6,}")


def cluster_names(lake: Lake, application: str) -> dict[str, str]:
    """Cluster id → name, as of the newest cluster run; empty where there is none."""
    run = latest(lake, "cluster", application)
    return {row["cluster_id"]: row["name"] for row in rows(lake, "clusters", run_id=run.run_id)} if run else {}


def named(text: str, names: Mapping[str, str]) -> str:
    """The text, with its name behind each cluster id: `4f2a… (refund / money)`."""
    return _WORD.sub(lambda found: f"{found[0]} ({one_line(names[found[0]])})" if found[0] in names else found[0], text)
