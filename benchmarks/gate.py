"""Simulation study of the gate: how often it errs, and how much it finds. Seeded; some ten minutes of one core.

    python benchmarks/gate.py [--quick] [--only aa_flip]

Every row runs the gate's own code with a known truth. The last line is one JSON object; docs/gate.md has the tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri, stdtr
from scipy.stats import binom

from benchmarks import gate_few, gate_watch
from benchmarks.gate_few import compared, named
from flows.evaluate import reviewed
from flows.evaluate.compare import Paired, differences, p_above
from flows.evaluate.selftest import swapped
from flows.promote.gate import decide
from flows.promote.stage import after
from flows.statistics import Estimate, Floats, cluster_mean, minimum_detectable
from schemas.records import Verdict
from schemas.settings import GateSettings
from streams.triage.sequential import Canary, observe, worse

ALPHA = 0.05
Rng = np.random.Generator
Figures = dict[str, float]


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
    return Paired(named(len(champion)), units, places, names, champion, candidate)


def verdict(scores: Paired, gate: GateSettings) -> Verdict:
    """The gate's answer."""
    return decide(compared(scores, gate), gate)


def share(repeats: int, happens: Callable[[], bool]) -> float:
    """How often something happens."""
    return sum(happens() for _ in range(repeats)) / repeats


def uneven(rng: Rng, n: int, difference: float) -> Paired:
    """Units of very different sizes, items of one alike: a few users gave most of what there is."""
    users = max(20, n // 5)
    draw = binary(rng, n, difference, unit=1)
    units = rng.choice(users, n, p=rng.dirichlet(np.full(users, 0.5)))
    tilt = 0.14 * rng.choice([-1.0, 1.0], users)[units]
    values = np.where(rng.random(n) < 0.2, np.where(rng.random(n) < 0.5 + (difference + tilt) / 0.4, 1.0, -1.0), 0.0)
    champion = np.where(values == 0, draw.champion, (values < 0).astype(float))
    return paired(champion, champion + values, units)


DESIGNS: dict[str, Callable[[Rng, int, float], Paired]] = {
    "units of 5, ICC .1": lambda rng, n, d: binary(rng, n, d, unit=5, spread=0.14),
    "units of uneven size, ICC .1": uneven,
    "3 samples an item": sampled,
}
SIZES = (50, 100, 200, 500, 1000, 5000)
QUICK_SIZES = (50, 300)
CANARY_USERS = 4_000_000
"""Of all streams of equal arms together: the more streams, the shorter each."""


def false_promotion(rng: Rng, repeats: int) -> Figures:
    """Designs that cannot be enumerated: equal models under `better`, truly worse by the margin under `as_good`.

    The largest of many cells is above its own truth by chance alone; `bound` is what the worst of them may show, with
    a probability of .95, where each is exactly at its level (Bonferroni).
    """
    print(f"\nFalse promotions ({repeats} comparisons a cell; margin .05)\n")
    print("| design | n | better, no difference | as_good, at margin |\n|---|--:|--:|--:|")
    worst = [0.0, 0.0]
    gates = GateSettings(policy="better"), GateSettings(policy="as_good", margin=0.05)
    for (name, draw), dice in zip(DESIGNS.items(), rng.spawn(len(DESIGNS)), strict=True):
        for n in SIZES if repeats >= 2000 else QUICK_SIZES:
            rates = [
                share(
                    repeats,
                    lambda d=d, g=g, n=n, draw=draw, dice=dice: verdict(draw(dice, n, d), g).verdict == "promote",
                )
                for d, g in zip((0.0, -0.05), gates, strict=True)
            ]
            worst = [max(pair) for pair in zip(worst, rates, strict=True)]
            print(f"| {name} | {n} | {rates[0]:.4f} | {rates[1]:.4f} |", flush=True)
    for gate, found in zip(gates, worst, strict=True):
        reach = float(ndtri(1 - 0.05 / (len(DESIGNS) * len(SIZES))))
        bound = gate.level + reach * np.sqrt(gate.level * (1 - gate.level) / repeats)
        print(f"{gate.policy}: level {gate.level}, worst cell {found:.4f}, bound for the worst of all {bound:.4f}")
    return {"false_promotion_better": worst[0], "false_promotion_as_good": worst[1]}


def exact_size(_: Rng, repeats: int) -> Figures:
    """The largest probability of a false pass over all shares of differing items, by enumeration: no Monte Carlo."""
    print("\nExact size for single binary items, the worst share of differing items\n")
    print("| n | superiority at .025 | superiority at .05 | margin .03 | margin .05 | margin .1 |")
    print("|--:|--:|--:|--:|--:|--:|")
    for n in [n for n in (30, 50, 100, 200, 500, 1000) if n <= repeats]:
        cells = [
            _worst_share(n, *cell) for cell in ((0.0, 0.025), (0.0, 0.05), (0.03, 0.05), (0.05, 0.05), (0.1, 0.05))
        ]
        print(f"| {n} | {' | '.join(f'{cell:.4f}' for cell in cells)} |", flush=True)
    return {}


def _worst_share(n: int, margin: float, level: float) -> float:
    differing = np.arange(n + 1)
    least = np.array([_least_wins(n, d, margin, level) for d in differing])
    return max(
        float(binom.pmf(differing, n, p) @ binom.sf(least - 1, differing, (p - margin) / 2 / p))
        for p in np.linspace(max(margin, 0.005), 0.995, 200)
    )


def _least_wins(n: int, differing: int, margin: float, level: float) -> int:
    """The fewest wins among so many differing items that pass; one more than there are where none do."""
    low, high = 0, differing + 1
    while low < high:
        wins = (low + high) // 2
        values = np.repeat([1.0, -1.0, 0.0], [wins, differing - wins, n - differing])
        passes = p_above(values, np.arange(n), -margin, binary=True) <= level
        low, high = (low, wins) if passes else (wins + 1, high)
    return low


def power_curve(rng: Rng, repeats: int, n: int = 1000) -> Figures:
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
                _unpaired(scores) <= GateSettings(policy="better").level,
            ]
        better, as_good, unpaired = found / repeats
        print(f"| {difference:+.3f} | {better:.3f} | {as_good:.3f} | {unpaired:.3f} |", flush=True)
    return {}


