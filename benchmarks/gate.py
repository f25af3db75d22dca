"""Simulation study of the gate: how often it errs, and how much it finds. Seeded; about two minutes of one core.

    python benchmarks/gate.py [--quick]

Every row runs the gate's own code on simulated scores with a known truth. The last line is one JSON object; the tables
are those of docs/gate.md, which also says how to read them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtri, stdtr

from flows.evaluate.compare import Paired, differences
from flows.evaluate.correction import corrected_mean
from flows.evaluate.selftest import swapped
from flows.promote.gate import decide
from flows.statistics import Estimate, Floats, cluster_mean, minimum_detectable
from schemas.records import Comparison, Verdict, make_candidate
from schemas.settings import GateSettings
from streams.sequential import Canary, observe, worse

NOBODY = make_candidate("simulated", "http://127.0.0.1/v1")
ALPHA = 0.05
Rng = np.random.Generator


def binary(rng: Rng, n: int, difference: float, discordant: float = 0.2, unit: int = 1, spread: float = 0.0) -> Paired:
    """Paired 0/1 scores: `discordant` of the items differ, their balance is `difference`.

    In units of `unit` items the balance goes up or down by `spread`, which makes an ICC of spread^2 / discordant.
    """
    units = np.arange(n) // unit
    tilt = difference + spread * rng.choice([-1.0, 1.0], units.max() + 1)[units]
    draw = rng.random(n)
    win, loss = (discordant + tilt) / 2, (discordant - tilt) / 2
    values = np.where(draw < win, 1.0, np.where(draw < win + loss, -1.0, 0.0))
    both = (rng.random(n) < 0.7).astype(float)
    champion = np.where(values == 0, both, (values < 0).astype(float))
    return paired(champion, champion + values, units)


def sampled(rng: Rng, n: int, difference: float, k: int = 3) -> Paired:
    """Means of k answers an item; each item has its own chance, which the candidate shares but for `difference`."""
    chance = rng.beta(2.1, 0.9, n) * (1 - 2 * abs(difference)) + abs(difference)
    units = np.arange(n)
    champion = rng.binomial(k, chance) / k
    return paired(champion, rng.binomial(k, chance + difference) / k, units)


def paired(champion: Floats, candidate: Floats, units: np.ndarray, slices: np.ndarray | None = None) -> Paired:
    """Arrays as the gate takes them."""
    places = np.full(len(champion), -1) if slices is None else slices
    names = tuple(f"s{code}" for code in range(int(places.max(initial=-1)) + 1))
    return Paired(tuple(map(str, range(len(champion)))), units, places, names, champion, candidate)


def verdict(scores: Paired, gate: GateSettings) -> Verdict:
    """The gate's answer."""
    overall, slices = differences(scores, gate)
    return decide(Comparison("simulated", NOBODY, NOBODY, "simulated", overall, slices), gate)


def share(repeats: int, happens: Callable[[], bool]) -> float:
    """How often something happens."""
    return sum(happens() for _ in range(repeats)) / repeats


DESIGNS: dict[str, Callable[[Rng, int, float], Paired]] = {
    "single items": binary,
    "nine in ten ties": lambda rng, n, d: binary(rng, n, d, discordant=0.1),
    "units of 5, ICC .1": lambda rng, n, d: binary(rng, n, d, unit=5, spread=0.14),
    "3 samples an item": sampled,
}


def false_promotion(rng: Rng, repeats: int) -> tuple[float, float]:
    """The worst cells of: equal models under `better`, and truly worse by the margin under `as_good`."""
    print(
        f"\nFalse promotions (alpha {ALPHA}; margin .05)\n\n| design | n | better, no difference | as_good, at margin |"
    )
    print("|---|--:|--:|--:|")
    worst = [0.0, 0.0]
    gates = GateSettings(policy="better"), GateSettings(policy="as_good", margin=0.05)
    for name, draw in DESIGNS.items():
        for n in (50, 100, 200, 500, 1000, 5000):
            rates = [
                share(repeats, lambda d=d, g=g, n=n, draw=draw: verdict(draw(rng, n, d), g).verdict == "promote")
                for d, g in zip((0.0, -0.05), gates, strict=True)
            ]
            worst = [max(pair) for pair in zip(worst, rates, strict=True)]
            print(f"| {name} | {n} | {rates[0]:.3f} | {rates[1]:.3f} |")
    return worst[0], worst[1]


