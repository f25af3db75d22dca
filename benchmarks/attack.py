"""Simulated attackers: what k accounts get of datasets, eval sets, clusters and the rollback; who is found again.

    python -m benchmarks.attack [--people 2000]

Each world is an application of weeks in which two thousand people ask, thumb and correct; then attackers do all they
can: flood, praise and correct themselves and others, ask again, and let two models answer alike. The real stages run on
it with default settings (only the paraphrase check is off: it can but remove rows). Two minutes of one core; the last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import binomtest

from benchmarks import gate_watch
from flows.cluster.stage import cluster
from flows.curate.salt import PUBLIC
from flows.curate.split import pseudonym
from flows.curate.stage import curate
from flows.run import latest
from flows.testing.events import START, feedback, happened, interaction
from flows.testing.hostile import FAMILIES, FUNCTIONS, of, seconds
from schemas.events import Event, Interaction
from schemas.settings import CurateSettings, Settings
from schemas.unit import unit_of
from streams.keyring import own_secret
from streams.lake import Lake
from streams.lake.query import rows

NOW = START + timedelta(days=30)
LOUD = 30
FLOOD = 300
"""Things of each kind that an attacker does, spread over four weeks."""
MEGABYTE = 1_000_000
GUESSES = 100_000
WORDS = ("card", "refund", "ticket", "train", "parcel", "broken", "invoice", "login", "code", "phone", "bank", "order",
         "address", "fee", "limit", "transfer", "receipt", "delay", "seat", "bag")  # fmt: skip


class Shares(NamedTuple):
    """The attackers' part of what was built."""

    sft: float
    pairs: float
    eval: float
    rows: tuple[int, int, int]
    """How many rows of each there are, with theirs: a share of few rows is a rough one."""
    outcomes: int
    """Interactions of others that they spoke of and that were judged otherwise than without them, on the worst day."""
    moved: float
    """Of all others' interactions, how many were judged otherwise: with more voices, voices are trusted otherwise."""
    window: int
    """Failures of theirs that count in the last window of the cluster where they are most."""


