"""Bytes → one row of a raw table, at a third of the cost of an event: the archiver's way in.

An event whose every field is known is checked field by field without being built: nested values are checked by their
types and kept as the JSON text that came. Anything unusual goes through `codec.decode`, so both ways give one answer
(held by a property test). Go on to `streams/batch.py`.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Raw

from schemas.codec import check_depth, decode
from schemas.errors import EventError
from schemas.events import EVENT_TYPES, UUID, YEARS, Headed, Id

Row = tuple[Any, ...]
"""Values in the order of `fields_of`: scalars as Python values, nested ones as JSON text (empty where absent)."""

_SCALARS = (str, int, float, bool, type(None))
_absent = Raw(b"")
_FAST_ID = Annotated[str, Meta(pattern=rf"\A{UUID}\Z")]


def fields_of(type_name: str) -> tuple[str, ...]:
    """The names of a row's values: the event's fields, then `extra` and `event_version`."""
    return (*EVENT_TYPES[type_name].__struct_fields__, "extra", "event_version")


def nested_of(type_name: str) -> frozenset[str]:
    """The fields whose value is kept as JSON text."""
    return frozenset(name for name, hint in _hints(EVENT_TYPES[type_name]).items() if _is_nested(hint))


def row(value: bytes | None, type_name: str) -> Row:
    """One event from Kafka value bytes, as a row. Raises EventError exactly where `codec.decode` does."""
    if type_name in _FAST and value:
        try:
            return _FAST[type_name](value)
        except UNSURE:
            pass
    return slow_row(value, type_name)


def fast_row(type_name: str) -> Callable[[bytes], Row]:
    """For loops over many events of one type: raises one of UNSURE where `slow_row` has to look at an event."""
    return _FAST[type_name]


UNSURE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, EventError, ValueError)
"""The event is bad, or only unusual: the slow way knows, and says which field."""


def slow_row(value: bytes | None, type_name: str) -> Row:
    """`row` without its short cut. Raises EventError."""
    decoded = decode(value, type_name)
    nested = _NESTED[type(decoded.event)]
    values = [
        decoded.raw.get(name, _absent) if name in nested else getattr(decoded.event, name)
        for name in decoded.event.__struct_fields__
    ]
    return (*values, decoded.extra, decoded.version)


def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _is_nested(hint: Any) -> bool:
    """Whether a type's values are objects, or lists of anything but text."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _is_nested(arguments[0])
    if origin in {Union, types.UnionType}:
        return any(_is_nested(argument) for argument in arguments)
    if origin is list:
        return arguments[0] is not str
    return origin is dict or (isinstance(hint, type) and issubclass(hint, msgspec.Struct))


def _strict(hint: Any, *, flat: bool = False) -> Any:
    """The same type, but its structs refuse fields that they do not know: nothing is skipped unread.

    `flat` leaves out whatever can nest without end (`dict`); what remains cannot be too deep.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _twin(hint, {name: _strict(inner, flat=flat) for name, inner in _hints(hint).items()})
    if origin is Annotated:
        return Annotated[(_strict(arguments[0], flat=flat), *arguments[1:])]
    if origin in {Union, types.UnionType}:
        kept = [argument for argument in arguments if not (flat and _is_endless(argument))]
        return Union[tuple(_strict(argument, flat=flat) for argument in kept)]  # noqa: UP007 - built from a tuple
    if origin is list:
        return list[_strict(arguments[0], flat=flat)]  # type: ignore[misc]
    return hint


def _is_endless(hint: Any) -> bool:
    return get_origin(hint) is dict or any(_is_endless(argument) for argument in get_args(hint))


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
    # The two rules of every event are held by a pattern and by `_fast`, at a third of the cost.
    rules = {"__post_init__": rule} if rule not in {None, Headed.__post_init__} else {}
    return msgspec.defstruct(
        cls.__name__, fields, namespace=rules, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True
    )


def _fast(type_name: str) -> Callable[[bytes], Row]:
    """A function from bytes to row for events of one type; raises for whatever it is not sure of."""
    cls = EVENT_TYPES[type_name]
    names = cls.__struct_fields__
    hints = {name: _FAST_ID if hint == Id else hint for name, hint in _hints(cls).items()}
    nested = _NESTED[cls]
    decode_flat = msgspec.json.Decoder(_twin(cls, {n: Raw if n in nested else h for n, h in hints.items()})).decode
    checks = [(index, _check(hints[name])) for index, name in enumerate(names) if name in nested]
    tail = (None, int(type_name.rpartition(".v")[2]))
    time = names.index("time")
    as_tuple = msgspec.structs.astuple

    def fast(value: bytes) -> Row:
        values = as_tuple(decode_flat(value))
        if values[time].year not in YEARS:
            raise ValueError(values[time])
        for index, check in checks:
            if values[index]:
                check(values[index])
        return values + tail

    return fast


def _check(hint: Any) -> Callable[[Raw], Any]:
    """A function that raises unless JSON text is of a type, known to its last field, and not too deep."""
    strict = msgspec.json.Decoder(_strict(hint)).decode

    def check(text: Raw) -> None:
        strict(text)
        check_depth(bytes(text))

    if _is_endless(hint):
        return check
    flat = msgspec.json.Decoder(_strict(hint, flat=True)).decode

    def check_flat(text: Raw) -> None:
        try:
            flat(text)  # plain text messages, and nearly all are: cannot be deep, so brackets need no counting
        except msgspec.ValidationError:
            check(text)

    return check_flat


_NESTED = {cls: nested_of(name) for name, cls in EVENT_TYPES.items()}
_FAST = {name: _fast(name) for name in EVENT_TYPES}
