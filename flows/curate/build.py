"""Examples into what each kind of dataset holds, with a reason for everything that is left out. Pure.

The order is the argument: whose side (split), train away from eval, then duplicates inside train, and the recipe last:
what a recipe leaves out must not change what is safe. Go on to `flows/curate/folder/shapes.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from flows.curate.contributors import within_shares
from flows.curate.dedup import stars
from flows.curate.examples import Dropped, Found
from flows.curate.folder.card import most_first
from flows.curate.leaks import Guard, Leaks, Paraphrases, texts_of
from flows.curate.sample import cut_of
from flows.curate.split import chance, side_of
from schemas.normalise import normalise
from schemas.records import GOLDEN, Example
from schemas.settings import CurateSettings, Recipe

BEST_FIRST = ("correction", "regenerate", "ab", "accepted", "rejected", "guardrail")
"""A person's own words, an answer taken instead of another, an answer that did better, an answer nobody minded."""
MOST_ITEMS = 5_000
"""Eval items at most: each is a guard that all of train is compared with, and a question to two models. With a share of
all traffic instead, the comparisons would grow with its square."""
NEVER_TAUGHT = ("rejected", "guardrail")


class Build(msgspec.Struct, frozen=True):
    """What goes into the two datasets, and what does not. All in order of interaction."""

    taught: tuple[Example, ...]
    """Train, with a good answer: `sft`; those with a rejected answer too: `preference`."""
    rejected: tuple[Example, ...]
    """Train, with a bad answer only: in `kto`."""
    guardrail: tuple[Example, ...]
    """Train, verdicts of guardrails."""
    eval: tuple[Example, ...]
    dropped: tuple[Dropped, ...]
    sample: tuple[Example, ...] = ()
    """The newest requests, which decide about what is trained on the rest; by interaction."""
    cut: datetime | None = None
    """Nothing from here on is taught; None: nothing is held back."""
    threshold: float = 1.0
    """Eval items whose `split.chance` is above it were left out: there were more than MOST_ITEMS."""

    @property
    def pairs(self) -> tuple[Example, ...]:
        """Train examples with a good answer and one that was not."""
        return tuple(example for example in self.taught if example.rejected)

    def reasons(self) -> dict[str, int]:
        """Dropped rows by reason, most first."""
        return most_first(Counter(row.reason for row in self.dropped))


def build(
    found: Found,
    settings: CurateSettings,
    recipe: Recipe,
    as_of: datetime,
    guards: Sequence[Guard] = (),
    paraphrases: Paraphrases | None = None,
    sample: tuple[Example, ...] = (),
) -> Build:
    """Split, keep train away from eval and `guards`, de-duplicate, and take what the recipe asks for.

    Nobody has more than their share: of what guards train and takes the place of duplicates, nor of what is left.

    The `sample` decides about the model that is trained now: what is as new as it is taught by a later build. Golden
    items are asked whatever else there is and whatever the recipe says.
    """
    dropped, salt = list(found.dropped), settings.salt.reveal()
    sides: dict[str, list[Example]] = {"train": [], "eval": []}
    for example in within_shares(sorted(found.examples, key=_best_first), settings, dropped):
        sides[side_of(example.unit, salt, settings.eval_share)].append(example)
    items = _distinct(_askable(sides["eval"], dropped), 1.0, "duplicate_in_eval", dropped)
    threshold = threshold_of(items, salt)
    items = within_shares(_below(threshold, items, salt, dropped), settings, dropped)
    items = _beside(found.golden, items, dropped)
    everything = [*map(_guard, (*found.golden, *items)), *guards]
    cut = cut_of(sample)
    older = _older_than(cut, sides["train"], dropped)
    safe = _away_from(everything, older, settings.near_duplicate, paraphrases, dropped)
    train = [
        example
        for group in (_taught(safe), _of(safe, "rejected"), _of(safe, "guardrail"))
        for example in _distinct(group, settings.near_duplicate, "duplicate_in_train", dropped)
    ]
    train, items = (_of_recipe(side, recipe, as_of, dropped) for side in (train, items))
    train = within_shares(_capped(train, recipe.per_cluster, dropped), settings, dropped)
    items = within_shares(items, settings, dropped)
    return Build(
        taught=_in_order(_taught(train)),
        rejected=_in_order(_of(train, "rejected")),
        guardrail=_in_order(_of(train, "guardrail")),
        eval=_in_order((*found.golden, *items)),
        dropped=tuple(sorted(dropped, key=lambda row: (row.interaction_id, row.reason))),
        sample=sample,
        cut=cut,
        threshold=threshold,
    )


def _best_first(example: Example) -> tuple[int, float, str, str]:
    return BEST_FIRST.index(example.origin), -(example.score or 0), example.interaction_id, example.feedback_id or ""


def _older_than(cut: datetime | None, train: list[Example], dropped: list[Dropped]) -> list[Example]:
    if cut is None:
        return train
    dropped += [Dropped(e.interaction_id, "held_back") for e in train if e.time is None or e.time >= cut]
    return [example for example in train if example.time is not None and example.time < cut]


def _taught(examples: Iterable[Example]) -> list[Example]:
    return [example for example in examples if example.origin not in NEVER_TAUGHT]


