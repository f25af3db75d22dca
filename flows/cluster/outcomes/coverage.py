"""Who gives feedback, on what, and how far the failure rate of the judged is from that of all.

People who click are not all people. The propensity of being judged is fitted on what is known of every interaction, and
each judged one is weighed by its inverse (Hájek's ratio estimator; P. R. Rosenbaum and D. B. Rubin, Biometrika 70,
1983). That mends selection by what is seen: model, prompt, hour, length, habit of the user, words of the question. It
cannot mend selection by the outcome itself (the angry click more); `low` and `high` bound what that could hide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
SEGMENTS = ("request_model", "prompt_version", "variant")
MIN_PROPENSITY = 0.01
"""No judged interaction stands for more than a hundred."""
MIN_JUDGED = 50
"""Judged, and not judged, that a fit needs."""
FIT_ROWS = 20_000
"""Rows that the propensity is fitted on, and the rate weighed by: its error is then below half a point."""
WORDS = 2**10
"""Columns that question words are hashed to: topics are told apart, single texts are not."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The judged against all."""

    judged: int
    interactions: int
    raw: float | None
    """Failure rate of the judged; None where nobody was."""
    weighted: float | None
    """The same, each judged one weighed by how unlikely it was to be judged; None where there was too little to fit."""
    low: float | None
    """Failure rate of all if everything that nobody judged was fine: no selection can hide less."""
    high: float | None
    """And if all of it failed."""
    effective: float
    """How many equally weighed interactions the weighted rate is worth (Kish)."""
    segments: dict[str, dict[str, list[int]]]
    """Column → value → [judged, interactions]."""


def coverage(rows: pa.Table, texts: Sequence[str], judged: Mask, failed: Mask) -> Coverage:
    """Report on all interactions; `failed` counts only where `judged`."""
    n, judgements = len(judged), int(judged.sum())
    bad = int((failed & judged).sum())
    weights = inverse_propensity(rows, texts, judged)
    weighted = None
    if weights is not None:
        weighted = float((weights * failed[judged]).sum() / weights.sum())
    return Coverage(
        judged=judgements,
        interactions=n,
        raw=bad / judgements if judgements else None,
        weighted=weighted,
        low=bad / n if n else None,
        high=(bad + n - judgements) / n if n else None,
        effective=float(weights.sum() ** 2 / (weights**2).sum()) if weights is not None else 0.0,
        segments={name: _segment(rows[name], judged) for name in SEGMENTS},
    )


def counted(counts: pa.Table) -> dict[str, Any]:
    """The fields that need no fit, by counts of interactions: rows of `covered_counts.sql`."""
    rows = counts.to_pylist()
    n = sum(row["interactions"] for row in rows)
    judgements = sum(row["interactions"] for row in rows if row["outcome"] != "unknown")
    bad = sum(row["interactions"] for row in rows if row["outcome"] == "failed")
    segments: dict[str, dict[str, list[int]]] = {name: {} for name in SEGMENTS}
    for row in rows:
        for name in SEGMENTS:
            part = segments[name].setdefault(row[name], [0, 0])
            part[0] += row["interactions"] * (row["outcome"] != "unknown")
            part[1] += row["interactions"]
    return {
        "judged": judgements,
        "interactions": n,
        "raw": bad / judgements if judgements else None,
        "low": bad / n if n else None,
        "high": (bad + n - judgements) / n if n else None,
        "segments": {name: dict(sorted(values.items())) for name, values in segments.items()},
    }


def inverse_propensity(rows: pa.Table, texts: Sequence[str], judged: Mask) -> Floats | None:
    """A weight for each judged interaction, or None where there are too few to fit a propensity."""
    if min(judged.sum(), (~judged).sum()) < MIN_JUDGED:
        return None
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 lazy: 4 s of import

    features = _features(rows, texts)
    model = LogisticRegression(C=1.0, max_iter=300).fit(features, judged)
    chance = model.predict_proba(features[np.flatnonzero(judged)])[:, 1]
    return np.asarray(1 / np.maximum(chance, MIN_PROPENSITY))


def _features(rows: pa.Table, texts: Sequence[str]) -> Any:
    """Sparse matrix of what is known of every interaction, judged or not."""
    from scipy import sparse  # noqa: PLC0415 lazy: as above
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415

    hour = pc.hour(rows["time"]).to_numpy().astype(np.float64) / 24 * 2 * np.pi
    units = np.array(rows["unit"].to_pylist(), dtype=str)
    _, unit, activity = np.unique(units, return_inverse=True, return_counts=True)
    lengths = np.array([len(text) for text in texts], dtype=np.float64)
    numbers = np.stack([np.sin(hour), np.cos(hour), np.log1p(activity[unit])], axis=1)
    numbers = np.concatenate([numbers, np.log1p(lengths)[:, None] / 5], axis=1)
    words = HashingVectorizer(n_features=WORDS, alternate_sign=False).transform([text[:2000] for text in texts])
    return sparse.hstack([numbers, words, *(_one_hot(rows[name]) for name in SEGMENTS)], format="csr")


def _one_hot(column: pa.ChunkedArray) -> Any:
    from scipy import sparse  # noqa: PLC0415 lazy: as above

    _, index = np.unique(np.array(pc.fill_null(column, "").to_pylist(), dtype=str), return_inverse=True)
    shape = (len(index), int(index.max(initial=0)) + 1)
    return sparse.csr_matrix((np.ones(len(index)), (np.arange(len(index)), index)), shape=shape)


def _segment(column: pa.ChunkedArray, judged: Mask) -> dict[str, list[int]]:
    values = np.array(pc.fill_null(column, "").to_pylist(), dtype=str)
    return {str(v): [int((judged & (values == v)).sum()), int((values == v).sum())] for v in np.unique(values)}