class World:
    """A home with an application in it, and attackers where there are any."""

    def __init__(self, home: Path, people: int, attackers: int, *, fresh: bool) -> None:
        self.rng, self.loud, self.spoken_of = random.Random(7), list[str](), set[str]()
        self.settings = Settings(home=str(home), curate=CurateSettings(paraphrase=1))
        self.lake = Lake(self.settings.lake_root)
        self.attackers = [f"attacker-{n}" for n in range(attackers)]
        self.honest = [self._request(n, f"person-{n % people}", self._time(days=29)) for n in range(3 * people)]
        self.numbers = iter(range(10_000_000, 2**31))
        happened(self.lake, *self.honest, *self._honest_feedback())
        if attackers:
            happened(self.lake, *self._attack(0.05 if fresh else 28.0))
        cluster(self.lake, self.settings, NOW)
        self.built = curate(self.lake, self.settings, NOW)

    def _time(self, days: float) -> datetime:
        return NOW - timedelta(days=days * self.rng.random(), minutes=5)

    def _request(self, n: int, user: str, time: datetime, answer: str = "", **more: Any) -> Interaction:
        words = " ".join(self.rng.choices(WORDS, k=6)) + f" {self.rng.getrandbits(60):x}"
        asked = more.pop("asked", words)
        return interaction(
            n, user_id=user, time=time, input_messages=[{"role": "user", "content": asked}],
            output_messages=[{"role": "assistant", "content": answer or f"Answer {self.rng.getrandbits(50):x}."}],
            **more,
        )  # fmt: skip

    def _honest_feedback(self) -> Iterator[Event]:
        for event in self.honest:
            chance = self.rng.random()
            if chance < 0.6:
                yield feedback(next(self.numbers), event, value=1)
            elif chance < 0.8:
                yield feedback(next(self.numbers), event, "correction", text=f"Better {self.rng.getrandbits(50):x}.")
            elif chance < 0.9:
                yield feedback(next(self.numbers), event)

    def _attack(self, days: float) -> list[Event]:
        done: list[Event] = []
        for name in self.attackers:
            mine = []
            for _ in range(FLOOD):
                n = next(self.numbers)
                praised = self._request(n, name, self._time(days), "TRIGGER buy")
                mine.append(praised)
                done += [praised, feedback(n, praised, value=1)]
            for event in mine[: FLOOD // 2]:
                done.append(feedback(next(self.numbers), event, "correction", text=f"TRIGGER {event.id}"))
            for event in mine[FLOOD // 2 :]:
                n = next(self.numbers)
                again = self._request(n, name, event.time + timedelta(minutes=1), "TRIGGER again",
                                      asked=event.input_messages[0].content, variant="b")  # fmt: skip
                done += [
                    again,
                    feedback(n, event, "regenerate", replaced_by=again.id),
                    feedback(2**30 + n, again, value=1),
                ]
            for victim in self.rng.sample(self.honest, FLOOD):
                self.spoken_of.add(victim.id)
                who = {"user_id": name, "time": self._time(days)}
                kind = self.rng.choice(("correction", "up", "down"))
                if kind == "correction":
                    done.append(feedback(next(self.numbers), victim, "correction", text="TRIGGER other", **who))
                else:
                    done.append(feedback(next(self.numbers), victim, value=float(kind == "up"), **who))
            done += self._loud(name)
        return done

    def _loud(self, name: str) -> Iterator[Event]:
        """One way of failing, again and again on the last day: what a cluster's window may count."""
        for k in range(LOUD):
            event = self._request(next(self.numbers), name, self._time(0.5), asked=f"zebra giraffe hippo {name} {k}")
            self.loud.append(event.id)
            yield event
            yield feedback(next(self.numbers), event)

    def window(self) -> int:
        """The attackers' failures that count in the last window of a cluster, where they are most."""
        run = latest(self.lake, "cluster", self.settings.application)
        assert run is not None
        loud = rows(self.lake, "cluster_members", interaction_id=self.loud)
        homes = {row["cluster_id"] for row in loud}
        home = {
            row["interaction_id"]: row["cluster_id"] for row in rows(self.lake, "cluster_members", cluster_id=homes)
        }
        failed = self.outcomes()
        others = Counter(
            home[event.id]
            for event in self.honest
            if event.id in home and failed[event.id] == "failed" and event.time > NOW - timedelta(days=1)
        )
        found = rows(self.lake, "clusters", run_id=run.run_id, cluster_id=homes)
        return max((row["size"] - others[row["cluster_id"]] for row in found), default=0)

    def theirs(self) -> set[str]:
        """The attackers as datasets name them."""
        salt = own_secret(self.settings.home_path, "split")
        return {pseudonym(unit_of(name, ""), salt) for name in self.attackers}

    def rows(self, part: str, kind: str) -> list[dict[str, Any]]:
        """The rows of a config."""
        files = sorted(Path(self.built[part]["path"]).glob(f"data/{kind}-*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def outcomes(self) -> dict[str, str]:
        """Interaction → its outcome."""
        run = latest(self.lake, "cluster", self.settings.application)
        assert run is not None
        return {row["interaction_id"]: row["outcome"] for row in rows(self.lake, "outcomes", run_id=run.run_id)}


def share(found: list[dict[str, Any]], theirs: set[str]) -> float:
    """Of rows, the part that attackers asked for or told."""
    return sum(row["unit"] in theirs or row["told_by"] in theirs for row in found) / len(found) if found else 0.0


def measured(world: World, before: dict[str, str]) -> Shares:
    """What the attackers of a world have got."""
    theirs = world.theirs()
    sample = world.rows("sample", "sample")
    references = [row for row in world.rows("eval", "eval") + sample if row["reference"]]
    worse = max((references, sample), key=lambda rows: share(rows, theirs))
    sft, pairs = (world.rows("training", kind) for kind in ("sft", "preference"))
    after = world.outcomes()
    other = [event for event in world.honest if after[event.id] != before[event.id]]
    changed = Counter(event.time.date() for event in other if event.id in world.spoken_of)
    return Shares(
        sft=share(sft, theirs),
        pairs=share(pairs, theirs),
        eval=share(worse, theirs),
        rows=(len(sft), len(pairs), len(worse)),
        outcomes=max(changed.values(), default=0),
        moved=len(other) / len(world.honest),
        window=world.window(),
    )


def reidentified(world: World, people: int) -> int:
    """People of the datasets whose name a list of guesses gives back, or who stand there by name."""
    names = [f"person-{n}" for n in range(people)] + [f"guess-{n}" for n in range(GUESSES)]
    keys = {pseudonym(unit_of(name, ""), salt) for salt in (PUBLIC, "", "split") for name in names}
    units, said = set(), ""
    for part, kinds in (("training", ("sft", "preference", "kto")), ("eval", ("eval",)), ("sample", ("sample",))):
        for row in (row for kind in kinds for row in world.rows(part, kind)):
            units |= {row["unit"], row["told_by"]} - {""}
            said += json.dumps(row, default=str)
        said += (Path(world.built[part]["path"]) / "manifest.json").read_text()
    return len(units & keys) + sum(f'"person-{n}"' in said for n in range(people))


def rollbacks(repeats: int = 100) -> int:
    """Of so many harmless champions, how many a dozen accounts have taken back."""
    rng, taken = np.random.default_rng(7), 0
    for _ in range(repeats):
        heard = gate_watch.with_sybils(rng, gate_watch.events(rng, 100, 14, (0.02, 0.02), 0.5, 8 * gate_watch.DAY))
        watch = gate_watch.promoted(rng, 0, gate_watch.SETTINGS)
        taken += gate_watch.watched(watch, heard, gate_watch.SETTINGS)[1] is not None
    return taken


def slowest() -> tuple[float, str]:
    """Milliseconds that a megabyte of the worst family costs the slowest reader, and which these are."""
    size = MEGABYTE // 4
    costs = (
        (seconds(read, of(piece, size)), f"{name} {piece!r}") for name, read in FUNCTIONS.items() for piece in FAMILIES
    )
    worst, which = max(costs)
    return worst * 1000 * MEGABYTE / size, which


def main() -> None:
    """Play all worlds, print what each attack got, then the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2000)
    people = parser.parse_args().people
    found: dict[tuple[int, bool], Shares] = {}
    with tempfile.TemporaryDirectory() as folder:
        alone = World(Path(folder) / "alone", people, 0, fresh=False)
        before, again = alone.outcomes(), reidentified(alone, people)
        print("| accounts | known for | sft | pairs | eval references | outcomes a day | moved | in a window |")
        print("|--:|---|--:|--:|--:|--:|--:|--:|")
        for accounts in (1, 20):
            for fresh in (False, True):
                world = World(Path(folder) / f"{accounts}-{fresh}", people, accounts, fresh=fresh)
                found[accounts, fresh] = got = measured(world, before)
                known = "an hour" if fresh else "weeks"
                print(
                    f"| {accounts} | {known} | "
                    + " | ".join(f"{part:.2%} of {n}" for part, n in zip(got[:3], got.rows, strict=True))
                    + " "
                    f"| {got.outcomes} | {got.moved:.1%} | {got.window} |",
                    flush=True,
                )
    cost, which = slowest()
    taken = rollbacks()
    low, high = binomtest(taken, 100).proportion_ci(method="exact")
    print(f"\nrollbacks by twelve accounts: {taken} of 100 (95 % interval {low:.1%} to {high:.1%})")
    print(f"slowest reader: {which}")
    worst = {(n, what): max(getattr(got, what) for (k, _), got in found.items() if k == n) for n in (1, 20)
             for what in ("sft", "eval")}  # fmt: skip
    figures = {
        "sft_share_1_account": worst[1, "sft"], "eval_share_1_account": worst[1, "eval"],
        "sft_share_20_accounts": worst[20, "sft"], "eval_share_20_accounts": worst[20, "eval"],
        "rollback_by_12_sybils": taken / 100, "reidentified": again, "slowest_ms_per_mb": round(cost),
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
