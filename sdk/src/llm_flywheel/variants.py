"""Variants: which arm of an experiment a user is in, the same one each time.

    arm = variant("u-7", {"champion": 0.9, "candidate": 0.1}, salt="exp-3")

The sum is part of the contract (docs/contracts.md); `schemas/json/variants.json` holds test vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from llm_flywheel import context


def variant(unit: object, shares: Mapping[str, float], salt: str = "") -> str:
    """The arm of a unit (a user where known, else a conversation), recorded with the conversation around the caller.

    The unit's place on [0, 1) is the first 64 bits of SHA-256 over salt, a line break and unit; arms take their
    shares of the line in the order given. So a share that grows at its neighbour's cost
    moves only the units between the two.
    Shares are taken relative to their sum. Raises ValueError without arms, or with shares that are none.
    """
    total = sum(shares.values())
    if not shares or not total > 0 or any(not share >= 0 for share in shares.values()):
        raise ValueError(f"shares must be numbers from 0 whose sum is above 0, got {dict(shares)}")
    digest = hashlib.sha256(f"{salt}\n{unit}".encode("utf-8", "replace")).digest()
    at, arm = int.from_bytes(digest[:8], "big") / 2**64 * total, ""
    for name, share in shares.items():
        if share > 0:
            arm = name
            if at < share:
                break
            at -= share
    if (within := context.current()) is not None:
        within.fields["variant"] = arm
    return arm
