"""Whether a proposed split or merge is right as often as it says: `python benchmarks/certainty.py --data FILE.jsonl …`.

FILE holds `{"text", "label"}` lines; labels are used for scoring only. Each seed plays three days of every file in
each of `WORLDS`: failures are placed and changes proposed by the stage's own functions. Right is a merge of two
clusters with the same largest class, or of planted halves of one; right is a split whose parts' largest classes differ.
Prints for bins of the stated certainty how many proposals there were and how many were right, and what runs would
accept by themselves; the last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.cluster import MIN_SIZE, embedded, most, read
from flows.cluster.catalogue.trends import wilson
from flows.cluster.lineage.by_itself import certain
from flows.cluster.lineage.certainty import MERGED, MOST, SPLIT
from flows.cluster.lineage.proposals import lineage_events
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.identity import place
from flows.cluster.placement.placing import cap_for
from flows.cluster.placement.sample import first_of_each
from flows.cluster.standing import Key, key
from flows.cluster.state import Proposed, State
from flows.embed import Vectors
from schemas.records import ClusterEvent

DAYS = 3
LATE = 0.1
"""Share of the classes that nobody asks about on the first day."""
PLANTED, PLANTED_ROWS = 5, 40
"""Pairs under one id, and clusters under two, at most a third of those that have so many rows."""
BINS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
ACCEPT_FROM = (0.8, 0.9, 0.95, 0.99)
CURVES = {"merged": MERGED, "split": SPLIT}
RIDGE = 100.0
"""Inverse strength of the penalty on a fitted curve: where no proposal is on the wrong side, none is steep enough."""
NOTHING = State(
    previous="", clusters={}, pinned={}, resolved={}, proposals=(), changes=(), refused=frozenset(),
    touched=frozenset(), born={}, ran=(), done=frozenset(),
)  # fmt: skip
Rng = np.random.Generator
Row = dict[str, Any]


class World(NamedTuple):
    """How the days of a file go."""

    pairs: str
    """Which clusters come under one id after the first day: `drawn` by chance, `alike`: the most alike; or none.
    As many others are halved by chance, each half with an id of its own."""
    share: float
    """Of the file's texts, drawn by chance."""


WORLDS = {
    "as they came": World("", 1.0),
    "planted, pairs drawn": World("drawn", 1.0),
    "planted, pairs alike": World("alike", 1.0),
    "few texts, as they came": World("", 0.25),
    "few texts, pairs drawn": World("drawn", 0.25),
}


@dataclass(frozen=True)
class Said:
    """One proposal, and what the labels say of it."""

    world: str
    kind: str
    """split or merged."""
    certainty: float
    right: bool


class Played(NamedTuple):
    """What the days of one world brought."""

    said: list[Said]
    accepted: dict[float, list[Said]]
    """By the certainty from which on a run accepts: what it would, of proposals that share a cluster the surest."""


def main() -> None:
    """Play all worlds of all files; then the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSON lines with text and label")
    parser.add_argument("--embedder", default="wordllama", help="as the setting cluster.embedder")
    parser.add_argument("--seeds", type=int, default=10, help="of each world and file")
    args = parser.parse_args()
    played = []
    for path in args.data:
        texts, labels = read(path)
        vectors = embedded(texts, args.embedder)
        for number, (name, world) in enumerate(WORLDS.items()):
            rngs = [np.random.default_rng((seed, number)) for seed in range(args.seeds)]
            played += [play(vectors, labels, name, world, rng) for rng in rngs]
        print(f"{path.name}: {len(texts)} texts, {labels.max() + 1} classes, {args.seeds} seeds", flush=True)
    print(json.dumps({"seeds": args.seeds, **table(played), **fits(played), **acceptances(played)}))


def play(vectors: Vectors, labels: Ints, name: str, world: World, rng: Rng) -> Played:
    """Days of one world: each places what is new and proposes; what is proposed once is not proposed again."""
    rows = np.flatnonzero(rng.random(len(labels)) < world.share)
    vectors, labels = vectors[rows], labels[rows]
    day = rng.integers(0, DAYS, len(labels))
    late = np.isin(labels, rng.permutation(labels.max() + 1)[: round(LATE * (labels.max() + 1))])
    day[late & (day == 0)] = 1
    homes, halves = np.full(len(labels), -1, dtype=np.int64), frozenset[Key]()
    state, verdicts = NOTHING, dict[Key, Said]()
    for number in range(DAYS):
        seen = _housed(vectors, homes, np.flatnonzero(day == number))
        if world.pairs and not number:
            halves = _planted(vectors, homes, world.pairs, rng)
            continue
        for event in lineage_events(vectors[seen], _names(homes[seen]), [str(row) for row in seen], state):
            proposed = _proposed(event)
            right = is_right(proposed, labels, homes, halves)
            verdicts[key(proposed.clusters)] = Said(name, proposed.event, proposed.certainty, right)
            state = replace(state, proposals=(*state.proposals, proposed))
    accepted = {
        accept_from: [verdicts[key(one.clusters)] for one in certain(state, accept_from)] for accept_from in ACCEPT_FROM
    }
    return Played(list(verdicts.values()), accepted)


def is_right(one: Proposed, labels: Ints, homes: Ints, halves: frozenset[Key]) -> bool:
    """What the labels say of a proposal; parts of a split are of rows."""
    if one.event == "split":
        largest = [most(labels[[int(row) for row in part]]) for part in one.parts]
        return len(set(largest)) == len(largest)
    return key(one.clusters) in halves or len({most(labels[homes == int(id_)]) for id_ in one.clusters}) == 1


def _housed(vectors: Vectors, homes: Ints, today: Ints) -> Ints:
    """Gives today's rows their homes, or none; the sample of rows that the stage then looks at."""
    ids = np.unique(homes[homes >= 0])
    reference = first_of_each(homes, cap_for(len(ids)))
    owners = np.searchsorted(ids, homes[reference])
    placed = place(vectors[today], np.ones(len(today), np.int64), vectors[reference], owners, MIN_SIZE)
    named = np.append(ids, -1)[placed.known]  # the last: no old home
    homes[today] = np.where(placed.born >= 0, homes.max() + 1 + placed.born, named)
    return np.concatenate([reference, today[homes[today] >= 0]])


