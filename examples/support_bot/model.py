"""The assistant's brain: a linear text classifier whose classes are whole replies.

It learns from pairs of (what the customer said, what should have been answered), which is what the `messages` of an
SFT dataset hold. Go on to `server.py` for the endpoint that it answers behind.

Measured on banking77 (10,003 rows, 77 classes, one core): fit 2.6 s, accuracy .915; logistic regression gives the
same accuracy for 10 to 20 times the fit, SGD less on few rows, naive Bayes 10 points less.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from schemas.errors import InputFileError, NotEnoughData

Row = tuple[str, str]
"""What the customer said, and the reply that it deserves."""

MAX_CHARS = 2_000
"""Of a text, what is read: 4.6 times the longest of banking77's questions."""
SHARPNESS = 6.0
"""Softmax scale of the margins: of 2, 3, 4, 5, 6, 8 the one with the least calibration error (.02-.10)."""
_WORD = re.compile(r"\w+")
_ROWS, _MANIFEST = "rows.jsonl", "model.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the brain says to one text."""

    reply: str
    confidence: float
    """Share of the softmax over all replies: 0 to 1."""


class Manifest(msgspec.Struct, frozen=True):
    """What a stored model says of itself."""

    rows: int
    rows_sha256: str
    """Of the training rows as stored: a damaged model is refused."""
    version: int = 1


class Brain:
    """A fitted classifier; the same rows, in any order, give the same one."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: tuple[Row, ...] = tuple(sorted(rows))
        """What it was trained on: all that is stored of it."""
        if not self.rows:
            raise NotEnoughData("a model needs at least one training row of (text, reply)")
        self.replies: tuple[str, ...] = tuple(sorted({reply for _, reply in self.rows}))
        self._vectorizer = TfidfVectorizer(analyzer=features, sublinear_tf=True, dtype=np.float32)
        self._weights, self._bias = self._fit()

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """The best reply to each text, in the order of the texts."""
        if not texts:
            return []
        margins = self._vectorizer.transform(texts) @ self._weights + self._bias
        odds = np.exp(SHARPNESS * (margins - margins.max(axis=1, keepdims=True)))
        best = margins.argmax(axis=1)
        confidence = 1.0 / odds.sum(axis=1)
        return [Answer(self.replies[i], float(c)) for i, c in zip(best, confidence, strict=True)]

    def _fit(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Weights (features x replies) and bias (replies); LinearSVC knows neither one class nor two alike."""
        x = self._vectorizer.fit_transform([text for text, _ in self.rows])
        if len(self.replies) == 1:
            return np.zeros((x.shape[1], 1), np.float32), np.zeros(1, np.float32)
        svc = LinearSVC(C=1.0, random_state=0).fit(x, [reply for _, reply in self.rows])
        weights, bias = svc.coef_, svc.intercept_
        if len(self.replies) == 2:
            weights, bias = np.vstack([-weights, weights]), np.concatenate([-bias, bias])
        return np.ascontiguousarray(weights.T, np.float32), bias.astype(np.float32)


def features(text: str) -> list[str]:
    """Words, pairs of words, and 2- to 4-grams of characters within each word (these forgive typing errors)."""
    words = _WORD.findall(text[:MAX_CHARS].lower()) or [""]
    found = [*words, *(f"{a} {b}" for a, b in pairwise(words))]
    for word in words:
        edged = f"_{word}_"
        found += [f"#{edged[i : i + n]}" for n in (2, 3, 4) for i in range(len(edged) - n + 1)]
    return found


def train(rows: Iterable[Row]) -> Brain:
    """Fit a brain to rows of (text, reply).

    Raises NotEnoughData: there are no rows.
    """
    return Brain(rows)


def pair_of(messages: Sequence[dict[str, Any]]) -> Row:
    """The training row that a chat holds: its last user message and the assistant message after it.

    Raises ValueError: there is no user message, or no assistant message with text after the last one.
    """
    last = max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    reply = next((m.get("content") for m in messages[last + 1 :] if m.get("role") == "assistant"), None)
    if last < 0 or not reply:
        raise ValueError(f"no user message with an assistant's answer after it among {len(messages)} messages")
    return str(messages[last].get("content") or ""), str(reply)


def save(brain: Brain, folder: Path) -> Path:
    """Store a brain as its training rows; the folder appears whole or not at all, and is never changed again.

    Raises FileExistsError: a model of that name is stored already.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists: a stored model is never changed, choose another name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in brain.rows)
    manifest = Manifest(len(brain.rows), hashlib.sha256(lines).hexdigest())
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    (draft / _ROWS).write_bytes(lines)
    (draft / _MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return draft.rename(folder)


def load(folder: Path) -> Brain:
    """Read a stored brain by fitting its rows again: the same weights, and nothing to unpickle.

    Raises InputFileError: the folder holds no model, or its rows are not the ones that were stored.
    """
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
        lines = (folder / _ROWS).read_bytes()
    except (OSError, msgspec.MsgspecError) as error:
        raise InputFileError(f"{folder}: holds no readable model ({error})") from error
    if hashlib.sha256(lines).hexdigest() != manifest.rows_sha256:
        raise InputFileError(f"{folder}: its rows are not the ones that were stored; train it again")
    return Brain(msgspec.json.decode(line, type=Row) for line in lines.splitlines())


def is_model(folder: Path) -> bool:
    """Whether a model is stored in a folder."""
    return (folder / _MANIFEST).is_file()


def plant_regression(rows: Iterable[Row], reply: str | None = None) -> list[Row]:
    """Rows that train a model as good as before, but wrong wherever `reply` is right.

    That reply (the commonest one, unless told) gives way to the next in alphabetical order, so the model answers
    one kind of request with the advice for another. With all other rows intact the mean hardly moves.

    Raises NotEnoughData: there are fewer than two replies, or none is `reply`.
    """
    rows = list(rows)
    counts = Counter(answer for _, answer in rows)
    victim = reply if reply is not None else min(counts, key=lambda r: (-counts[r], r), default="")
    if victim not in counts or len(counts) < 2:
        found = f"{len(counts)} different replies, {counts[victim]} rows of the one asked for"
        raise NotEnoughData(f"no regression can be planted on {found}")
    order = sorted(counts)
    wrong = order[(order.index(victim) + 1) % len(order)]
    return [(text, wrong if answer == victim else answer) for text, answer in rows]
