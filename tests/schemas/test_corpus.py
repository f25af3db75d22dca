"""Inputs with which a fuzzer reached new code are read again: `benchmarks/fuzz.py` adds to them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.support.corpus import look_at

CORPUS = [base64.b64decode(line) for line in (Path(__file__).parent / "corpus.txt").read_text().split()]


@pytest.mark.parametrize("part", range(10))
def test_no_input_of_the_corpus_stops_a_reader(part: int) -> None:
    """Each is read as an event, both ways alike, as messages, as a body and as a stream, whole and byte by byte."""
    assert CORPUS[part::10]
    for data in CORPUS[part::10]:
        look_at(data)
