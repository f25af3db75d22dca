"""How good, how fast and how steady the clusters are: `python benchmarks/cluster.py --data FILE.jsonl`.

FILE holds `{"text", "label"}` lines; labels are used for scoring only. `--identity` plays two days with classes that
come, go and stay; `--names` lets a matcher guess classes from names alone; `--scale N` measures cost up to N texts.
`--bertopic PYTHON` names a Python in which BERTopic is installed: its default pipeline, on our vectors, then stands
beside ours; the CPU seconds of both count the words of each cluster. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, v_measure_score

from flows.cluster.catalogue.naming import name_of
from flows.cluster.catalogue.terms import STEM, Said, terms
from flows.cluster.lineage.proposals import proposals
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.identity import REFERENCE_CAP, Placement, place, vote
from flows.cluster.placement.sample import find, first_of_each
from flows.cluster.placement.texts import normalise, wordless_apart
from flows.embed import Vectors, load
from flows.redact.own import redactor_of
from schemas.normalise import words
from schemas.settings import ClusterSettings, CurateSettings

MIN_SIZE = 5
NAMED_ROWS = 30
"""Texts of a cluster whose name is checked: of few texts it says little."""
NAMED_PEOPLE = ClusterSettings().least_people
BERTOPIC_UP_TO = 30_000
"""Texts that BERTopic is given at most: above, it takes an hour."""
Row = dict[str, Any]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="JSON lines with text and label")
    parser.add_argument("--embedder", default="wordllama", help="as the setting cluster.embedder")
    parser.add_argument("--identity", action="store_true", help="two days: new, gone, kept; splits and merges")
    parser.add_argument("--names", action="store_true", help="a blind check: the right class of five by the name alone")
    parser.add_argument("--scale", type=int, metavar="N", help="cost at 10k, 100k, … up to N texts")
    parser.add_argument("--seeds", type=int, default=10, help="repetitions of --identity")
    parser.add_argument("--rivals", action="store_true", help="also HDBSCAN and KMeans")
    parser.add_argument("--bertopic", default="", metavar="PYTHON", help="also BERTopic, which that Python has")
    args = parser.parse_args()
    texts, labels = read(args.data) if args.data else ([], np.zeros(0, dtype=np.int64))
    if args.scale:
        result = scale(texts, args.scale, args.embedder, args.bertopic)
    elif args.identity:
        result = identity(embedded(texts, args.embedder), labels, args.seeds)
    elif args.names:
        result = named(texts, labels, args.embedder)
    else:
        result = quality(texts, labels, args)
    print(json.dumps(result))


def read(path: Path) -> tuple[list[str], Ints]:
    """Texts in order of their hash, as the stage has them, with their labels as numbers."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    rows.sort(key=lambda row: hashlib.sha256(normalise(row["text"]).encode()).hexdigest())
    _, labels = np.unique([str(row["label"]) for row in rows], return_inverse=True)
    return [normalise(row["text"]) for row in rows], labels.astype(np.int64)


def embedded(texts: Sequence[str], embedder: str) -> Vectors:
    """Vectors as the stage computes them."""
    return wordless_apart(load(embedder).embed(texts))


def quality(texts: Sequence[str], labels: Ints, args: argparse.Namespace) -> Row:
    """One clustering of everything against the labels, beside the usual alternatives."""
    started = time.process_time()
    vectors = embedded(texts, args.embedder)
    embed_s = time.process_time() - started
    ours = timed(lambda: find(vectors))
    sizes = np.bincount(ours[0])
    homeless = float((sizes[ours[0]] < MIN_SIZE).mean())
    print(f"{len(texts)} texts, {labels.max() + 1} classes, embedded in {embed_s:.1f} CPU s\n")
    print(f"{'':28}{'AMI':>7}{'ARI':>7}{'V':>7}{'noise':>7}{'found':>7}{'CPU s':>8}")
    line("flywheel (no k given)", labels, *ours)
    for name, run in _rivals(vectors, labels).items() if args.rivals else ():
        line(name, labels, *timed(run))
    if args.bertopic:
        topics, took = bertopic(texts, vectors, args.bertopic)
        line("flywheel, with words", labels, ours[0], ours[1] + worded(texts, ours[0]))
        line("BERTopic, with words", labels, topics, took["cpu_s"])
    found, cpu = ours
    return {
        "ami": round(adjusted_mutual_info_score(labels, found), 4),
        "ari": round(adjusted_rand_score(labels, found), 4),
        "v_measure": round(v_measure_score(labels, found), 4),
        "unclustered": round(homeless, 4),
        "clusters": int((sizes >= MIN_SIZE).sum()),
        "cpu_s": round(embed_s + cpu, 2),
        "rss_mib": rss_mib(),
    }