def _unpaired(scores: Paired) -> float:
    a, b = scores.champion, scores.candidate
    se = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return float(stdtr(2 * len(a) - 2, (a.mean() - b.mean()) / se))


def family_wise(rng: Rng, repeats: int) -> Figures:
    """Equal models, many slices: how often any harm test blocks; and how often uncorrected tests would."""
    print("\nFamily-wise error of the harm tests (as_good, equal models, 200 items a slice)\n")
    print("| slices | Holm | uncorrected |")
    print("|--:|--:|--:|")
    worst = 0.0
    for slices in (5, 10, 20) if repeats >= 1500 else (5, 10):
        gate, blocked, naive = GateSettings(policy="as_good"), 0, 0
        for _ in range(repeats):
            scores = binary(rng, 200 * slices, 0.0)
            sliced = paired(scores.champion, scores.candidate, scores.units, np.arange(200 * slices) % slices)
            found = compared(sliced, gate)
            blocked += decide(found, gate).verdict == "block"
            naive += any((s.p_harm or 1.0) <= ALPHA for s in found.slices)
        worst = max(worst, blocked / repeats)
        print(f"| {slices} | {blocked / repeats:.3f} | {naive / repeats:.3f} |", flush=True)
    return {"family_wise": worst}


def slice_blocked(rng: Rng, repeats: int, slices: int = 20, n: int = 4000) -> Figures:
    """How often a slice of 5 % that is worse by what the gate says it can find is blocked, where the mean is flat."""
    print("\nOne slice of 5 % worse by its stated minimum detectable effect, mean flat\n")
    print("| policy | items in the slice | worse by | stated, mean | blocked |\n|---|--:|--:|--:|--:|")
    rates = []
    for policy in ("better", "as_good"):
        gate, size, discordant, drop = GateSettings(policy=policy), n // slices, 0.2, 0.1
        for _ in range(20):  # the drop itself adds to the variance: a fixed point
            se = float(np.sqrt((max(discordant, drop + 0.05) - drop**2) / size))
            drop = minimum_detectable(Estimate(-drop, se, size, size, size - 1), gate.level / (slices + 1))
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
            found = compared(scores, gate)
            stated.append(found.slices[0].minimum_detectable or 0.0)
            hits += decide(found, gate).verdict == "block"
        rates.append(hits / repeats)
        print(f"| {policy} | {size} of {n} | {drop:.3f} | {np.mean(stated):.3f} | {rates[-1]:.3f} |", flush=True)
    return {"slice_blocked": min(rates)}


