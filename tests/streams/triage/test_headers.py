"""aiokafka reads records with header names that are no UTF-8, and all others as before."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from streams.triage.headers import Records


class Name(str):
    """A header name that goes out as the bytes of these letters."""

    def encode(self, *_: Any) -> bytes:
        return bytes(map(ord, self))


def fetched(*batches: list[tuple[str, bytes | None]], codec: int = 0) -> bytes:
    """What a fetch brings: batches of records, each with one header."""
    data, offset = b"", 0
    for batch in batches:
        builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, -1, 0, 1 << 20)
        for place, header in enumerate(batch):
            builder.append(place, 0, b"key", b"value", [header])
        built = bytearray(builder.build())
        struct.pack_into(">q", built, 0, offset)  # the broker writes where a batch begins
        data, offset = data + bytes(built), offset + len(batch)
    return data


def read(records: Any) -> list[tuple[int, bytes, list[Any]]]:
    found = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        found += [(record.offset, record.value, list(record.headers)) for record in batch]
    return found


@pytest.mark.parametrize("codec", [0, 1], ids=["plain", "gzip"])
def test_a_name_that_is_no_text_is_read_leniently(codec: int) -> None:
    """No record of any batch is lost or told twice, and what can be read is read as it is."""
    good, bad = ("né", b"\xff"), (Name("\xff\xfe"), b"1")
    data = fetched([good, good], [good, bad, good, bad], [good], codec=codec)

    found = read(Records(data))

    assert [offset for offset, _, _ in found] == list(range(7))
    assert {value for _, value, _ in found} == {b"value"}
    assert [headers for _, _, headers in found if headers != [good]] == [[("\ufffd\ufffd", b"1")]] * 2


def test_everything_else_is_read_as_ever() -> None:
    """Batches without such names go aiokafka's own way."""
    data = fetched([("a", b"1"), ("b", None)], [("", b"")])

    assert read(Records(data)) == read(MemoryRecords(data))
    assert Records(data).size_in_bytes() == len(data)
    assert not Records(b"").has_next()
