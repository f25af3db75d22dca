"""What trends count is of the times that they look at, whatever else an engine brings along."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flows.cluster.catalogue.population import FOR_EVER, Population, population
from flows.cluster.state import Now
from flows.run import begin
from flows.testing.events import START
from streams.lake.query import query


class Unpruned(Population):
    """As Spark reads: every file of the table, whatever its rows' times."""

    def _part(self, stretches: Any) -> Any:  # noqa: ARG002
        return {}


def test_traffic_is_of_the_times_looked_at(world: Any, make: Any) -> None:
    """Days 0 to 9: of [2, 4) and from 8 on, the end not included; the same where all files are read."""
    world.happened(*[make.asked(day, time=START + timedelta(days=day)) for day in range(10)])
    world.run(days=10)
    now = Now(world.lake, begin(world.lake, "cluster", "support-bot", START + timedelta(days=11), (), None))
    days = [START + timedelta(days=n) for n in range(10)]
    stretches = [(days[8], FOR_EVER), (days[2], days[4])]

    for kind in (Population, Unpruned):
        seen = kind(now, {}, []).traffic([], stretches, days[9])
        traffic, modes, values = seen.traffic, seen.modes, seen.values
        assert sorted(traffic.time) == [days[n].timestamp() for n in (2, 3, 8, 9)], kind
        assert (len(traffic.cluster), len(traffic.unit), len(modes)) == (4, 4, 4)
        assert values["request_model"] == ["bot-1"]


def test_what_is_asked_of_failures_alone_is_what_is_asked_of_all(world: Any, make: Any) -> None:
    """Failures that stand, that were taken back, and that came late to what was fine: the same counts and words."""
    rows = [make.asked(n, make.phrase("card", n)) for n in range(40)]
    world.happened(*rows, *[make.said(row) for row in rows[:30]], *[make.said(row, value=1.0) for row in rows[30:]])
    world.run(days=1)
    world.happened(*[make.said(row, value=1.0, user_id=row.user_id) for row in rows[:5]])
    world.happened(*[make.said(row, value=0.0, user_id=row.user_id) for row in rows[30:36]])
    world.run(days=2)
    now = Now(world.lake, begin(world.lake, "cluster", "support-bot", START + timedelta(days=3), (), None))

    whole = population(now)
    with now.with_failures() as apart:
        found = population(apart)

        assert apart.failures
        assert (found.groups, found.modes) == (whole.groups, whole.modes)
        assert found.words == whole.words
        assert sum(group.failures for group in found.groups.values()) == 31
    other = Now(world.lake, begin(world.lake, "cluster", "another", START + timedelta(days=3), (), None))
    with other.with_failures() as apart:
        assert query(world.lake, "SELECT * FROM stored_outcomes", {"outcomes": 0}, parts=apart.failures).num_rows == 0
