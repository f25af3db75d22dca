"""Power: whether this gate can pass at all on this eval set, before anything is paid for.

The sizes of an eval set are known before it is run; so is what the gate's tests need. The formulas are in
`flows/statistics.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flows.statistics import smallest_passing
from schemas.errors import SettingsError
from schemas.records import Item
from schemas.settings import GateSettings


def impossible(items: Sequence[Item], gate: GateSettings) -> Iterator[str]:
    """Why no candidate could get the verdict `promote` on these items; nothing where one could.

    Not worse is tested at the number of units where nothing differs: below `smallest_passing` of them not even a
    candidate that answers exactly as the champion passes. An eval set below `gate.min_items` is not refused: it is
    still growing, and the verdict says what it lacks.
    """
    units = len({item.unit or item.item_id for item in items})
    if len(items) < gate.min_items or gate.few(len(items), units):
        return
    single = units == len(items)
    if gate.policy == "as_good" and units < (needed := smallest_passing(gate.margin, gate.alpha, single)):
        yield f"gate.margin {gate.margin} needs {needed} units, the eval set has {units}: widen it or collect more"
    if gate.policy == "better" and 0.5 ** len(items) > gate.level:
        yield f"gate.alpha {gate.alpha} cannot be reached with {len(items)} items even if all are won"
    yield from _slices(items, gate)


def refuse_impossible(items: Sequence[Item], gate: GateSettings) -> None:
    """Raise SettingsError with every reason why this gate can never pass on these items."""
    if reasons := list(impossible(items, gate)):
        raise SettingsError("this gate can never pass on this eval set: " + "; ".join(reasons))


def _slices(items: Sequence[Item], gate: GateSettings) -> Iterator[str]:
    units = Counter(name for name, _ in {(item.slice, item.unit or item.item_id) for item in items})
    single = sum(units.values()) == len(items)
    needed = smallest_passing(gate.slice_margin, gate.alpha, single)
    for name in gate.protected:
        if not units[name]:
            yield f"protected slice {name} has no item in the eval set"
        elif units[name] < needed:
            yield (
                f"protected slice {name} has {units[name]} units; gate.slice_margin {gate.slice_margin} needs "
                f"{needed}: widen it, collect more, or leave the slice to the harm test"
            )