def aa_flip(rng: Rng, repeats: int) -> Figures:
    """Equal models through the whole gate, slices and all: how often the verdict is wrong, either way.

    `better` errs by a promotion or a block, `as_good` by a block alone.
    """
    print("\nA/A: verdicts on equal models (8 slices, 2 protected, 3 samples, units of 3)\n")
    print("| items | policy | promote | block | inconclusive | wrong |\n|--:|---|--:|--:|--:|--:|")
    worst = 0.0
    for n in (400, 1600):
        base = sampled(rng, n, 0.0)
        scores = paired(base.champion, base.candidate, np.arange(n) // 3, np.arange(n) % 8)
        for policy, protected in (("better", []), ("better", ["s0", "s1"]), ("as_good", ["s0", "s1"])):
            gate = GateSettings(policy=policy, protected=protected)
            said = [verdict(swapped(scores, rng), gate).verdict for _ in range(repeats)]
            rates = [said.count(answer) / repeats for answer in ("promote", "block", "inconclusive")]
            wrong = rates[1] + (rates[0] if policy == "better" else 0.0)
            worst = max(worst, wrong)
            name = policy if protected else f"{policy}, none protected"
            print(f"| {n} | {name} | {' | '.join(f'{rate:.3f}' for rate in (*rates, wrong))} |", flush=True)
    return {"aa_flip": worst}


def twenty_candidates(rng: Rng, repeats: int) -> Figures:
    """Twenty equal candidates, one after another on the same items: how often any is promoted, with and without paying.

    Each is decided at a third of the level of the one before (`flows.promote.stage.after`).
    """
    gate, paid, unpaid = GateSettings(policy="better"), 0, 0
    for _ in range(repeats):
        scores = [binary(rng, 400, 0.0) for _ in range(20)]
        paid += any(verdict(one, after(k, gate)).verdict == "promote" for k, one in enumerate(scores))
        unpaid += any(verdict(one, gate).verdict == "promote" for one in scores)
    print(f"\nTwenty equal candidates on one set: any promoted {paid / repeats:.3f}, unpaid {unpaid / repeats:.3f}")
    return {"twenty_candidates": paid / repeats}


def ratchet_ten_turns(rng: Rng, repeats: int, margin: float = 0.03, drop: float = 0.015) -> Figures:
    """Ten candidates in a row, each 1.5 points worse than the one before it, under `as_good` with a margin of 3 points.

    What 19 of 20 chains have lost in the end at most, where the margin is spent once (`flows.promote.stage.slack`).
    """
    gate, lost, unspent = GateSettings(policy="as_good", margin=margin), [], []
    for _ in range(repeats):
        left, true_loss, without = margin, 0.0, 0.0
        for _ in range(10):
            scores = binary(rng, 2000, -drop)
            low = differences(scores, gate)[0].low or 0.0
            promoted = verdict(scores, gate).verdict == "promote"
            without += drop * promoted
            if promoted and low >= -left:
                left, true_loss = min(margin, left + low), true_loss + drop
        lost.append(true_loss)
        unspent.append(without)
    most, before = (float(np.quantile(losses, 0.95)) for losses in (lost, unspent))
    print(f"\nTen turns of as_good, each -{drop}: lost at most {most:.3f} (95 %), without the account {before:.3f}")
    return {"ratchet_ten_turns": most}


def canary(rng: Rng, repeats: int) -> Figures:
    """False rollbacks over long streams of equal arms, and users until a drop of 5 points is found."""
    print("\nCanary (failure rates; both arms get half of the users)\n")
    print("| champion | canary | looked at | rolled back | median users | fixed horizon, known in advance |")
    print("|--:|--:|--:|--:|--:|--:|")
    result = {}
    users = CANARY_USERS // repeats
    for champion, new in ((0.2, 0.2), (0.02, 0.02), (0.2, 0.25), (0.2, 0.3)):
        delays = [_delay(rng, champion, new, users) for _ in range(repeats)]
        found = [delay for delay in delays if delay is not None]
        variance = champion * (1 - champion) + new * (1 - new)
        reach = float(ndtri(1 - ALPHA) + ndtri(0.8))
        fixed = f"{2 * reach**2 * variance / (new - champion) ** 2:.0f}" if new > champion else ""
        shown = f"{np.median([users if d is None else d for d in delays]):.0f}" if new > champion else ""
        print(f"| {champion} | {new} | {users} | {len(found) / repeats:.3f} | {shown} | {fixed} |")
        result[champion, new] = len(found) / repeats
    return {"false_rollback": max(result[0.2, 0.2], result[0.02, 0.02])}


def _delay(rng: Rng, champion: float, new: float, users: int) -> int | None:
    state = Canary()
    arms = rng.random(users) < 0.5
    failed = rng.random(users) < np.where(arms, new, champion)
    for count, (arm, bad) in enumerate(zip(arms.tolist(), failed.tolist(), strict=True), 1):
        state = observe(state, "canary" if arm else "control", bad)
        if worse(state, ALPHA):
            return count
    return None


def judge_coverage(rng: Rng, repeats: int, n: int = 2000, labelled: int = 200) -> Figures:
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
    return {"judge_coverage": max(covers, key=lambda cover: abs(cover - 0.95))}


def _judged(
    rng: Rng, n: int, labelled: int, truly: float, sensitivity: float, specificity: float
) -> tuple[bool, bool, float]:
    truth = binary(rng, n, truly)

    def opinion(real: Floats, lenient: float) -> Floats:
        passes = np.where(real == 1, min(1.0, sensitivity + lenient), 1 - specificity + lenient)
        return (rng.random(n) < passes).astype(float)

    judged = opinion(truth.candidate, 0.05) - opinion(truth.champion, 0.0)  # it likes the candidate's style
    people = np.full(n, np.nan)
    chosen = rng.choice(n, labelled, replace=False)
    people[chosen] = (truth.candidate - truth.champion)[chosen]
    units = np.arange(n)
    everything = np.ones(n, bool)
    right = reviewed.difference(reviewed.Evidence(everything, people, judged, (units,), ~everything), 0.025, 0.03)
    own, alone = cluster_mean(judged, units), cluster_mean(people[chosen], units[chosen])
    own_low, own_high = own.interval(0.025)
    return right.low <= truly <= right.high, own_low <= truly <= own_high, right.se / alone.se  # type: ignore[operator]


SECTIONS: dict[str, tuple[Callable[[Rng, int], Figures], int, int]] = {
    "exact_size": (exact_size, 1000, 50),
    "false_promotion": (false_promotion, 2000, 1530),
    "power_curve": (power_curve, 500, 20),
    "family_wise": (family_wise, 1500, 660),
    "slice_blocked": (slice_blocked, 1000, 500),
    "aa_flip": (aa_flip, 4000, 740),
    "canary": (canary, 200, 650),
    "judge_coverage": (judge_coverage, 1000, 770),
    "twenty_candidates": (twenty_candidates, 1000, 100),
    "ratchet_ten_turns": (ratchet_ten_turns, 500, 50),
    **gate_watch.SECTIONS,
    "worst_rare_segment": (gate_few.worst_rare_segment, 1000, 805),
    "unscored_worst_case": (gate_few.unscored_worst_case, 1000, 740),
}
"""Each part, its repetitions in full and in a quick run: fewer, cheaper settings, with draws enough in each to see an
error twice as frequent as it may be. Each has dice of its own: alone it gives the same figures."""


def main() -> None:
    """Run the study and print its tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="fewer settings, and of the tables without a promise next to nothing"
    )
    parser.add_argument("--only", choices=SECTIONS, help="one part of the study")
    options = parser.parse_args()
    figures: Figures = {}
    for number, (name, (section, full, quick)) in enumerate(SECTIONS.items()):
        if options.only in {None, name}:
            figures |= section(np.random.default_rng([20260105, number]), quick if options.quick else full)
    print("\n" + json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
