"""Whose examples are eval and whose are train: a keyed hash of the unit, so that no row ever moves.

Stateless: neither order nor time nor what else is in the lake matters (docs/design/splits.md says why not otherwise).
The salt is `salt.py`'s. Go on to `build.py`.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Side = Literal["train", "eval"]
KEYS = 2
"""How keys are made of the salt, as it stands in manifests; 1 had one key for both."""


def pseudonym(unit: str, salt: str) -> str:
    """What stands for a unit (`schemas.unit.unit_of`) in datasets: keyed BLAKE2b, 16 hex digits.

    The name itself never leaves the lake; whoever knows the salt and a name can find the unit again (erasure does).
    The key is not that of `side_of`: what is published tells nothing of how anybody else is dealt.
    """
    return _keyed(unit, salt, 8).hex()


def side_of(unit: str, salt: str, share: float) -> Side:
    """`eval` where the unit's keyed hash, read as a fraction of 2^64, is below `share`; else `train`.

    Monotone in `share`: raising it moves units from train to eval only, never back.
    """
    return "eval" if int.from_bytes(_keyed(f"side:{unit}", f"split:{salt}", 8), "big") < share * 2**64 else "train"


def chance(item: str, salt: str) -> float:
    """A number from 0 to 1 for an eval item: with too many of them, those with the lowest are kept."""
    return int.from_bytes(_keyed(f"item:{item}", salt, 8), "big") / 2**64


def _keyed(text: str, salt: str, size: int) -> bytes:
    key = hashlib.sha256(salt.encode()).digest()
    return hashlib.blake2b(text.encode(), key=key, digest_size=size).digest()