def power_curve(rng: Rng, repeats: int, n: int = 1000) -> None:
    """How often a candidate of each true difference is promoted, and what an unpaired test finds in the same scores."""
    print(f"\nPower (n {n}, one item in five differs, margin .03)\n\n| true difference | better | as_good | unpaired |")
    print("|--:|--:|--:|--:|")
    for difference in (-0.06, -0.03, -0.015, 0.0, 0.015, 0.03, 0.045, 0.06):
        found = np.zeros(3)
        for _ in range(repeats):
            scores = binary(rng, n, difference)
            found += [
                verdict(scores, GateSettings(policy="better")).verdict == "promote",
                verdict(scores, GateSettings(policy="as_good")).verdict == "promote",
                _unpaired(scores) <= ALPHA,
            ]
        better, as_good, unpaired = found / repeats
        print(f"| {difference:+.3f} | {better:.3f} | {as_good:.3f} | {unpaired:.3f} |")


def _unpaired(scores: Paired) -> float:
    a, b = scores.champion, scores.candidate
    se = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return float(stdtr(2 * len(a) - 2, (a.mean() - b.mean()) / se))


def family_wise(rng: Rng, repeats: int) -> float:
    """Equal models, many slices: how often any harm test blocks; and how often uncorrected tests would."""
    print("\nFamily-wise error of the harm tests (equal models, 200 items a slice)\n\n| slices | Holm | uncorrected |")
    print("|--:|--:|--:|")
    worst = 0.0
    for slices in (5, 10, 20):
        gate, blocked, naive = GateSettings(policy="as_good"), 0, 0
        for _ in range(repeats):
            scores = binary(rng, 200 * slices, 0.0)
            sliced = paired(scores.champion, scores.candidate, scores.units, np.arange(200 * slices) % slices)
            blocked += verdict(sliced, gate).verdict == "block"
            naive += any((s.p_harm or 1.0) <= ALPHA for s in differences(sliced, gate)[1])
        worst = max(worst, blocked / repeats)
        print(f"| {slices} | {blocked / repeats:.3f} | {naive / repeats:.3f} |")
    return worst


def slice_blocked(rng: Rng, repeats: int, slices: int = 20, n: int = 4000) -> float:
    """How often a slice of 5 % that is worse by what the gate says it can find is blocked, where the mean is flat."""
    gate, size, discordant = GateSettings(policy="as_good"), n // slices, 0.2
    drop = 0.1
    for _ in range(20):  # the drop itself adds to the variance: a fixed point
        se = np.sqrt((max(discordant, drop + 0.05) - drop**2) / size)
        drop = minimum_detectable(Estimate(drop, float(se), size, size, size - 1, 1.0), gate.alpha / (slices + 1))
    stated, hits = [], 0
    for _ in range(repeats):
        rest = binary(rng, n - size, drop * size / (n - size), discordant)
        bad = binary(rng, size, -drop, max(discordant, drop + 0.05))
        scores = paired(
            np.concatenate([bad.champion, rest.champion]),
            np.concatenate([bad.candidate, rest.candidate]),
            np.arange(n),
            np.concatenate([np.zeros(size, int), 1 + np.arange(n - size) % (slices - 1)]),
        )
        stated.append(differences(scores, gate)[1][0].minimum_detectable or 0.0)
        hits += verdict(scores, gate).verdict == "block"
    print(f"\nOne slice of 5 % ({size} items of {n}) worse by {drop:.3f}, mean flat: blocked in {hits / repeats:.3f}")
    print(f"(stated minimum detectable effect of the slice: {np.mean(stated):.3f} on average)")
    return hits / repeats


