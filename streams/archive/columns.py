"""Values → Arrow columns that grow block by block.

A few hundred values become compact while a core's cache still holds them, and the objects that they were are freed
there: a column of 5,000 Python objects is fetched from memory twice, to be read and to be freed.
`streams/archive/batch.py` fills them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from schemas.tables import TEXTS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ABSENT = -1
"""As a text's size: there is none."""


class Column(Protocol):
    """Grows by `extend`, by at least one value each time, and is an Arrow array in the end."""

    def extend(self, values: Sequence[Any]) -> None:
        """Append values."""

    def to_arrow(self) -> pa.Array:
        """All values."""


def column(type_: pa.DataType, *, json: bool = False) -> Column:
    """An empty column of a type: of JSON texts (bytes-like), or of Python values."""
    if json:
        return JsonTexts()
    if type_ == pa.string():
        return Texts()
    if type_ == TEXTS:
        return TextLists()
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return Numbers(type_)
    if pa.types.is_timestamp(type_):
        return Times(type_)
    return Values(type_)


class Texts:
    """Texts or None."""

    def __init__(self) -> None:
        self._sizes: list[np.ndarray] = []
        self._parts: list[bytes] = []

    def extend(self, values: Sequence[str | None]) -> None:
        """Append values."""
        if values[0] is None and values.count(None) == len(values):
            self._add(np.full(len(values), _ABSENT, np.int32), b"")
            return
        try:
            text = "".join(values)  # type: ignore[arg-type]
        except TypeError:  # a None
            sizes = [_ABSENT if value is None else len(value.encode()) for value in values]
            self._add(np.array(sizes, np.int32), "".join(filter(None, values)).encode())
        else:
            sized: Iterable[Any] = values if text.isascii() else map(str.encode, values)  # type: ignore[arg-type]
            self._add(np.fromiter(map(len, sized), np.int32, len(values)), text.encode())

    def to_arrow(self) -> pa.Array:
        """One array over one buffer."""
        sizes, text = _joined(self._sizes), b"".join(self._parts)
        ends = _ends(np.maximum(sizes, 0))
        valid = self._valid(sizes, ends, text)
        validity = None if valid.all() else pa.array(valid).buffers()[1]
        return pa.Array.from_buffers(pa.string(), len(sizes), [validity, pa.py_buffer(ends), pa.py_buffer(text)])

    def _add(self, sizes: np.ndarray, text: bytes) -> None:
        self._sizes.append(sizes)
        self._parts.append(text)

    def _valid(self, sizes: np.ndarray, _ends: np.ndarray, _text: bytes) -> np.ndarray:
        valid: np.ndarray = sizes != _ABSENT
        return valid


class JsonTexts(Texts):
    """JSON texts (bytes-like, valid UTF-8 by `schemas.rows`); absent fields (empty) and `null` are null."""

    def extend(self, values: Sequence[Any]) -> None:
        """Append values."""
        self._add(np.fromiter(map(len, values), np.int32, len(values)), b"".join(values))

    def _valid(self, sizes: np.ndarray, ends: np.ndarray, text: bytes) -> np.ndarray:
        valid = sizes > 0
        for at in np.flatnonzero(sizes == len(b"null")):
            valid[at] = not text.startswith(b"null", ends[at])
        return valid


class TextLists:
    """Lists of texts, each text or list maybe None: a list that is none is empty."""

    def __init__(self) -> None:
        self._sizes: list[np.ndarray] = []
        self._texts = Texts()

    def extend(self, values: Sequence[Sequence[str | None] | None]) -> None:
        """Append values."""
        lists: Sequence[Sequence[str | None]] = values if None not in values else [each or () for each in values]  # type: ignore[assignment]
        self._sizes.append(np.fromiter(map(len, lists), np.int32, len(lists)))
        if flat := list(chain.from_iterable(lists)):
            self._texts.extend(flat)

    def to_arrow(self) -> pa.Array:
        """One array of lists over one of texts."""
        return pa.ListArray.from_arrays(_ends(_joined(self._sizes)), self._texts.to_arrow(), type=TEXTS)


class Numbers:
    """Integers or floats, or None."""

    def __init__(self, type_: pa.DataType) -> None:
        self._type = type_
        self._numpy = np.dtype(type_.to_pandas_dtype())
        self._none = np.nan if self._numpy.kind == "f" else np.iinfo(self._numpy).min
        """What stands for None meanwhile: JSON has no NaN, and no count or place is negative."""
        self._parts: list[np.ndarray] = []

    def extend(self, values: Sequence[float | None]) -> None:
        """Append values."""
        try:
            part = np.fromiter(values, self._numpy, len(values))  # makes NaN of a None among floats
        except TypeError:
            numbers = (self._none if value is None else value for value in values)
            part = np.fromiter(numbers, self._numpy, len(values))
        self._parts.append(part)

    def to_arrow(self) -> pa.Array:
        """All of them."""
        numbers = _joined(self._parts, self._numpy)
        absent = np.isnan(numbers) if self._numpy.kind == "f" else numbers == self._none
        return pa.array(numbers, self._type, mask=absent if absent.any() else None)


class Times:
    """Times with a zone, as datetimes."""

    def __init__(self, type_: pa.DataType) -> None:
        self._type = type_
        self._parts: list[pa.Array] = []

    def extend(self, values: Sequence[datetime]) -> None:
        """Append values, as durations: pyarrow asks datetimes for their zone, which takes three times as long."""
        self._parts.append(pa.array([value - EPOCH for value in values], pa.duration("us")))

    def to_arrow(self) -> pa.Array:
        """All of them."""
        return pa.chunked_array(self._parts, pa.duration("us")).combine_chunks().cast(pa.int64()).cast(self._type)


class Values:
    """Anything else."""

    def __init__(self, type_: pa.DataType) -> None:
        self._type = type_
        self._values: list[Any] = []

    def extend(self, values: Sequence[Any]) -> None:
        """Append values."""
        self._values.extend(values)

    def to_arrow(self) -> pa.Array:
        """All of them."""
        return pa.array(self._values, self._type)


def _joined(parts: Sequence[np.ndarray], type_: Any = np.int32) -> np.ndarray:
    return np.concatenate([np.empty(0, type_), *parts])


def _ends(sizes: np.ndarray) -> np.ndarray:
    """Arrow's offsets of values of these sizes: where each begins, and where the last ends."""
    ends = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=ends[1:])
    return ends
