"""Bytes → rows of a raw table, at a fraction of the cost of events: the archiver's way in.

Events whose every field is known are checked without being built: scalars become Python values, nested values stay the
JSON text that came. Those are checked many at once: each is one whole JSON value by then, so a list of them is valid
where each of them is. Anything unusual goes through `codec.decode`, one by one: both ways give one answer (held by a
property test). Go on to `streams/archive/batch.py`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw

from schemas.codec import MAX_DEPTH, check_depth, decode
from schemas.errors import EventError
from schemas.events import (
    EVENT_TYPES,
    YEARS,
    Headed,
    Id,
    Message,
    PlainMessage,
    RoledMessage,
    event_type,
)  # fmt: skip

Row = tuple[Any, ...]
"""Values in the order of `fields_of`: scalars as Python values, nested ones as JSON text (empty where absent)."""
Columns = list[Sequence[Any]]
"""Rows, turned: for each of `fields_of` the values of all rows."""

BLOCK = 250
"""Events that are read and checked together, while a core's cache still holds them."""
GROUP_BYTES = 64 * 2**10
"""Of JSON text that is checked at once: enough to forget the call's own cost, and small enough for a core's cache."""
_FIRST, _BEYOND = datetime(YEARS.start, 1, 1, tzinfo=UTC), datetime(YEARS.stop, 1, 1, tzinfo=UTC)
_UNSURE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, EventError, ValueError)
"""The event is bad, or only unusual: the slow way knows, and says which field."""
_UUID_LENGTH, _UUID_DASHES = 36, (8, 13, 18, 23)
_absent = Raw(b"")
_ANY = msgspec.json.Decoder().decode
_PLAIN: dict[Any, type[msgspec.Struct]] = {Message: PlainMessage}
_ROLED: dict[Any, type[msgspec.Struct]] = {Message: RoledMessage}


def fields_of(type_name: str) -> tuple[str, ...]:
    """The names of a row's values: the event's fields, then `extra` and `event_version`."""
    return (*EVENT_TYPES[type_name].__struct_fields__, "extra", "event_version")


@cache
def nested_of(type_name: str) -> frozenset[str]:
    """The fields whose value is kept as JSON text."""
    return frozenset(name for name, hint in _hints(EVENT_TYPES[type_name]).items() if _is_nested(hint))


def read(values: Sequence[bytes], type_name: str) -> tuple[Columns, list[int]]:
    """Kafka values as columns, and the places of those that are not in them: `slow_row` has to look at each.

    At best BLOCK values at a time.
    """
    return _READERS[type_name].read(values)


def row(value: bytes | None, type_name: str) -> Row:
    """One event from Kafka value bytes, as a row. Raises EventError exactly where `codec.decode` does."""
    if type_name in _READERS:
        columns, unsure = read([value or b""], type_name)
        if not unsure:
            return tuple(column[0] for column in columns)
    return slow_row(value, type_name)


def slow_row(value: bytes | None, type_name: str) -> Row:
    """`row` without its short cut. Raises EventError."""
    decoded = decode(value, type_name)
    nested = nested_of(event_type(decoded.event))
    values = [
        decoded.raw.get(name, _absent) if name in nested else getattr(decoded.event, name)
        for name in decoded.event.__struct_fields__
    ]
    return (*values, decoded.extra, decoded.version)


class _Reader:
    """Reads many events of one type."""

    def __init__(self, type_name: str) -> None:
        cls = EVENT_TYPES[type_name]
        hints, nested = _hints(cls), nested_of(type_name)
        twin = _twin(cls, {name: Raw if name in nested else _scalar(hint) for name, hint in hints.items()})
        self._decode = msgspec.json.Decoder(twin).decode
        self._fields = cls.__struct_fields__
        self._time = self._fields.index("time")
        self._ids = [at for at, name in enumerate(self._fields) if hints[name] == Id]
        self._checks = [(at, _Check(hints[name])) for at, name in enumerate(self._fields) if name in nested]
        self._version = int(type_name.rpartition(".v")[2])

    def read(self, values: Sequence[bytes]) -> tuple[Columns, list[int]]:
        """See `read` of this file."""
        sound: list[Row] = []
        unsure: list[int] = []
        each = map(msgspec.structs.astuple, map(self._decode, values))
        while True:
            try:
                sound.extend(each)
                break
            except _UNSURE:  # what came before it is in the list, and the next try goes on behind it
                unsure.append(len(sound) + len(unsure))
        if not sound:
            return [() for _ in range(len(self._fields) + 2)], unsure
        columns: Columns = list(zip(*sound, strict=True))
        if breaking := self._breaking(columns):
            places = sorted(set(range(len(values))).difference(unsure))
            unsure = sorted([*unsure, *(places[at] for at in breaking)])
            columns = [[value for at, value in enumerate(column) if at not in breaking] for column in columns]
        count = len(values) - len(unsure)
        return [*columns, [None] * count, [self._version] * count], unsure

    def _breaking(self, columns: Columns) -> set[int]:
        """Places of the rows that break a rule which types do not say, or whose nested values are unusual."""
        breaking: set[int] = set()
        times = columns[self._time]
        if min(times) < _FIRST or max(times) >= _BEYOND:
            breaking.update(place for place, time in enumerate(times) if not _FIRST <= time < _BEYOND)
        for at in self._ids:
            if not _are_uuids(columns[at]):
                breaking.update(place for place, value in enumerate(columns[at]) if not _are_uuids([value]))
        for at, check in self._checks:
            breaking.update(check.failing(columns[at]))
        return breaking