def aa_flip(rng: Rng, repeats: int) -> float:
    """Equal models through the whole gate, slices and all: verdicts by dealing one evaluation's answers anew."""
    print("\nA/A: verdicts on equal models (8 slices, 2 protected, 3 samples, units of 3)\n")
    print("| items | policy | promote | block | inconclusive |\n|--:|---|--:|--:|--:|")
    worst = 0.0
    for n in (400, 1600):
        base = sampled(rng, n, 0.0)
        scores = paired(base.champion, base.candidate, np.arange(n) // 3, np.arange(n) % 8)
        for policy in ("better", "as_good"):
            gate = GateSettings(policy=policy, protected=["s0", "s1"])
            said = [verdict(swapped(scores, rng), gate).verdict for _ in range(repeats)]
            rates = [said.count(answer) / repeats for answer in ("promote", "block", "inconclusive")]
            worst = max(worst, rates[1])
            print(f"| {n} | {policy} | {rates[0]:.3f} | {rates[1]:.3f} | {rates[2]:.3f} |")
    return worst


def canary(rng: Rng, repeats: int) -> tuple[float, float]:
    """False rollbacks over long streams of equal arms, and users until a drop of 5 points is found."""
    print("\nCanary (failure rates; both arms get half of the users)\n")
    print("| champion | canary | looked at | rolled back | median users | fixed horizon, known in advance |")
    print("|--:|--:|--:|--:|--:|--:|")
    result = {}
    for champion, new, users in ((0.2, 0.2, 20_000), (0.02, 0.02, 20_000), (0.2, 0.25, 20_000), (0.2, 0.3, 20_000)):
        delays = [_delay(rng, champion, new, users) for _ in range(repeats)]
        found = [delay for delay in delays if delay is not None]
        median = float(np.median([users if d is None else d for d in delays]))
        variance = champion * (1 - champion) + new * (1 - new)
        reach = float(ndtri(1 - ALPHA) + ndtri(0.8))
        fixed = f"{2 * reach**2 * variance / (new - champion) ** 2:.0f}" if new > champion else ""
        shown = f"{median:.0f}" if new > champion else ""
        print(f"| {champion} | {new} | {users} | {len(found) / repeats:.3f} | {shown} | {fixed} |")
        result[champion, new] = len(found) / repeats, median
    return max(result[0.2, 0.2][0], result[0.02, 0.02][0]), result[0.2, 0.25][1]


def _delay(rng: Rng, champion: float, new: float, users: int) -> int | None:
    state = Canary()
    arms = rng.random(users) < 0.5
    failed = rng.random(users) < np.where(arms, new, champion)
    for count, (arm, bad) in enumerate(zip(arms.tolist(), failed.tolist(), strict=True), 1):
        state = observe(state, "canary" if arm else "control", bad)
        if worse(state, ALPHA):
            return count
    return None


def judge_coverage(rng: Rng, repeats: int, n: int = 2000, labelled: int = 200) -> Sequence[float]:
    """Share of 95 % intervals of the corrected difference that hold the truth; beside them the judge's own."""
    print(f"\nJudge correction ({n} judged items, {labelled} of them labelled; 95 % intervals)\n")
    print(
        "| sensitivity | specificity | true difference | corrected covers | uncorrected covers | width / people alone |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    covers = []
    for sensitivity, specificity in ((0.7, 0.7), (0.7, 0.95), (0.95, 0.7), (0.85, 0.85), (0.95, 0.95)):
        for difference in (0.0, 0.1):
            hits = np.zeros(2)
            widths = []
            for _ in range(repeats):
                corrected, own, width = _judged(rng, n, labelled, difference, sensitivity, specificity)
                hits += [corrected, own]
                widths.append(width)
            covers.append(hits[0] / repeats)
            cells = f"{covers[-1]:.3f} | {hits[1] / repeats:.3f} | {np.mean(widths):.2f}"
            print(f"| {sensitivity} | {specificity} | {difference:+.2f} | {cells} |")
    return covers


def _judged(
    rng: Rng, n: int, labelled: int, difference: float, sensitivity: float, specificity: float
) -> tuple[bool, bool, float]:
    truth = binary(rng, n, difference)

    def opinion(real: Floats, lenient: float) -> Floats:
        passes = np.where(real == 1, min(1.0, sensitivity + lenient), 1 - specificity + lenient)
        return (rng.random(n) < passes).astype(float)

    judged = opinion(truth.candidate, 0.05) - opinion(truth.champion, 0.0)  # it likes the candidate's style
    people = np.full(n, np.nan)
    chosen = rng.choice(n, labelled, replace=False)
    people[chosen] = (truth.candidate - truth.champion)[chosen]
    units = np.arange(n)
    right, own = corrected_mean(judged, people, units).estimate, cluster_mean(judged, units)
    alone = cluster_mean(people[chosen], units[chosen])
    low, high = right.interval(0.025)
    own_low, own_high = own.interval(0.025)
    return low <= difference <= high, own_low <= difference <= own_high, right.se / alone.se  # type: ignore[operator]


def main() -> None:
    """Run the study and print its tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    scale = 0.1 if parser.parse_args().quick else 1.0
    rng = np.random.default_rng(20260105)
    better, as_good = false_promotion(rng, int(2000 * scale))
    power_curve(rng, int(500 * scale))
    family = family_wise(rng, int(1500 * scale))
    blocked = slice_blocked(rng, int(1000 * scale))
    flips = aa_flip(rng, int(600 * scale))
    false_rollback, delay = canary(rng, int(200 * scale))
    covers = judge_coverage(rng, int(1000 * scale))
    figures = {
        "false_promotion_better": better,
        "false_promotion_as_good": as_good,
        "family_wise": family,
        "slice_blocked": blocked,
        "aa_flip": flips,
        "false_rollback": false_rollback,
        "rollback_delay_median": delay,
        "judge_coverage": max(covers, key=lambda cover: abs(cover - 0.95)),
    }
    print("\n" + json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