def _planted(vectors: Vectors, homes: Ints, pairs: str, rng: Rng) -> frozenset[Key]:
    """Puts pairs of clusters under one id and halves others; the merges that would mend it."""
    sizes = np.bincount(homes[homes >= 0])
    large = rng.permutation(np.flatnonzero(sizes >= PLANTED_ROWS))
    count = min(PLANTED, len(large) // 3)
    halved, free = large[:count], large[count:].tolist()
    middles = np.stack([vectors[homes == id_].mean(axis=0) for id_ in range(len(sizes))])
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    for _ in range(count):
        one = free.pop()
        other = max(free, key=lambda id_: float(middles[one] @ middles[id_])) if pairs == "alike" else free[-1]
        free.remove(other)
        homes[homes == other] = one
    for number, id_ in enumerate(halved.tolist()):
        homes[(homes == id_) & (rng.random(len(homes)) < 0.5)] = len(sizes) + number
    return frozenset(
        ("merged", *_names(np.array([id_, len(sizes) + number]))) for number, id_ in enumerate(halved.tolist())
    )


def _names(homes: Ints) -> list[str]:
    return [f"{home:06}" for home in homes.tolist()]


def _proposed(event: ClusterEvent) -> Proposed:
    """A proposal as the next run finds it."""
    details = event.details
    assert event.event in {"split", "merged"}
    return Proposed(
        event="split" if event.event == "split" else "merged",
        clusters=(event.cluster_id, *event.other_ids),
        run_id="",
        shares=details.shares or (),
        parts=details.parts or (),
        certainty=details.certainty or 0.0,
    )


def table(played: Sequence[Played]) -> Row:
    """By kind, world and bin: proposals, their mean stated certainty, and the share that was right."""
    print(f"\n{'':8}{'':26}{'certainty':>12}{'proposals':>11}{'stated':>8}{'right':>8}{'95 %':>14}")
    figures: Row = {}
    for kind in CURVES:
        every = [one for days in played for one in days.said if one.kind == kind]
        for world in (*WORLDS, "all"):
            of_world = [one for one in every if world in {one.world, "all"}]
            for low, high in itertools.pairwise(BINS):
                some = [one for one in of_world if low <= one.certainty < high]
                if not some:
                    continue
                stated, right = (float(np.mean([getattr(one, of) for one in some])) for of in ("certainty", "right"))
                around = "{:.3f} to {:.3f}".format(*wilson(right * len(some), len(some)))
                print(f"{kind:8}{world:26}{low:>6g}–{high:<5g}{len(some):>11}{stated:>8.3f}{right:>8.3f}  {around:>14}")
                told = {"proposals": len(some), "stated": round(stated, 3), "right": round(right, 3)}
                figures.setdefault(kind, {}).setdefault(world, {})[f"{low:g}"] = told
    return figures


def fits(played: Sequence[Played]) -> Row:
    """The curve that these proposals alone would give, beside the one that holds.

    Fitted is how the odds of being right follow the stated ones (D. R. Cox, "Two further applications of a model for
    binary regression", Biometrika 45, 1958): what is stated is what is right at a slope of 1 through nought.
    """
    found = {}
    for kind, (at_nought, slope) in CURVES.items():
        some = [one for days in played for one in days.said if one.kind == kind]
        if len({one.right for one in some}) < 2:
            continue
        stated = np.array([[math.log(sure / (1 - sure))] for sure in (min(max(x.certainty, 1e-3), MOST) for x in some)])
        right = np.array([one.right for one in some])
        fit = LogisticRegression(C=RIDGE).fit(stated, right)
        start, times = float(fit.intercept_[0]), float(fit.coef_[0, 0])
        curve = [round(start + times * at_nought, 1), round(times * slope, 1)]
        brier = [float(np.mean((sure - right) ** 2)) for sure in ([x.certainty for x in some], right.mean())]
        found[kind] = {"curve": curve, "brier": round(brier[0], 4), "brier_of_the_mean": round(brier[1], 4)}
        print(
            f"\n{kind}: log odds {at_nought:g} + {slope:g} × figure; fitted to these alone {curve[0]} + {curve[1]} × it"
        )
        print(f"   mean squared error {brier[0]:.4f}; of always saying the mean {brier[1]:.4f}")
    return {"fitted": found}


def acceptances(played: Sequence[Played]) -> Row:
    """What runs would accept by themselves, and how much of it was right, where nothing and where much is planted."""
    print(f"\n{'accepted from':>16}  {'kind':8}{'as they came':>16}{'planted':>16}")
    figures: Row = {}
    for accept_from in ACCEPT_FROM:
        for kind in CURVES:
            some = [one for days in played for one in days.accepted[accept_from] if one.kind == kind]
            told = {
                way: {"accepted": len(of_way), "right": sum(one.right for one in of_way)}
                for way, planted in (("as they came", False), ("planted", True))
                for of_way in [[one for one in some if bool(WORLDS[one.world].pairs) == planted]]
            }
            shown = "".join(f"{count['right']:>8} of {count['accepted']:<4}" for count in told.values())
            print(f"{accept_from:>16g}  {kind:8}{shown}")
            figures.setdefault(f"{accept_from:g}", {})[kind] = told
    return {"accepted_from": figures}


if __name__ == "__main__":
    main()
