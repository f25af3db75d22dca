"""Whether the same question in another language lies in the same cluster: `python benchmarks/languages.py`.

`topics.json` holds twelve topics of customers in six languages, five sentences each, written for this. All 360 are
clustered together, then scored by topic: over all of them, and over each language's 60. Hindi is none of the languages
that the universal sentence encoder (`multilingual`) has learned, and is there to show what that costs. The last line
printed is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from flows.cluster.placement.sample import find
from flows.cluster.placement.texts import normalise, wordless_apart
from flows.embed import load

TOPICS = Path(__file__).with_name("topics.json")


def main() -> None:
    """One clustering for each embedder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embedders", nargs="*", default=["wordllama", "multilingual"], help="as cluster.embedder")
    print(json.dumps({name: measured(name) for name in parser.parse_args().embedders}))


def sentences() -> list[tuple[str, str, str]]:
    """Topic, language and sentence, in the order of the sentences' hashes, as the stage has them."""
    found = [
        (topic, language, normalise(sentence))
        for topic, languages in json.loads(TOPICS.read_text()).items()
        for language, said in languages.items()
        for sentence in said
    ]
    return sorted(found, key=lambda row: hashlib.sha256(row[2].encode()).hexdigest())


def measured(embedder: str) -> dict[str, Any]:
    """AMI by topic over all sentences and over those of each language; clusters; CPU seconds per 1,000 texts."""
    rows = sentences()
    model = load(embedder)
    started = time.process_time()
    vectors = wordless_apart(model.embed([text for _, _, text in rows]))
    cpu = (time.process_time() - started) / len(rows) * 1000
    groups = find(vectors)
    topics, languages = (np.array([row[i] for row in rows]) for i in (0, 1))
    by_language = {
        language: round(
            float(adjusted_mutual_info_score(topics[languages == language], groups[languages == language])), 3
        )
        for language in np.unique(languages).tolist()
    }
    over_all = round(float(adjusted_mutual_info_score(topics, groups)), 3)
    print(f"{embedder:24} AMI by topic {over_all:.3f}, {groups.max() + 1} clusters, {cpu:.2f} CPU s per 1,000 texts")
    print("  " + ", ".join(f"{language} {value:.3f}" for language, value in by_language.items()), flush=True)
    return {
        "ami": over_all,
        "clusters": int(groups.max()) + 1,
        "languages": by_language,
        "cpu_s_per_1000": round(cpu, 2),
    }


if __name__ == "__main__":
    main()
