"""Simulations of what watches production: the rollback in production order, trends and closure. Parts of `gate.py`.

Each world runs the product's own code: users are met, wait and are counted as in `streams/triage`, counts are tested
as in `flows/cluster/catalogue`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
from msgspec import structs

from flows.cluster.catalogue.closure import LOOKS, Known, closures
from flows.cluster.catalogue.closure import Promotion as Change_
from flows.cluster.catalogue.trends import Traffic, changes, counts, onsets, windows
from schemas.records import make_candidate
from schemas.settings import TriageSettings
from streams.triage.canary import Promotion, Watch, arm_of, begin, counted, standing
from streams.triage.rates import Change, Group
from streams.triage.users import Met, Users

Rng = np.random.Generator
Figures = dict[str, float]
HOUR, DAY = 3600.0, 86_400.0
OLD, NEW = (make_candidate(name, "http://127.0.0.1/v1") for name in ("old", "new"))
UNITS = (10, 30, 100, 1000)
TWELVE = 12
SETTINGS = TriageSettings(canary_alpha=0.05)


class Kept(dict[bytes, Met]):
    """The table of users, in memory."""

    put = dict[bytes, Met].__setitem__

    def drop(self, key: bytes) -> None:
        """Forget a user."""
        self.pop(key, None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self.keys()))


def events(rng: Rng, users: int, days: float, fails: tuple[float, float], beside: float, start: float) -> list[Change]:
    """Requests and what is told of them, in the order in which they are heard.

    Three users in ten come ten times as often and fail twice as much; by day more come than by night; requests become
    harder by the day, twice as hard in the end. Of failures two in three are told, within an hour or so; of successes
    one in three, within a day or so. `fails`: the rates of old and new; `beside`: the share that the old one keeps.
    """
    busy = rng.random(users) < 0.3
    requests = rng.poisson(np.where(busy, 10.0, 1.0) * days / 7) + 1
    user = np.repeat(np.arange(users), requests)
    time = start + rng.uniform(0, days * DAY, len(user))
    awake = rng.random(len(user)) < 0.55 + 0.45 * np.sin(2 * np.pi * time / DAY)
    time = np.where(awake, time, time + DAY / 2)
    old = (rng.random(users) < beside)[user]
    harder = 0.7 + 0.8 * (time - start) / (days * DAY)
    failed = rng.random(len(user)) < np.where(old, fails[0], fails[1]) * np.where(busy, 1.5, 0.75)[user] * harder
    told = rng.random(len(user)) < np.where(failed, 0.67, 0.33)
    late = time + rng.exponential(np.where(failed, HOUR, DAY))
    request = np.concatenate([np.arange(len(user)), np.flatnonzero(told)])
    word = (np.arange(len(request)) >= len(user)).astype(int)
    times = np.concatenate([time, late[told]])
    columns = times, old[request], request, user[request], 1 - word, word, word * failed[request]
    heard = zip(*(column[np.lexsort((word, times))].tolist() for column in columns), strict=True)
    groups, units = (Group("shop", "new"), Group("shop", "old")), [f"u{who}" for who in range(users)]
    names = [f"{start}-{n}" for n in range(len(user))]
    return [
        Change(groups[by_old], at, names[n], units[who], asked, judged, bad)
        for at, by_old, n, who, asked, judged, bad in heard
    ]


def in_order(change: Change) -> tuple[float, int]:
    """By time, a request before what is told of it."""
    return change.time, -change.interactions


def watched(watch: Watch, heard: list[Change], settings: TriageSettings) -> tuple[Watch, float | None]:
    """The watch after all that was heard, and when it found the champion worse, if it did."""
    users = Users(Kept(), settings.canary_delay_s, settings.keep_interactions)
    end = heard[-1].time + settings.canary_delay_s + 1
    silence = Change(Group("", ""), end, "", "", 0, 0, 0)
    for offset, change in enumerate([*heard, silence]):
        for _, met in users.due(change.time):
            watch = counted(watch, met.arm, met.failed > 0)
            if standing(watch, settings) == "worse":
                return watch, change.time
        if arm := arm_of(watch, change.group):
            users.hear(("shop", watch.decision_id, change.unit), 1.0, arm, change, offset, change.time)
    return watch, None


def promoted(rng: Rng, users: int, settings: TriageSettings, rate: float = 0.2) -> Watch:
    """A watch that begins after a week of the former champion; its rate is unknown where it had no users."""
    first = begin(None, Promotion("shop", "first", 1, "promoted", OLD), settings)
    if users:
        heard = events(rng, users, 7, (rate, rate), 1.0, 0.0)
        first, _ = watched(first, heard, settings)
    return begin(first, Promotion("shop", "second", 2, "promoted", NEW), settings)


def production_order(rng: Rng, repeats: int) -> Figures:
    """Harmless champions in production order: how often they are taken back; and how soon a harmful one is found.

    Beside it what a rate before would do, and what twelve accounts do, with the product's bound and without.
    """
    print("\nThe watch in production order (alpha .05, margin .02; busy users, delays, nights, drift)\n")
    print("| users | kept | taken back | on the rate before | 12 sybils | no bound | on the rate before | no bound |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    unbound = structs.replace(SETTINGS, canary_accounts=0)
    before = structs.replace(unbound, canary_beside=False)
    sure = structs.replace(SETTINGS, canary_beside=False)
    worst = np.zeros(2)
    for users in UNITS:
        runs = repeats // (5 if users >= 1000 else 1)
        for beside in (0.5, 0.1):
            found = np.zeros(6)
            for _ in range(runs):
                heard = events(rng, users, 14, (0.2, 0.2), beside, 8 * DAY)
                attacked = with_sybils(rng, events(rng, users, 14, (0.02, 0.02), beside, 8 * DAY))
                found += [
                    watched(watch, seen, settings)[1] is not None
                    for watch, seen, settings in (
                        (promoted(rng, 0, SETTINGS), heard, SETTINGS),
                        (promoted(rng, users, before), heard, before),
                        (promoted(rng, 0, SETTINGS), attacked, SETTINGS),
                        (promoted(rng, 0, unbound), attacked, unbound),
                        (promoted(rng, users, sure, 0.02), attacked, sure),
                        (promoted(rng, users, before, 0.02), attacked, before),
                    )
                ]
            rates = found / runs
            worst = np.maximum(worst, [rates[0], max(rates[2], rates[4])])
            print(f"| {users} | {beside} | {' | '.join(f'{rate:.3f}' for rate in rates)} |", flush=True)
    return {
        "false_rollback_production_order": float(worst[0]),
        "rollback_by_12_sybils": float(worst[1]),
        **delays(rng, repeats),
    }


def with_sybils(rng: Rng, heard: list[Change]) -> list[Change]:
    """Twelve accounts that ask the new champion and say at once that it failed, in the first day."""
    attacked = heard.copy()
    for n in range(TWELVE):
        at = heard[0].time + float(rng.uniform(0, DAY))
        insort(attacked, Change(Group("shop", "new"), at, f"s{n}", f"sybil-{n}", 1, 0, 0), key=in_order)
        insort(attacked, Change(Group("shop", "new"), at + 1, f"s{n}", f"sybil-{n}", 0, 1, 1), key=in_order)
    return attacked


def delays(rng: Rng, repeats: int, users: int = 10_000) -> Figures:
    """Users who were counted, and hours, until a champion that fails 10 points more often is taken back."""
    print("\n| fails | kept on the former | found | users counted, median | hours, median |\n|---|--:|--:|--:|--:|")
    median, runs = 0.0, max(5, repeats // 30)
    for fails in ((0.2, 0.3), (0.1, 0.4)):
        for beside in (0.5, 0.1):
            seen = []
            for _ in range(runs):
                watch = promoted(rng, 0, SETTINGS)
                after, at = watched(watch, events(rng, users, 7, fails, beside, 8 * DAY), SETTINGS)
                canary = after.canary
                if at is not None and canary is not None:
                    seen.append((canary.canary_users + canary.control_users, (at - 8 * DAY) / HOUR))
            share = len(seen) / runs
            counts = np.median(np.array(seen or [(np.nan, np.nan)]), axis=0)
            print(
                f"| {fails[0]} to {fails[1]} | {beside} | {share:.2f} | {counts[0]:.0f} | {counts[1]:.0f} |", flush=True
            )
            if (fails, beside) == ((0.2, 0.3), 0.5):
                median = float(counts[0])
    return {"rollback_delay_median": median}


NOW = datetime(2026, 3, 1, tzinfo=UTC)
TOPICS = 40


def days(rng: Rng, rates: np.ndarray, length: int, daily: float) -> Traffic:
    """Days of 2,000 people until NOW: who fails does so one to three times, topics come and go by the day."""
    failing = rng.poisson(rates * 2000 * rng.gamma(1 / daily**2, daily**2, (length, len(rates))))
    who = np.repeat(np.tile(np.arange(len(rates)), length), failing.ravel())
    day = np.repeat(np.repeat(np.arange(length), len(rates)), failing.ravel())
    times = rng.integers(1, 4, len(who))
    quiet = np.repeat(np.arange(length), 2000)
    day = np.concatenate([np.repeat(day, times), quiet])
    unit = np.concatenate([np.repeat(np.arange(len(who)), times), len(who) + np.arange(len(quiet))])
    cluster = np.concatenate([np.repeat(who, times), np.full(len(quiet), -1)])
    return Traffic(NOW.timestamp() - DAY * (length - day) + rng.uniform(0, DAY, len(day)), cluster, unit)


def announced(rng: Rng, daily: float, looks: int) -> bool:
    """Whether anything is announced in the looks at one day after seven like it."""
    rates = np.linspace(0.005, 0.03, TOPICS)
    traffic, first = days(rng, rates, 9 if looks > 1 else 8, daily), np.zeros(TOPICS, dtype=np.int64)
    since = onsets(traffic, 24)
    spans = (windows(NOW - timedelta(hours=hour), 24, None) for hour in range(looks))
    counted = (counts(traffic, one, TOPICS, 3, since, open_end=False) for one in spans)
    return any(change.significant for one in counted for change in changes(one, first, looks))


def closed(rng: Rng, daily: float, burst: bool) -> bool:
    """Whether a promotion that changed nothing is said to have changed a cluster, at any of its looks.

    With `burst` the clusters are those of 400 small topics that had a day with eight people or more before it.
    """
    promoted, born, size = NOW - timedelta(days=7), NOW - timedelta(days=100), 5
    rates = np.full(400, 0.0015) if burst else np.linspace(0.005, 0.03, TOPICS)
    traffic = days(rng, rates, 8 if burst else 14, daily)
    if burst:
        born, size = promoted - timedelta(minutes=1), 8
        before = traffic.time < promoted.timestamp()
        people = {
            (int(c), int(u)) for c, u in zip(traffic.cluster[before], traffic.unit[before], strict=True) if c >= 0
        }
        many = np.bincount([c for c, _ in people], minlength=400)
        index = np.append(np.where(many >= size, np.cumsum(many >= size) - 1, -1), -1)
        traffic = Traffic(traffic.time, index[traffic.cluster], traffic.unit)
    number = int(traffic.cluster.max()) + 1
    who = Known(ids=[str(n) for n in range(number)], born=[born] * number, min_size=size, closures=[()] * number)
    change = [Change_(promoted, "new", "promoted")]
    looks = (promoted + timedelta(days=look) for look in LOOKS)
    rows = (row for at in looks for row in closures(traffic, change, who, at, 24, cap=3))
    return any(one.verdict != "unclear" for row in rows for one in row)


def quiet(rng: Rng, repeats: int) -> Figures:
    """Where nothing changes: how often anything is announced of clusters, and how often a promotion fixed some."""
    print("\n40 quiet clusters, 2,000 people a day, who fails does so 1 to 3 times: share of worlds with any call\n")
    print("| rates vary by the day | one look | 24 looks | closure, 5 looks | closure, clusters that a burst made |")
    print("|--:|--:|--:|--:|--:|")
    worst = np.zeros(2)
    for daily in (0.05, 0.25, 0.5):
        calls: list[tuple[Callable[[], bool], int]] = [
            (lambda d=daily: announced(rng, d, 1), repeats),
            (lambda d=daily: announced(rng, d, 24), max(repeats // 10, 20)),
            (lambda d=daily: closed(rng, d, burst=False), max(repeats // 4, 20)),
            (lambda d=daily: closed(rng, d, burst=True), max(repeats // 4, 20)),
        ]
        rates = [sum(call() for _ in range(runs)) / runs for call, runs in calls]
        worst = np.maximum(worst, [max(rates[:2]), max(rates[2:])])
        print(f"| {daily} | {' | '.join(f'{rate:.3f}' for rate in rates)} |", flush=True)
    return {"false_announcements_overdispersed": float(worst[0]), "false_closures": float(worst[1])}


SECTIONS: dict[str, tuple[Callable[[Rng, int], Figures], int, int]] = {
    "watch": (production_order, 500, 100),
    "quiet": (quiet, 300, 20),
}
"""As in `gate.py`."""
