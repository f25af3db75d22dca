"""What Prometheus sees of the wheel: how much waits, whether it turns, and what a turn costs. Numbers only.

On a port of its own, for the web app asks people to sign in. Archiver and triage have their own metrics. Go on to
`state.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.cost import newest as newest_cost
from schemas.errors import UsageError
from schemas.serving import UiSettings
from ui.index.lists import newest
from ui.index.rows import milliseconds
from ui.state import State
from ui.words import at


class Wheel(Collector):
    """The state of one application, asked at each scrape: from what the web app keeps, never from Kafka."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Each gauge; one that nothing is known of yet has no sample."""
        state, health = self._state, self._state.health.seen
        last = None
        if state.folded is not None:
            with state.reading() as sql:
                last = newest(sql, milliseconds(datetime.now(UTC)))
        cost = newest_cost(state.lake, state.application)
        asked = health.asked and not health.kafka
        yield self._gauge("kafka_answers", "1 where Kafka could be asked", float(asked) if health.asked else None)
        yield self._gauge("lag_events", "Events in Kafka that are not in the lake", health.behind if asked else None)
        yield self._gauge("lost_events", "Events that Kafka dropped before", health.lost if asked else None)
        yield self._gauge("archiver_stopped", "1 while events wait and none comes to rest", health.archiver_stopped)
        turned = state.turned
        yield self._gauge("turn_as_of_seconds", "Unix time that the newest turn is as of", _unix(turned))
        yield self._gauge(
            "newest_event_seconds", "Unix time of the newest interaction", _unix(at(last)) if last else None
        )
        yield self._gauge("turn_cpu_seconds", "CPU seconds of the newest turn", cost.cpu_s if cost else None)
        yield self._gauge("turn_wall_seconds", "Seconds of the newest turn", cost.wall_s if cost else None)

    def _gauge(self, name: str, what: str, value: float | None) -> Metric:
        found = GaugeMetricFamily(f"flywheel_{name}", what, labels=["application"])
        if value is not None:
            found.add_metric([self._state.application], value)
        return found


def _unix(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def serve(state: State, settings: UiSettings) -> None:
    """Answer Prometheus; port 0: do not. Raises UsageError where address or port cannot be had."""
    if not settings.metrics_port:
        return
    registry = CollectorRegistry()
    registry.register(Wheel(state))
    try:
        start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        raise UsageError(
            f"{settings.metrics_host}:{settings.metrics_port} for metrics cannot be had ({error.strerror}): "
            "ui.metrics_port names another port, 0 none; ui.metrics_host another address"
        ) from error