def _rivals(vectors: Vectors, labels: Ints) -> dict[str, Callable[[], Ints]]:
    classes = int(labels.max()) + 1
    return {
        f"KMeans, 10 starts, k = {classes}": lambda: KMeans(classes, n_init=10, random_state=0).fit_predict(vectors),
        "HDBSCAN 15 on PCA 16": lambda: HDBSCAN(15, copy=True).fit_predict(
            PCA(16, random_state=0).fit_transform(vectors)
        ),
    }


def worded(texts: Sequence[str], found: Ints) -> float:
    """CPU seconds of the distinctive words of each cluster: BERTopic's own call makes them too."""
    groups: list[list[Said]] = [[] for _ in range(int(found.max()) + 1)]
    for number, (text, label) in enumerate(zip(texts, found.tolist(), strict=True)):
        groups[label].append(Said(str(number), text))
    started = time.process_time()
    terms(groups, redactor_of(CurateSettings()), NAMED_PEOPLE)
    return time.process_time() - started


def bertopic(texts: Sequence[str], vectors: Vectors, python: str) -> tuple[Ints, Row]:
    """Topics (-1: none) of BERTopic's default pipeline on the same vectors, and what it took in its process."""
    peer = Path(__file__).parent / "peers" / "bertopic_defaults.py"
    with tempfile.TemporaryDirectory() as folder:
        given, made, out = (Path(folder) / name for name in ("texts.json", "vectors.npy", "topics.npy"))
        given.write_text(json.dumps(list(texts)))
        np.save(made, vectors)
        command = [python, str(peer), str(given), str(made), str(out)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return np.load(out), json.loads(done.stdout.splitlines()[-1])


def identity(vectors: Vectors, labels: Ints, seeds: int) -> Row:
    """Two days: a fifth of the classes is new on the second, some are gone, the others go on. And a null day."""
    rows, nulls = [], []
    for seed in range(seeds):
        rows.append(_two_days(vectors, labels, seed, share_new=0.2))
        nulls.append(_two_days(vectors, labels, seed, share_new=0.0))
        print(f"seed {seed}: " + ", ".join(f"{key} {value:.3f}" for key, value in rows[-1].items()))
        print(f"   null day: announced {nulls[-1]['announced']:.0f}, rows called new {nulls[-1]['false_new']:.4f}")
    lineage = [_lineage(vectors, labels, seed) for seed in range(seeds)]
    return {
        "new_recall": round(float(np.mean([row["recall"] for row in rows])), 4),
        "false_new_share": round(float(np.mean([row["false_new"] for row in rows])), 4),
        "null_day_new": round(float(np.mean([row["announced"] for row in nulls])), 4),
        "id_stability": round(float(np.mean([row["kept"] for row in rows + nulls])), 4),
        "lineage_right": round(float(np.mean(lineage)), 4),
        "ids_mean_the_same": round(float(np.mean([row["ids_mean_the_same"] for row in rows + nulls])), 4),
        "new_rows_found": round(float(np.mean([row["rows_found"] for row in rows])), 4),
    }


def _two_days(vectors: Vectors, labels: Ints, seed: int, share_new: float) -> Row:
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(labels.max() + 1)
    count = round(share_new * len(shuffled))
    new = shuffled[:count]
    gone = shuffled[count : count + round(0.08 * len(shuffled))] if count else shuffled[:0]
    is_new, is_gone, half = np.isin(labels, new), np.isin(labels, gone), rng.random(len(labels)) < 0.5
    day1 = np.flatnonzero((half | is_gone) & ~is_new)
    day2 = np.flatnonzero((~half & ~is_gone) | is_new)
    first = find(vectors[day1])
    sample = reference(first)
    placed = place(vectors[day2], np.ones(len(day2), np.int64), vectors[day1][sample], first[sample], MIN_SIZE)
    return _score(labels[day1], first, labels[day2], placed, new)


def reference(labels: Ints) -> Ints:
    """Rows that stand for each cluster on the next day: the sample that the stage keeps."""
    return first_of_each(labels, REFERENCE_CAP)


def _score(before: Ints, first: Ints, after: Ints, placed: Placement, new: Ints) -> Row:
    is_new = np.isin(after, new)
    recall = [_announced(after, placed.born, c) for c in new]
    home = np.where(placed.born >= 0, 10**6 + placed.born, placed.known)
    kept = [
        most(home[(after == c) & (home >= 0)]) == most(first[before == c])
        for c in np.intersect1d(before, after)
        if ((after == c) & (home >= 0)).any()
    ]
    return {
        "recall": float(np.mean(recall)) if recall else 0.0,
        "rows_found": float((placed.born[is_new] >= 0).mean()) if is_new.any() else 0.0,
        "false_new": float((placed.born[~is_new] >= 0).mean()),
        "announced": float(placed.born.max() + 1),
        "waiting": float(((placed.born < 0) & (placed.known < 0)).mean()),
        "kept": float(np.mean(kept)),
        "ids_mean_the_same": _ids_kept(before, first, after, placed.known),
    }


def _ids_kept(before: Ints, first: Ints, after: Ints, known: Ints) -> float:
    """Share of surviving ids that mean the same on the second day: the class that was the largest in it still is."""
    kept = []
    for id_ in range(int(first.max()) + 1):
        meaning = most(before[first == id_])
        if (first == id_).sum() >= MIN_SIZE and (after == meaning).any():
            kept.append(bool((known == id_).any()) and most(after[known == id_]) == meaning)
    return float(np.mean(kept))


def _announced(after: Ints, born: Ints, wanted: int) -> bool:
    """Whether a class has an id of its own: one in which it is the largest class, and that most of its rows are new."""
    rows = born[after == wanted]
    if (rows >= 0).mean() < 0.5:
        return False
    return most(after[born == most(rows[rows >= 0])]) == wanted


def most(values: Ints) -> int:
    """The most frequent value."""
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])


