"""A peer of `benchmarks/cluster.py`: BERTopic's default pipeline. Arguments: texts, vectors, where to write topics.

The vectors stand for its embedding step, so that both sides see the same ones. The last line is JSON: seconds
by the clock and of CPU, without imports and compilation. What it makes, and `fit_transform` counts, are clusters and
the words of each.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from bertopic import BERTopic


def main() -> None:
    """Fit once on a few rows, for numba to compile, and then for the record."""
    texts = json.loads(Path(sys.argv[1]).read_text())
    vectors = np.load(sys.argv[2])
    few = min(len(texts), 1000)
    BERTopic().fit_transform(texts[:few], vectors[:few])
    wall, cpu = time.perf_counter(), time.process_time()
    topics, _ = BERTopic().fit_transform(texts, vectors)
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    np.save(sys.argv[3], np.array(topics, dtype=np.int64))
    print(json.dumps(took))


if __name__ == "__main__":
    main()
