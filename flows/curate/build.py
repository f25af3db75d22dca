"""Examples into the rows of a training and an eval dataset, with a reason for everything that is left out.

The order is the argument: whose side (split), then duplicates inside each side, then train against eval. Pure.
Go on to `shapes.py` and `folder.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from flows.curate.dedup import normalise, stars
from flows.curate.examples import Dropped
from flows.curate.leaks import MIN_WORDS, Leaks
from flows.curate.split import side_of
from schemas.messages import parse
from schemas.records import Example
from schemas.settings import CurateSettings

ORIGINS = ("correction", "regenerate", "accepted", "rejected")
"""Best first: a person's own words, an answer that a person took instead, an answer that nobody minded."""


class Build(msgspec.Struct, frozen=True):
    """What goes into the two datasets, and what does not."""

    train: tuple[Example, ...]
    eval: tuple[Example, ...]
    dropped: tuple[Dropped, ...]

    @property
    def sft(self) -> list[Example]:
        """Train examples with a good answer."""
        return list(self.train)

    @property
    def preference(self) -> list[Example]:
        """Train examples with a good answer and one that was not."""
        return [example for example in self.train if example.rejected]

    def reasons(self) -> dict[str, int]:
        """Dropped rows by reason, most first."""
        counts = Counter(row.reason for row in self.dropped)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def build(examples: Iterable[Example], unusable: Iterable[Dropped], settings: CurateSettings) -> Build:
    """Split, de-duplicate, and keep train away from eval; `unusable` are the rows that gave no example."""
    usable, dropped = _with_answer(examples)
    dropped += unusable
    sides: dict[str, list[Example]] = {"train": [], "eval": []}
    for example in sorted(usable, key=_best_first):
        sides[side_of(example.unit, settings.salt, settings.eval_share)].append(example)
    evals = _distinct(sides["eval"], 1.0, "duplicate_in_eval", dropped)
    safe = _away_from(evals, sides["train"], settings.near_duplicate, dropped)
    train = _distinct(safe, settings.near_duplicate, "duplicate_in_train", dropped)
    return Build(_in_order(train), _in_order(evals), tuple(sorted(dropped, key=lambda d: (d.interaction_id, d.reason))))


def texts_of(example: Example) -> list[str]:
    """What of an example is compared with eval: all that the user said, and each longer message of it on its own."""
    said = [m.get("content") or "" for m in parse(example.prompt) if m["role"] == "user"]
    whole = normalise(example.text)
    single = [text for text in map(normalise, said) if len(said) > 1 and len(text.split()) >= MIN_WORDS]
    return list(dict.fromkeys([whole, *single]))


def _with_answer(examples: Iterable[Example]) -> tuple[list[Example], list[Dropped]]:
    usable: list[Example] = []
    dropped: list[Dropped] = []
    for example in examples:
        if example.answer:
            usable.append(example)
        else:
            dropped.append(Dropped(example.interaction_id, "no_good_answer"))
    return usable, dropped


def _best_first(example: Example) -> tuple[int, float, str]:
    return ORIGINS.index(example.origin), -(example.score or 0.0), example.interaction_id


def _distinct(examples: Sequence[Example], threshold: float, reason: str, dropped: list[Dropped]) -> list[Example]:
    """The best of each star; the others are dropped with the row that stands for them."""
    star = stars([normalise(example.text) for example in examples], threshold)
    for index, kept in enumerate(star):
        if kept != index:
            dropped.append(Dropped(examples[index].interaction_id, reason, examples[kept].interaction_id))
    return [examples[index] for index, kept in enumerate(star) if kept == index]


def _away_from(
    evals: Sequence[Example], train: Sequence[Example], near_duplicate: float, dropped: list[Dropped]
) -> list[Example]:
    leaks = Leaks([(e.interaction_id, text) for e in evals for text in texts_of(e)], near_duplicate)
    safe = []
    for example in train:
        if found := leaks.find(texts_of(example)):
            dropped.append(Dropped(example.interaction_id, *found))
        else:
            safe.append(example)
    return safe


def _in_order(examples: Sequence[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda example: example.interaction_id))
