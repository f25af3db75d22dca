"""Kinds of dataset of a person's own, named in `curate.kinds`, held to what `Kind` promises.

Go on to `flows/curate/stage.py`, which has them written beside ours.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from flows.curate.build import Build
from flows.curate.folder.shapes import KINDS, SOURCE, Column, Kind, Shaped
from flows.extend import calling, load
from schemas.errors import ExtensionError, SettingsError
from schemas.records import Example

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_HELD: Mapping[Column, tuple[type, ...]] = {"text": (str,), "flag": (bool,), "number": (int, float)}
"""What a column may hold beside None."""
FILLED_IN = frozenset({"row_id", "item_id"})


def kinds_of(references: Sequence[str]) -> dict[str, Kind]:
    """Our kinds and those that the settings name as `module:name`. Raises SettingsError."""
    kinds = dict(KINDS)
    for reference in references:
        kind = load("curate.kinds", reference)
        if not isinstance(kind, Kind):
            raise SettingsError(
                f"curate.kinds {reference!r} is a {type(kind).__name__}, not a Kind (docs/extending.md)"
            )
        if wrong := _wrong(kind, kinds):
            raise SettingsError(f"curate.kinds {reference!r}: {wrong}")
        kinds[kind.name] = msgspec.structs.replace(
            kind,
            takes=functools.partial(_takes, reference, kind.teaches, kind.takes),
            shape=functools.partial(_shape, reference, kind),
        )
    return kinds


def _wrong(kind: Kind, others: Mapping[str, Kind]) -> str | None:
    """Why it cannot be written; None where it can."""
    if not _NAME.fullmatch(kind.name):
        return f"{kind.name!r} must be a short name in small letters, digits and underscores"
    if kind.name in others:
        return f"there is a kind {kind.name!r} already"
    if not _NAME.fullmatch(kind.split):
        return f"the split {kind.split!r} must be a short name in small letters, such as 'train' or 'test'"
    if taken := sorted({field.name for field in SOURCE} & kind.columns.keys()):
        return f"every kind has {', '.join(taken)} already"
    if unknown := sorted(set(kind.columns.values()) - {"chat", "tools", *_HELD}):
        return f"columns hold chat, text, flag, number or tools, not {', '.join(map(repr, unknown))}"
    return None if "chat" in kind.columns.values() else "a row needs a column of messages (chat)"


def _takes(
    reference: str, teaches: bool, takes: Callable[[Build], Sequence[Example]], made: Build
) -> Sequence[Example]:
    """Its examples. Raises ExtensionError where one is asked and would be taught, or the other way."""
    with calling(reference):
        examples = tuple(takes(made))
    side = (*made.taught, *made.rejected, *made.guardrail) if teaches else made.eval
    if not _all_of(examples, side):
        raise ExtensionError(f"{reference} takes examples that are not on the {'train' if teaches else 'eval'} side")
    return examples


def _all_of(some: Sequence[Example], of: Sequence[Example]) -> bool:
    known = set(map(id, of))
    return all(id(example) in known for example in some)


def _shape(reference: str, kind: Kind, examples: Sequence[Example]) -> Shaped:
    """Its rows. Raises ExtensionError where a column is missing, of another length, or holds what it may not."""
    with calling(reference):
        shaped = kind.shape(examples)
    if not _all_of(shaped.sources, examples):
        raise ExtensionError(f"{reference} names sources that it was not given")
    given: dict[str, Sequence[Any]] = {**shaped.chats, **shaped.others}
    wanted = {name for name, holds in kind.columns.items() if holds != "tools"} - FILLED_IN
    if given.keys() != wanted:
        raise ExtensionError(f"{reference} gives the columns {sorted(given)}, not {sorted(wanted)}")
    for name, values in given.items():
        if len(values) != len(shaped.sources):
            raise ExtensionError(f"{reference} gives {len(values)} values of {name!r} for {len(shaped.sources)} rows")
        if (types := _HELD.get(kind.columns[name])) is None:
            continue
        for value in values:
            if value is not None and not isinstance(value, types):
                raise ExtensionError(f"{reference} gives a {type(value).__name__} in {name!r}: {kind.columns[name]}")
    return shaped