class _Check:
    """Whether JSON texts are of a type, readable to their last byte, and not too deep."""

    def __init__(self, hint: Any) -> None:
        self._plain = _list_of(_narrow(hint, _PLAIN)) if _has_messages(hint) else None
        self._closed, self._typed = _list_of(_narrow(hint, _ROLED)), _list_of(hint)

    def failing(self, texts: Sequence[Raw]) -> list[int]:
        """The places of the texts that are not; absent ones (empty) are."""
        if self._plain is None and self._holds([*{bytes(text) for text in texts if text}]):
            return []  # parameters and tools are the same few in nearly all events: each is looked at once
        there = list(filter(None, texts))
        step = max(1, GROUP_BYTES * len(there) // (sum(map(len, there)) or 1))
        bad = [first for first in range(0, len(there), step) if not self._holds(there[first : first + step])]
        if not bad:
            return []
        places = [place for place, text in enumerate(texts) if text]
        return [at for first in bad for at in places[first : first + step] if not self._holds([texts[at]])]

    def _holds(self, texts: Sequence[Raw | bytes]) -> bool:
        joined = b"".join((b"[", b",".join(texts), b"]"))
        try:
            if self._plain and _reads(self._plain, joined):
                return True  # as nearly all messages are: known to their last field, they cannot be deep
            if not _reads(self._closed, joined):
                self._typed(joined)
                _ANY(joined)  # what the type does not know must be readable too
            for text in texts:
                if len(text) > 2 * MAX_DEPTH - 2:  # a level takes two brackets; the event itself is the first level
                    check_depth(bytes(text), above=1)
        except _UNSURE:
            return False
        return True


def _are_uuids(values: Sequence[str]) -> bool:
    """Whether all are what `events.check_id` accepts: the joined text is looked at, not each."""
    text = "".join(values)
    return (
        text.isascii()
        and all(len(value) == _UUID_LENGTH for value in values)
        and all(text[at::_UUID_LENGTH] == "-" * len(values) for at in _UUID_DASHES)
        and len(text.encode().translate(None, b"0123456789abcdef")) == len(values) * len(_UUID_DASHES)
    )


def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _is_nested(hint: Any) -> bool:
    """Whether a type's values are objects, or lists of anything but text."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _is_nested(arguments[0])
    if origin in {Union, types.UnionType}:
        return all(_is_nested(argument) for argument in arguments if argument is not types.NoneType)
    if origin is list:
        return {arguments[0], *get_args(arguments[0])} - {str, types.NoneType, str | None} != set()
    return origin is dict or (isinstance(hint, type) and issubclass(hint, msgspec.Struct))


def _scalar(hint: Any) -> Any:
    """The type without the nested forms that it may also have: those are unusual."""
    if get_origin(hint) not in {Union, types.UnionType}:
        return hint
    return Union[tuple(each for each in get_args(hint) if not _is_nested(each))]  # noqa: UP007 - built from a tuple


def _has_messages(hint: Any) -> bool:
    return hint is Message or any(map(_has_messages, get_args(hint)))


def _list_of(hint: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(list[hint]).decode


def _reads(read: Callable[[bytes], Any], joined: bytes) -> bool:
    try:
        read(joined)
    except msgspec.ValidationError:
        return False
    return True


def _narrow(hint: Any, instead: Mapping[Any, type[msgspec.Struct]]) -> Any:
    """The same type, some structs replaced, all of them without fields beside their own: nothing is skipped unread."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        cls = instead.get(hint, hint)
        return _twin(cls, {name: _narrow(inner, instead) for name, inner in _hints(cls).items()})
    if origin is Annotated:
        return Annotated[(_narrow(arguments[0], instead), *arguments[1:])]
    if origin in {Union, types.UnionType}:
        return Union[tuple(_narrow(each, instead) for each in arguments)]  # noqa: UP007 - built from a tuple
    if origin is list:
        return list[_narrow(arguments[0], instead)]  # type: ignore[misc]
    return hint


def _twin(cls: type[msgspec.Struct], hints: dict[str, Any]) -> type[msgspec.Struct]:
    """A struct of the same fields with other types, under the same rules, that refuses unknown fields."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(cls):
        hint = hints[field.name]
        if hint is Raw:
            optional = not field.required
            fields.append((field.name, Raw, _absent) if optional else (field.name, Raw))
        elif field.required:
            fields.append((field.name, hint))
        elif field.default_factory is not msgspec.NODEFAULT:
            fields.append((field.name, hint, msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((field.name, hint, field.default))
    rule = getattr(cls, "__post_init__", None)
    # The two rules of every event are held by `_Reader._unsure`, for many at a fraction of the cost.
    rules = {"__post_init__": rule} if rule not in {None, Headed.__post_init__} else {}
    return msgspec.defstruct(
        cls.__name__, fields, namespace=rules, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True
    )


_READERS = {name: _Reader(name) for name in EVENT_TYPES}