def _lineage(vectors: Vectors, labels: Ints, seed: int) -> float:
    """Share of planted splits and merges that are proposed.

    The living clusters are those of a first day, half of the rows, except that five pairs of them live under one id
    each (to be split), and each of five others lives under two (to be merged). The second day is placed by vote, and
    everything is clustered afresh.
    """
    rng = np.random.default_rng(seed)
    first_day = rng.random(len(labels)) < 0.5
    first = find(vectors[first_day])
    sizes = np.bincount(first)
    shuffled = rng.permutation(np.flatnonzero(sizes >= 40))
    count = min(5, len(shuffled) // 3)
    by_size = shuffled[: 2 * count][np.argsort(sizes[shuffled[: 2 * count]], kind="stable")]
    splits, merges = by_size.reshape(-1, 2), shuffled[2 * count : 3 * count]  # pairs of like size
    planted = {("split", (int(one),)) for one, _ in splits}
    planted |= {("merged", (int(label), len(sizes) + n)) for n, label in enumerate(merges)}
    living = first.copy()
    for one, other in splits:
        living[living == other] = one
    for n, label in enumerate(merges):
        living[(first == label) & (rng.random(len(first)) < 0.5)] = len(sizes) + n
    homes = np.full(len(labels), -1, dtype=np.int64)
    homes[first_day] = living
    homes[~first_day], _ = vote(vectors[~first_day], vectors[first_day], living)
    proposed = {(p.kind, p.clusters) for p in proposals(vectors, find(vectors), homes)}
    right, wrong = len(planted & proposed), len(proposed - planted)
    print(f"   lineage: {right} of {len(planted)} planted found, {wrong} others; missed {sorted(planted - proposed)}")
    return right / max(len(planted), 1)


def named(texts: Sequence[str], labels: Ints, embedder: str) -> Row:
    """A blind check of 40 clusters: whether a name alone tells which of five classes is the cluster's largest.

    Every tenth text is kept apart and describes its class; the rest is clustered and named. The matcher sees a name
    and the texts of five classes, no label: it takes the class whose texts hold most of the name's words, by their
    first five letters, a word of few of the five counting more; of equals it takes none. The four others are drawn, or,
    the hard way, are the four whose texts are most like those of the right one.
    """
    apart = np.arange(len(texts)) % 10 == 0
    vectors = embedded(texts, embedder)
    found, inside = find(vectors[~apart]), np.flatnonzero(~apart)
    clusters = [inside[found == c] for c in range(int(found.max()) + 1) if (found == c).sum() >= NAMED_ROWS]
    said = [[Said(str(row), texts[row]) for row in rows] for rows in clusters]
    names = [name_of(words_, "") for words_ in terms(said, redactor_of(CurateSettings()), NAMED_PEOPLE)]
    heard = [[stems(texts[row]) for row in np.flatnonzero(apart & (labels == c))] for c in range(int(labels.max()) + 1)]
    middles = np.stack([vectors[apart & (labels == c)].mean(axis=0) for c in range(len(heard))])
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    drawn = rng.permutation(len(clusters))[:40]
    right: dict[str, list[bool]] = {"drawn": [], "alike": []}
    for cluster in drawn:
        own = most(labels[clusters[cluster]])
        others = np.array([c for c in range(len(heard)) if c != own])
        alike = others[np.argsort(-(middles[others] @ middles[own]), kind="stable")[:4]]
        for way, four in (("drawn", rng.permutation(others)[:4]), ("alike", alike)):
            five = [own, *four.tolist()]
            right[way].append(guess(names[cluster], [heard[c] for c in five]) == 0)
            if not right[way][-1]:
                print(f"   missed, {way}: {names[cluster]!r}")
    shares = {way: round(float(np.mean(hits)), 4) for way, hits in right.items()}
    return {"names_checked": len(drawn), "right_of_five": shares["drawn"], "right_of_five_alike": shares["alike"]}


def guess(name: str, classes: Sequence[Sequence[set[str]]]) -> int:
    """The class whose texts hold most of a name's words; -1 where there is none, or several."""
    shares = np.array(
        [[np.mean([stem in said for said in texts]) for stem in sorted(stems(name))] for texts in classes]
    )
    if not shares.size:
        return -1
    weights = np.log1p(1 / np.maximum(shares.mean(axis=0), 1e-3))
    scores = shares @ weights
    best = np.flatnonzero(scores == scores.max())
    return int(best[0]) if len(best) == 1 else -1


def stems(text: str) -> set[str]:
    """The first letters of each word."""
    return {word[:STEM] for word in words(text)}


def scale(texts: Sequence[str], top: int, embedder: str, python: str) -> Row:
    """Embedding and clustering of ever more texts: real ones, and perturbed copies where they run out.

    BERTopic gets the same vectors; the CPU seconds of embedding and of the clusters' words are counted for both.
    """
    sizes = [n for n in (10_000, 100_000, 300_000, 1_000_000, top) if n <= top]
    points, ratios = [], {}
    print(f"{'texts':>10}{'wall s':>10}{'CPU s':>10}{'clusters':>10}{'RSS MiB':>10}")
    embedded(texts[:100], embedder)  # imports and weights are paid once, not by the first size
    find(embedded(texts[:1000], embedder))
    for n in sorted(set(sizes)):
        batch = perturbed(texts, n)
        wall, cpu = time.perf_counter(), time.process_time()
        vectors = embedded(batch, embedder)
        embed_s = time.process_time() - cpu
        found = find(vectors)
        points.append((n, time.perf_counter() - wall, time.process_time() - cpu))
        print(f"{n:>10}{points[-1][1]:>10.1f}{points[-1][2]:>10.1f}{found.max() + 1:>10}{rss_mib():>10}", flush=True)
        if python and n <= BERTOPIC_UP_TO:
            theirs = embed_s + bertopic(batch, vectors, python)[1]["cpu_s"]
            ratios[n] = round(theirs / (points[-1][2] + worded(batch, found)), 2)
            print(f"{'BERTopic':>10}{'':10}{theirs:>10.1f}{ratios[n]:>10.1f} times ours", flush=True)
    logs = np.log([[n, cpu] for n, _, cpu in points])
    exponent = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0]) if len(points) > 1 else None
    n, wall, cpu = points[-1]
    result = {"n": n, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1), "rss_mib": rss_mib(), "exponent": exponent}
    return result | ({"bertopic_ratio": ratios} if ratios else {})


