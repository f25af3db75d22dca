"""What triage shows: its numbers as one JSON-able value, as a page for people (`report.html`), and for Prometheus.

Pure; `streams/triage/app.py` serves all three.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from schemas.settings import TriageSettings
from streams.triage.canary import Watch, standing
from streams.triage.rates import Counts, Group
from streams.triage.sequential import describe

_SOURCE = Path(__file__).with_name("report.html").read_text()
_PAGE = Environment(autoescape=True).from_string(_SOURCE)
STYLE = _SOURCE.partition("<style>")[2].partition("</style>")[0]
"""Between the page's style tags: what its policy allows (`web.py`)."""


def report(
    windows: Sequence[tuple[Group, int, Counts]],
    raised: Collection[Group],
    watches: Mapping[str, Watch],
    events: Mapping[str, int],
    settings: TriageSettings,
) -> dict[str, Any]:
    """All rates: by group over the windows that are kept, and by window (its start in epoch seconds), newest first.

    `raised` are the groups with an alarm, `watches` who serves by application, `events` what was seen and dropped.
    """
    groups: dict[Group, Counts] = {}
    for group, _, counts in windows:
        groups[group] = groups.get(group, Counts()).plus(counts)
    return {
        "window_s": settings.window_s,
        "groups": [{**_row(group, counts), "alarm": group in raised} for group, counts in sorted(groups.items())],
        "windows": [
            {"start": start, **_row(group, counts)}
            for group, start, counts in sorted(windows, key=lambda row: (-row[1], row[0]))
        ],
        "champions": [{"application": name, **described(watch, settings)} for name, watch in sorted(watches.items())],
        "events": dict(sorted(events.items())),
    }


def page(rates: Mapping[str, Any]) -> str:
    """A report as HTML; every name that a producer wrote is escaped."""
    return _PAGE.render(rates, moment=lambda seconds: f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}")


def metrics(rates: Mapping[str, Any]) -> str:
    """A report in Prometheus' text format. Numbers only: no content of any event but the names of its group."""
    registry = CollectorRegistry()
    events = Counter("flywheel_triage_events", "Events since the process started, by kind", ["kind"], registry=registry)
    for kind, count in rates["events"].items():
        events.labels(kind).inc(count)
    labels = Group.__struct_fields__
    for name in ("interactions", "judged", "failed", "alarm"):
        gauge = Gauge(f"flywheel_triage_{name}", "Over all windows that are kept", labels, registry=registry)
        for row in rates["groups"]:
            gauge.labels(*(row[label] for label in labels)).set(row[name])
    return generate_latest(registry).decode()


def _row(group: Group, counts: Counts) -> dict[str, Any]:
    numbers = {name: getattr(counts, name) for name in ("interactions", "judged", "failed", "rate")}
    return {**msgspec.structs.asdict(group), **numbers}


def described(watch: Watch, settings: TriageSettings) -> dict[str, Any]:
    """Who serves, and how the comparisons with the one before stand: beside it, and against its rate before."""
    before = describe(watch.before) if watch.before else {}
    return {
        "champion": watch.champion and watch.champion.model,
        "former": watch.former and watch.former.model,
        "standing": standing(watch, settings),
        "users": watch.users,
        "users_failed": watch.users_failed,
        "sampled": watch.share,
        **(describe(watch.canary) if watch.canary else {}),
        **({"rate_before": before["baseline_failure_rate"], "evidence_before": before["evidence"]} if before else {}),
    }
