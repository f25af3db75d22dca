"""An embedder of your own: letters alone, in any alphabet. `python examples/extending/embedder.py` clusters with it.

[cluster]
embedder = "embedder:Letters"  # module:name
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from flows.cluster.stage import cluster
from flows.embed import Vectors
from flows.extend import embedder
from flows.testing.events import START, feedback, happened, interaction
from schemas.settings import ClusterSettings, Settings
from streams.lake import Lake

TEXTS = ("мою карту украли", "заблокируйте карту", "посылка не пришла", "посылка опаздывает", "где моя посылка")


@embedder
class Letters:
    """Runs of three to five letters, hashed: nothing is learnt, so that a text's vector is the same for ever."""

    id = "letters-1"

    def __init__(self) -> None:
        self._vectorizer = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=512)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text."""
        return np.asarray(self._vectorizer.transform(texts).toarray(), dtype=np.float32)


def main() -> None:
    """Complaints about cards and about parcels, in Russian, in a lake of their own."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=home, cluster=ClusterSettings(embedder="embedder:Letters"))
        lake = Lake(Path(home) / "lake")
        asked = [
            interaction(n, user_id=f"user-{n}", input_messages=[{"role": "user", "content": f"{TEXTS[n % 5]} {n}"}])
            for n in range(60)
        ]
        happened(lake, *asked, *(feedback(n, about) for n, about in enumerate(asked)))
        summary = cluster(lake, settings, START + timedelta(days=1))
    print(f"letters: {summary.failed} failures in {summary.clusters} clusters")


if __name__ == "__main__":
    main()
