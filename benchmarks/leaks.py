"""The leak check: what its index finds of what every pair finds, and what it costs as traffic grows.

    python benchmarks/leaks.py [--data banking77.jsonl] [--questions gsm8k_model_solutions.jsonl]
                               [--rephrased gsm8k_rephrased.jsonl] [--examples 84000]

Three worlds for the recall: requests of one topic against a fifth of them, a benchmark's questions in other words, and
edits that were planted (typos, words, order, suffixes). For the cost a third of the examples, and all of them, against
as many eval items as a build keeps. Ends with one line of JSON. `benchmarks/datasets.py` reports the same figures.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.curate import leaks
from flows.curate.build import MOST_ITEMS
from flows.curate.leaks import Guard, Leaks, Paraphrases
from flows.embed import load
from schemas.normalise import normalise
from schemas.records import Example
from schemas.settings import CurateSettings

SETTINGS = CurateSettings()
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "banking77.jsonl", help='lines of {"text": …}')
    parser.add_argument("--rephrased", type=Path, default=SHARED / "gsm8k_rephrased.jsonl", help="questions reworded")
    parser.add_argument("--questions", type=Path, default=SHARED / "gsm8k_model_solutions.jsonl", help="as they were")
    parser.add_argument("--examples", type=int, default=84_000, help="the larger of the two sizes")
    given = parser.parse_args()
    print(json.dumps(figures(given.data, given.rephrased, given.questions, given.examples)))


def figures(data: Path, rephrased: Path, questions: Path, examples: int) -> dict[str, Any]:
    """Recall in the three worlds, and the cost at three times the examples."""
    rng = random.Random(11)
    texts = list(dict.fromkeys(map(normalise, _column(data, "text"))))
    rng.shuffle(texts)
    found = {
        "bank": _recall(texts[: len(texts) // 5], texts[len(texts) // 5 :]),
        "planted": _recall(texts[:5_000], [edited(rng, text, texts) for text in texts[:5_000]]),
    }
    if questions.exists() and rephrased.exists():
        asked = [text.removeprefix("Question: ").split("\nAnswer:")[0] for text in _column(rephrased, "text")]
        found["rephrased"] = _recall(_column(questions, "question"), asked)
    small, large = (_cost(rng, texts, count) for count in (examples // 3, examples))
    print(f"cost         {small['cpu']:.1f} CPU s for {examples // 3:,} examples, {large['cpu']:.1f} for {examples:,}; "
          f"every pair {small['every_pair']:.1f} and {large['every_pair']:.1f}")  # fmt: skip
    return {
        **{f"leak_recall_{name}": share for name, share in found.items()},
        "leak_cpu_s": large["cpu"],
        "leak_cost_at_3x": round(large["cpu"] / small["cpu"], 2),
    }


def edited(rng: random.Random, text: str, others: Sequence[str]) -> str:
    """A text with a typo or two, a word in ten another, its words in another order, or a suffix."""
    words = text.split()
    kind = rng.randrange(4)
    if kind == 0:
        for _ in range(rng.choice([1, 2])):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(["", rng.choice(string.ascii_lowercase)]) + text[at + 1 :]
        return text
    if kind == 1:
        for _ in range(max(1, len(words) // 10)):
            words[rng.randrange(len(words))] = rng.choice(rng.choice(others).split())
    if kind == 2:
        rng.shuffle(words)
    return " ".join(words if kind < 3 else [*words, rng.choice(["please", "thanks", "asap"])])


def _recall(guarded: Sequence[str], texts: Sequence[str]) -> float:
    """Of the texts that every pair finds, the share that the index finds too."""
    guards, asked = [_guard(n, text) for n, text in enumerate(guarded)], [_example(n, t) for n, t in enumerate(texts)]
    exact, index = (_found(guards, asked, every_pair) for every_pair in (True, False))
    share = len(exact & index) / len(exact)
    print(f"recall       {share:.4f} of {len(exact):,} of {len(texts):,} texts against {len(guards):,} guards")
    return round(share, 4)


def _found(guards: Sequence[Guard], asked: Sequence[Example], every_pair: bool) -> set[str]:
    known = leaks.EVERY_PAIR
    leaks.EVERY_PAIR = len(guards) if every_pair else 0
    try:
        found = Leaks(guards, SETTINGS.near_duplicate).find(asked)
    finally:
        leaks.EVERY_PAIR = known
    return {example.interaction_id for example, why in zip(asked, found, strict=True) if why}


def _cost(rng: random.Random, texts: Sequence[str], count: int) -> dict[str, float]:
    """CPU seconds of the check of so many examples, four fifths of them train, by letters, words and meaning."""
    said = [edited(rng, rng.choice(texts), texts) if rng.random() < 0.5 else rng.choice(texts) for _ in range(count)]
    guarded = list(dict.fromkeys(said[: count // 5]))[:MOST_ITEMS]
    guards, train = (
        [_guard(n, t) for n, t in enumerate(guarded)],
        [_example(n, t) for n, t in enumerate(said[count // 5 :])],
    )
    embedder = load("wordllama")
    embedder.embed(["warm"])
    meaning = Paraphrases(embedder.embed, SETTINGS.paraphrase, SETTINGS.paraphrase_margin)
    began = time.process_time()
    _found(guards, train, every_pair=True)
    every_pair = time.process_time() - began
    began = time.process_time()
    found = Leaks(guards, SETTINGS.near_duplicate).find(train)
    meaning.find(guards, [example.text for example, why in zip(train, found, strict=True) if not why])
    return {"cpu": time.process_time() - began, "every_pair": every_pair}


def _column(file: Path, name: str) -> list[str]:
    return [json.loads(line)[name] for line in file.read_text().splitlines() if line.strip()]


def _guard(n: int, text: str) -> Guard:
    return Guard(str(n), "", "", text, (normalise(text),))


def _example(n: int, text: str) -> Example:
    prompt = json.dumps([{"role": "user", "content": text}])
    return Example(f"i-{n:07d}", f"u-{n}", prompt, "", text, "accepted")


if __name__ == "__main__":
    main()
