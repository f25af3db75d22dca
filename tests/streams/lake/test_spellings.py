"""A name is found in bytes that nobody could read, in whatever way it was written there."""

from __future__ import annotations

import json

import pytest

from streams.lake.spellings import Names

NAME = "Zoë Müller 😀"
NFD = "Zoe\u0308 Mu\u0308ller 😀"


@pytest.mark.parametrize(
    "said",
    [
        json.dumps({"user_id": NAME}).encode(),
        json.dumps({"user_id": NAME}, ensure_ascii=False).encode(),
        json.dumps({"user_id": NFD}).encode(),
        json.dumps({"user_id": f" {NAME}\n"}).encode(),
        json.dumps({"user_id": NAME}).encode().upper().replace(b"ZO\\U00EB M\\U00FCLLER", b"Zo\\u00EB M\\u00FCller")
        .replace(b"\\UD83D\\UDE00", b"\\uD83D\\uDE00"),
        json.dumps({"body": json.dumps({"body": json.dumps({"user_id": NAME})})}).encode(),
        f'{{"user_id": "{NAME}", broken'.encode(),
        f"2026-01-01,{NAME},thumb".encode(),
        f"user={NAME}&kind=thumb".encode(),
        json.dumps({"user_id": NAME}, ensure_ascii=False).encode("utf-16"),
        json.dumps({"user_id": NAME}, ensure_ascii=False).encode("utf-16-be"),
        json.dumps({"user_id": NAME}, ensure_ascii=False).encode("utf-16-le"),
        b"\xff\xfe\x00 " + f'"{NAME}"'.encode("utf-16-le"),
        b"\xc3\x28 " + NAME.encode() + b" \x80",
    ],
    ids=["escaped", "raw", "nfd", "blanks", "upper", "nested", "torn", "csv", "form", "bom", "be", "le", "wide", "bad"],
)  # fmt: skip
def test_however_it_is_spelled(said: bytes) -> None:
    """Escapes in small and capital letters, composed or not, in JSON or in none, in two bytes a letter."""
    assert Names([NAME]).stand_in(said)
    assert Names([NFD]).stand_in(said)
    assert not Names(["Zoë Müll"]).stand_in(said)


@pytest.mark.parametrize(
    "said", [b'{"user_id":"u7"}', b'{"user_id": u7}', b"u7,thumb", b'{"user_id":"\\u0075\\u0037"}']
)
def test_a_short_name_is_a_field(said: bytes) -> None:
    """As a whole value, quoted or not; never within another one."""
    assert Names(["u7"]).stand_in(said)
    assert not Names(["u"]).stand_in(said)
    assert not Names(["7"]).stand_in(said)


def test_a_name_within_a_longer_one_is_another() -> None:
    """`person-1` does not stand in `person-12`, nor `ann@x.org` in `joann@x.org`."""
    assert not Names(["person-1", "ann@x.org"]).stand_in(b'{"user_id":"person-12","mail":"joann@x.org"}')


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("name", ["u7", "ann@x.org", "a\0b"])
def test_a_short_key_is_a_name_in_two_bytes_a_letter_too(codec: str, name: str) -> None:
    """However few letters it has; a name with a null in it is no less one."""
    assert Names([name]).in_key(name.encode(codec))
    assert Names([name]).stand_in(name.encode(codec))


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-be", "utf-16-le"])
def test_a_name_in_other_letters_is_found_in_two_bytes_a_letter(codec: str) -> None:
    """Where no byte of the name itself is null: as a key, and in a text that has a comma or a blank."""
    assert Names(["Иван"]).in_key("Иван".encode(codec))
    assert Names(["Иван"]).stand_in("Иван, где посылка".encode(codec))
    assert not Names(["Ива"]).stand_in("Иван, где посылка".encode(codec))


def test_a_key_is_a_name() -> None:
    """A record's key is compared whole, under the same spelling."""
    names = Names([NAME, "u7"])

    assert [names.in_key(key) for key in (NAME.encode(), NFD.encode(), b" u7", b"u71", None)] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert not Names([])
    assert not Names(["  "])
