"""A table of small values by key, kept through restarts: a Faust table and its changelog in Kafka.

`Store` is what its users need of one. Go on to `app.py`, which makes them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import msgspec

State = TypeVar("State", bound=msgspec.Struct)


class Store(Protocol[State]):
    """Values by key."""

    def get(self, key: bytes) -> State | None:
        """The value under a key, or None."""

    def put(self, key: bytes, value: State) -> None:
        """Keep a value under a key."""

    def drop(self, key: bytes) -> None:
        """Forget a key."""

    def items(self) -> Iterator[tuple[bytes, State]]:
        """All keys with their values, of a moment: they may be changed meanwhile."""

    def __iter__(self) -> Iterator[bytes]: ...

    def __len__(self) -> int: ...


class Shelf(Generic[State]):
    """A Faust table of small values: its changelog in Kafka brings it back after a restart.

    Written only while an event is worked on, in the partition of that event.
    """

    def __init__(self, table: Any, state: type[State]) -> None:
        self._table = table
        self._decoder: msgspec.json.Decoder[State] = msgspec.json.Decoder(state)

    def get(self, key: bytes) -> State | None:
        """The value under a key, or None."""
        value = self._table.get(key)
        return None if value is None else self._decoder.decode(value)

    def put(self, key: bytes, value: State) -> None:
        """Keep a value under a key."""
        self._table[key] = msgspec.json.encode(value)

    def drop(self, key: bytes) -> None:
        """Forget a key."""
        self._table.pop(key, None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._table.keys()))

    def items(self) -> Iterator[tuple[bytes, State]]:
        """All keys with their values."""
        return ((key, self._decoder.decode(value)) for key, value in list(self._table.items()))

    def on_recovery(self, call: Callable[[], Awaitable[None]]) -> None:
        """Call something each time that the table has been brought back."""
        self._table.on_recover(call)

    def __len__(self) -> int:
        return len(self._table)
