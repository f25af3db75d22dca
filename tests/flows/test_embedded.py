"""Embedding as work: the same vectors in batches, and embedders that are sent by their names."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows import embed
from flows.embedded import Embed, embedded
from schemas.errors import LakeError
from schemas.secrets import Secret
from streams.lake import Lake
from streams.lake.query import FEW

TEXTS = ["where is my parcel", "", "日本語", *(f"parcel {n}" for n in range(12_000))]
OWN = "examples.extending.embedder:Letters"


def test_vectors_are_the_embedders_own_bits(tmp_path: Path) -> None:
    """However many batches they come in; of no texts there are none, of the right length."""
    wordllama = embed.load("wordllama")

    assert np.array_equal(embedded(Lake(tmp_path), wordllama, TEXTS), wordllama.embed(TEXTS))
    assert embedded(Lake(tmp_path), wordllama, []).shape == wordllama.embed([]).shape


@pytest.mark.parametrize("name", ["wordllama", OWN, f"wordllama+{OWN}"])
def test_an_embedder_goes_by_its_name(name: str) -> None:
    """Its weights do not travel: where it arrives it is made anew, and gives the same bits."""
    embedder = embed.load(name)
    sent = pickle.dumps(Embed(embedder))
    (batch,) = pickle.loads(sent)(iter([pa.record_batch({"text": TEXTS[:3]})]))

    assert len(sent) < 2_000
    assert np.array_equal(np.array(batch["vector"].to_pylist(), np.float32), embedder.embed(TEXTS[:3]))


def test_another_embedder_of_its_name_is_refused() -> None:
    """Other weights, other code of a person's own, another version of the program: their vectors are others."""
    own = embed.load(OWN)
    for id_, code in ((own.id, "another"), ("another", embed.code_of(OWN))):
        with pytest.raises(LakeError, match="install the same models"):
            embed.again(OWN, id_, code)
    with pytest.raises(LakeError, match="install the same version"):
        list(replace(Embed(own), code="another")(iter([])))


def test_an_endpoint_is_asked_from_here(tmp_path: Path) -> None:
    """Its key goes to no worker: whatever engine the lake has, that is not asked. Blank texts are not sent to it."""
    endpoint = embed.load("model", "http://127.0.0.1:9/v1", Secret("key"))

    assert not embedded(Lake(tmp_path, engine="sc://nowhere"), endpoint, [" "] * FEW).any()