def perturbed(texts: Sequence[str], n: int) -> list[str]:
    """N texts: the real ones, then copies with words dropped, swapped and added; no two need be equal."""
    rng = np.random.default_rng(0)
    fillers = ("please", "hi", "thanks", "now", "really", "today", "again", "help")
    made = list(texts[:n])
    while len(made) < n:
        words = texts[len(made) % len(texts)].split()
        kept = [word for word in words if rng.random() > 0.15] or words
        kept.insert(int(rng.integers(len(kept) + 1)), fillers[int(rng.integers(len(fillers)))])
        i, j = rng.integers(len(kept), size=2)
        kept[i], kept[j] = kept[j], kept[i]
        made.append(" ".join(kept))
    return made


def timed(run: Callable[[], Ints]) -> tuple[Ints, float]:
    """What a call gives, and its CPU seconds."""
    started = time.process_time()
    return run(), time.process_time() - started


def line(name: str, labels: Ints, found: Ints, cpu: float) -> None:
    """One row of the table; rows without a cluster count as one cluster of their own."""
    noise = float((found < 0).mean())
    scores = [score(labels, found) for score in (adjusted_mutual_info_score, adjusted_rand_score, v_measure_score)]
    print(f"{name:28}" + "".join(f"{s:7.3f}" for s in scores) + f"{noise:7.2f}{found.max() + 1:7}{cpu:8.1f}")


def rss_mib() -> int:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
