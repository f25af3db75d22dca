"""Columns that grow by blocks are what pyarrow makes of all their values at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tables import TEXTS, TIME
from streams.archive.columns import EPOCH, column

WHOLE = st.integers(0, 2**53)
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.none() | st.text(),
    TEXTS: st.lists(st.text(), max_size=3),
    pa.int32(): st.none() | st.integers(0, 2**31 - 1),
    pa.int64(): st.none() | WHOLE,
    pa.float64(): st.none() | st.floats(0, 1e15),
    TIME: st.integers(0, 250_000_000_000_000_000).map(lambda us: EPOCH + timedelta(microseconds=us)),
    pa.bool_(): st.none() | st.booleans(),
}


def blocks(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[list[Any]]]:
    """Blocks of values; some of nothing but None where there may be one."""
    return st.lists(st.lists(values, min_size=1, max_size=5), max_size=4)


@pytest.mark.parametrize("type_", VALUES, ids=str)
@given(data=st.data())
def test_blocks_are_one_column(type_: pa.DataType, data: st.DataObject) -> None:
    """Whatever the values are, and wherever the blocks end."""
    mine = data.draw(blocks(VALUES[type_]))
    grown = column(type_)
    for block in mine:
        grown.extend(block)

    found = grown.to_arrow()

    found.validate(full=True)
    assert found.equals(pa.array([value for block in mine for value in block], type_))


@given(blocks(st.sampled_from([b"", b"null", b'{"a":1}', b'"null"', b'["\xc3\xa9"]', b"true"])))
def test_absent_and_null_json_is_null(mine: list[list[bytes]]) -> None:
    """Other texts stay as they are, to the byte."""
    grown = column(pa.string(), json=True)
    for block in mine:
        grown.extend([memoryview(text) for text in block])

    found = grown.to_arrow()

    found.validate(full=True)
    assert found.to_pylist() == [None if text in {b"", b"null"} else text.decode() for block in mine for text in block]
