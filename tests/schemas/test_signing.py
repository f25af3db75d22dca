"""Signatures of events that give orders."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.signing import KEY_HEADER, SIGNATURE_HEADER, Signer, Trust

SEED = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()
OTHER = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()
TYPE = "llm.decision.v1"
VALUE = b'{"application": "support-bot", "sequence": 7}'


def test_the_public_key_is_the_one_of_the_standard() -> None:
    """RFC 8032, section 7.1, first test: its secret key has the public key that it says."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")

    signer = Signer(base64.urlsafe_b64encode(secret).decode())

    assert base64.urlsafe_b64decode(signer.public_key + "=") == public


def test_what_a_trusted_key_signed_is_believed() -> None:
    """Also where other headers, and other signatures, stand beside it."""
    signer = Signer(SEED)
    own, foreign = signer.headers(TYPE, VALUE), Signer(OTHER).headers(TYPE, VALUE)
    trust = Trust([signer.public_key])

    assert trust.signer(TYPE, VALUE, own) == signer.public_key
    assert trust.signer(TYPE, VALUE, [("ce_id", b"x"), *foreign, *own]) == signer.public_key
    assert trust.signer(TYPE, VALUE, foreign) is None


@given(st.integers(0, len(VALUE) - 1), st.integers(1, 255))
def test_one_changed_byte_is_found(place: int, flip: int) -> None:
    """Whatever byte of the value is another one, nobody signed it."""
    signer = Signer(SEED)
    changed = VALUE[:place] + bytes([VALUE[place] ^ flip]) + VALUE[place + 1 :]

    assert Trust([signer.public_key]).signer(TYPE, changed, signer.headers(TYPE, VALUE)) is None


def test_a_signature_is_good_for_one_type() -> None:
    """A signed erasure is no signed decision, whatever the record calls itself."""
    signer = Signer(SEED)

    assert Trust([signer.public_key]).signer(TYPE, VALUE, signer.headers("llm.erasure.v1", VALUE)) is None


@given(st.lists(st.tuples(st.sampled_from([SIGNATURE_HEADER, KEY_HEADER]), st.none() | st.binary()), max_size=6))
def test_no_header_stops_the_listener(headers: list[tuple[str, bytes]]) -> None:
    """Headers are a stranger's: any bytes, none, in any order and number; they are not believed, and raise nothing."""
    signer = Signer(SEED)
    named = [(KEY_HEADER, signer.public_key.encode()), *headers]

    assert Trust([signer.public_key]).signer(TYPE, VALUE, named) is None
    assert Trust([]).signer(TYPE, None, None) is None


@pytest.mark.parametrize("key", ["", "short", "not base64!", "A" * 80, "ü" * 43])
def test_what_is_no_key_is_refused(key: str) -> None:
    """A mistyped key is said at once, not taken for one that signed nothing."""
    with pytest.raises(ValueError, match=r"base64|32|ASCII"):
        Trust([key])
