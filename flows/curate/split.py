"""Whose examples are eval and whose are train: a keyed hash of the unit, so that no row ever moves.

Stateless: neither order nor time nor what else is in the lake matters. docs/design/splits.md says why not otherwise. Go
on to `build.py`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Literal

Side = Literal["train", "eval"]


def pseudonym(unit: str, salt: str) -> str:
    """What stands for a unit (`schemas.unit.unit_of`) in datasets: keyed BLAKE2b, 16 hex digits.

    The name itself never leaves the lake; whoever knows the salt and a name can find the unit again (erasure does).
    """
    kind, _, name = unit.partition(":")
    return _keyed(f"{kind}:{normalise_unit(name)}", salt, 8).hex()


def side_of(unit: str, salt: str, share: float) -> Side:
    """`eval` where the unit's keyed hash, read as a fraction of 2^64, is below `share`; else `train`.

    Monotone in `share`: raising it moves units from train to eval only, never back.
    """
    return "eval" if int.from_bytes(_keyed(f"side:{unit}", salt, 8), "big") < share * 2**64 else "train"


def normalise_unit(name: str) -> str:
    """One spelling for one user: Unicode NFC, without surrounding space."""
    return unicodedata.normalize("NFC", name).strip()


def _keyed(text: str, salt: str, size: int) -> bytes:
    key = hashlib.sha256(salt.encode()).digest()
    return hashlib.blake2b(text.encode(), key=key, digest_size=size).digest()
