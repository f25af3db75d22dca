"""What customers say: labelled utterances, their replies, and the split that keeps some of them untouched.

`load` reads any JSONL of `{"text", "label"}` a line; go on to `model.py` for what answers them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from schemas.errors import InputFileError

HERE = Path(__file__).parent
UTTERANCES = HERE / "utterances.jsonl"
"""Requests to the support of an online shop, written for this example: 52 intents, about 52 utterances each."""
REPLIES = HERE / "replies.json"
"""The right answer to each of those intents."""

MAX_ROWS = 200_000
"""The brain refits at load (about 0.3 ms a row): more would make every start take over a minute."""
MAX_CHARS = 10_000
"""Far above any question a customer types (the longest of banking77 has 433 characters)."""
UNTOUCHED_SHARE = 0.25
"""Of a file without its own test split: 13 of 52 utterances an intent, 675 in all, ± 3.7 points at 95 %."""
SEEDS_PER_INTENT = (0, 2, 5, 7, 9)
"""Examples the first model has seen, dealt in turn to shuffled intents: a fifth of them it has never heard of.

Mean 4.6: 37 % right on our utterances, 48 % on banking77, which leaves room for three turns (README, "Measured").
"""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One customer request whose intent is known."""

    text: str
    label: str
    untouched: bool = False
    """The file says `"split": "test"`: never in traffic, never in a dataset."""


@dataclass(frozen=True, slots=True)
class Split:
    """Utterances by use; no text is in two of them."""

    seed: tuple[Utterance, ...]
    """What the first model is trained on: few of each intent, none of some."""
    traffic: tuple[Utterance, ...]
    """What customers say."""
    untouched: tuple[Utterance, ...]
    """What accuracy is measured on."""


def load(path: Path) -> tuple[Utterance, ...]:
    """Read labelled utterances, one JSON object a line; blank lines are passed over.

    Raises InputFileError: the file cannot be read, or a line is wrong; the message names line and field.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: is not UTF-8 (byte {error.start}); expected JSON lines") from error
    rows = tuple(_row(line, f"{path}:{n}") for n, line in enumerate(lines, start=1) if line.strip())
    if len(rows) > MAX_ROWS:
        raise InputFileError(f"{path}: {len(rows)} rows, at most {MAX_ROWS} are taken: cut the file")
    labels = {row.label for row in rows}
    if len(labels) < 2:
        raise InputFileError(f"{path}: {len(rows)} rows with {len(labels)} labels; at least 2 labels are needed")
    return rows


def _row(line: str, where: str) -> Utterance:
    try:
        fields = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise InputFileError(f"{where}: is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InputFileError(f'{where}: expected an object like {{"text": "...", "label": "..."}}, got {line[:40]!r}')
    for name in ("text", "label"):
        value = fields.get(name)
        if not isinstance(value, str) or not value.strip():
            found = "is missing" if name not in fields else f"must be a text that is not blank, got {value!r:.60}"
            raise InputFileError(f"{where}: field {name!r} {found}")
        if len(value) > MAX_CHARS:
            raise InputFileError(f"{where}: field {name!r} has {len(value)} characters, at most {MAX_CHARS} are taken")
    if fields.get("split", "train") not in ("train", "test"):
        raise InputFileError(f"{where}: field 'split' must be 'train' or 'test', got {fields['split']!r:.60}")
    return Utterance(fields["text"].strip(), fields["label"].strip(), fields.get("split") == "test")


def replies_for(labels: Iterable[str]) -> dict[str, str]:
    """The right reply to each label: ours where we wrote one, else a sentence made from the label's words.

    Raises InputFileError: two labels would get the same reply, so that no classifier of replies could tell them apart.
    """
    written: dict[str, str] = msgspec.json.decode(REPLIES.read_bytes())
    replies: dict[str, str] = {}
    owners: dict[str, str] = {}
    for label in sorted(set(labels)):
        reply = written.get(label) or _reply_from(label)
        if reply in owners:
            raise InputFileError(f"labels {owners[reply]!r} and {label!r} read the same: rename one of them")
        owners[reply] = label
        replies[label] = reply
    return replies


def _reply_from(label: str) -> str:
    words = re.sub(r"[\W_]+", " ", label).strip().lower() or label
    return f"This is about {words}. I have sent you our steps for {words}; write again if they do not help."


def split(utterances: Sequence[Utterance], seed: int) -> Split:
    """Divide utterances into seed, traffic and untouched: a pure function of its arguments.

    Untouched is what the file marks as its test split, else a quarter of each label. A text that is also among the
    untouched (but for case, spaces and punctuation) is left out of seed and traffic.
    """
    rng = random.Random(f"split:{seed}")
    by_label: dict[str, list[Utterance]] = {}
    for row in sorted(set(utterances), key=lambda row: (row.label, row.text, row.untouched)):
        by_label.setdefault(row.label, []).append(row)
    marked = any(row.untouched for row in utterances)
    untouched: list[Utterance] = []
    rest: dict[str, list[Utterance]] = {}
    for label, rows in by_label.items():
        rng.shuffle(rows)
        count = round(UNTOUCHED_SHARE * len(rows))
        kept = [row for row in rows if row.untouched] if marked else rows[:count]
        untouched += kept
        rest[label] = [row for row in rows if row not in set(kept)]
    known = {_bare(row.text) for row in untouched}
    rest = {label: [row for row in rows if _bare(row.text) not in known] for label, rows in rest.items()}
    seeds, traffic = _deal_seeds(rest, rng)
    return Split(tuple(seeds), tuple(traffic), tuple(untouched))


def _deal_seeds(rows: dict[str, list[Utterance]], rng: random.Random) -> tuple[list[Utterance], list[Utterance]]:
    seeds: list[Utterance] = []
    traffic: list[Utterance] = []
    labels = sorted(rows)
    rng.shuffle(labels)
    for place, label in enumerate(labels):
        count = min(SEEDS_PER_INTENT[place % len(SEEDS_PER_INTENT)], len(rows[label]) // 2)
        seeds += rows[label][:count]
        traffic += rows[label][count:]
    return seeds, traffic


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