def _of(examples: Iterable[Example], origin: str) -> list[Example]:
    return [example for example in examples if example.origin == origin]


def _askable(examples: Sequence[Example], dropped: list[Dropped]) -> list[Example]:
    """Eval items need a reference; what has none on this side teaches nothing either."""
    dropped += [Dropped(e.interaction_id, "eval_without_reference") for e in examples if e.origin in NEVER_TAUGHT]
    return _taught(examples)


def threshold_of(items: Sequence[Example], salt: str) -> float:
    """Up to which `split.chance` eval items are kept, so that there are MOST_ITEMS at most."""
    if len(items) <= MOST_ITEMS:
        return 1.0
    return sorted(chance(item.interaction_id, salt) for item in items)[MOST_ITEMS - 1]


def _below(threshold: float, items: list[Example], salt: str, dropped: list[Dropped]) -> list[Example]:
    kept = [item for item in items if chance(item.interaction_id, salt) <= threshold]
    left_out = {item.interaction_id for item in items} - {item.interaction_id for item in kept}
    dropped += [Dropped(interaction_id, "eval_full") for interaction_id in sorted(left_out)]
    return kept


def _beside(golden: Sequence[Example], items: list[Example], dropped: list[Dropped]) -> list[Example]:
    """The items that say nothing that a golden one says, nor are what it was made from."""
    said = {normalise(one.text): _name(one) for one in golden}
    said |= {one.interaction_id: _name(one) for one in golden if one.interaction_id}
    twice = {item.interaction_id: said.get(item.interaction_id) or said.get(normalise(item.text)) for item in items}
    dropped += [Dropped(id_, "duplicate_in_eval", name) for id_, name in twice.items() if name]
    return [item for item in items if not twice[item.interaction_id]]


def _name(example: Example) -> str:
    """What it is called as a reason: the interaction; of a golden item the item."""
    return example.feedback_id or "" if example.origin == GOLDEN else example.interaction_id


def _guard(example: Example) -> Guard:
    return Guard(_name(example), example.interaction_id, example.unit, example.text, tuple(texts_of(example)))


def _away_from(
    guards: Sequence[Guard],
    train: Sequence[Example],
    near_duplicate: float,
    paraphrases: Paraphrases | None,
    dropped: list[Dropped],
) -> list[Example]:
    """Train without what resembles a guard: in letters first, then, of what is left, in meaning."""
    found = Leaks(guards, near_duplicate).find(train)
    dropped += [Dropped(example.interaction_id, *why) for example, why in zip(train, found, strict=True) if why]
    safe = [example for example, why in zip(train, found, strict=True) if not why]
    if paraphrases is None:
        return safe
    alike = paraphrases.find(guards, [example.text for example in safe])
    dropped += [
        Dropped(example.interaction_id, "eval_paraphrase", name)
        for example, name in zip(safe, alike, strict=True)
        if name
    ]
    return [example for example, name in zip(safe, alike, strict=True) if not name]


def _distinct(examples: Sequence[Example], threshold: float, reason: str, dropped: list[Dropped]) -> list[Example]:
    """The best of each star, with how many it stands for; the others are dropped with its name."""
    star = stars([normalise(example.text) for example in examples], threshold)
    copies = Counter(star)
    for index, kept in enumerate(star):
        if kept != index:
            dropped.append(Dropped(examples[index].interaction_id, reason, examples[kept].interaction_id))
    return [
        msgspec.structs.replace(examples[index], copies=copies[index]) if copies[index] > 1 else examples[index]
        for index, kept in enumerate(star)
        if kept == index
    ]


def _of_recipe(examples: Sequence[Example], recipe: Recipe, as_of: datetime, dropped: list[Dropped]) -> list[Example]:
    taken = [_wanted(example, recipe, as_of) for example in examples]
    dropped += [
        Dropped(e.interaction_id, "not_in_recipe") for e, wanted in zip(examples, taken, strict=True) if not wanted
    ]
    return [example for example, wanted in zip(examples, taken, strict=True) if wanted]


def _wanted(example: Example, recipe: Recipe, as_of: datetime) -> bool:
    chosen = (
        (recipe.clusters, example.cluster_id),
        (recipe.origins, example.origin),
        (recipe.models, example.model),
        (recipe.prompt_versions, example.prompt_version),
    )
    recent = recipe.days is None or example.time is None or example.time >= as_of - timedelta(days=recipe.days)
    good = example.origin != "accepted" or (example.score or 0.0) >= recipe.min_score
    return recent and good and all(not wanted or value in wanted for wanted, value in chosen)


def _capped(examples: Sequence[Example], per_cluster: int | None, dropped: list[Dropped]) -> list[Example]:
    """The best `per_cluster` of each cluster; examples come best first."""
    seen: Counter[str] = Counter()
    chosen = []
    for example in examples:
        seen[example.cluster_id] += 1
        if per_cluster is None or seen[example.cluster_id] <= per_cluster:
            chosen.append(example)
        else:
            dropped.append(Dropped(example.interaction_id, "cluster_full"))
    return chosen


def _in_order(examples: Iterable[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda example: (example.interaction_id, example.feedback_id or "")))
