"""A cluster of too few people is named once it has grown, also where its mode is part of its name."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from flows.cluster.catalogue.naming import names
from flows.cluster.catalogue.population import Group, Population, Words
from flows.cluster.catalogue.terms import Said
from flows.cluster.placement.placing import Placed
from flows.cluster.state import State
from flows.redact.own import redactor_of
from flows.testing.events import START
from schemas.records import Cluster
from schemas.settings import CurateSettings

SAID = tuple(Said(f"user:{n}", "where is my parcel") for n in range(3))
NOTHING: Any = {"members": [], "born": {}, "typical": {}, "embeddings": [], "unclustered": 0}
NOBODY: Any = {"sample": np.zeros((0, 0), np.float32), "sample_homes": (), "sample_hashes": ()}


class Some(Population):
    """A population whose words are at hand."""

    words: ClassVar = {"c1": Words(first=SAID, spread=SAID, middle=("i1", SAID[1]))}

    def asked(self, interactions: Any) -> dict[str, str]:
        return dict.fromkeys(interactions, "")


@pytest.mark.parametrize("name", ["(fewer than 3 people)", "(fewer than 3 people): refused"])
def test_a_cluster_that_has_grown_gets_a_name(name: str) -> None:
    """Three people by now."""
    fields: Any = {"size": 1, "size_total": 1, "rate": None, "rate_low": None, "rate_high": None, "status": "steady"}
    old = Cluster(cluster_id="c1", name=name, mode="refusal", **fields)
    before: Any = {
        "previous": "",
        "pinned": {},
        "resolved": {},
        "proposals": (),
        "changes": (),
        "refused": frozenset(),
        "touched": frozenset(),
        "born": {},
        "ran": (),
        "done": frozenset(),
    }
    group = Group(failures=3, people=3, first=START, last=START, reasons=())
    people: Any = Some(None, {"c1": group}, [])  # type: ignore[arg-type]

    state, redactor = State(clusters={"c1": old}, **before), redactor_of(CurateSettings())
    found = names(people, state, Placed(**NOTHING, **NOBODY), redactor, 3, None)

    assert found["c1"].medoid_text == "where is my parcel"
    assert "fewer" not in found["c1"].name
