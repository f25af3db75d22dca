"""The one normaliser of text: what two texts are compared by."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import normalise as normal
from schemas.normalise import has_blanks, normalise, words
from tests.support.growing import grows

SAME = [
    ("Where's my CARD?!", "  where s my card "),
    ("Ｗｉｄｅ　ｆｏｒｍｓ", "wide forms"),
    ("**Bold**, _said_ (twice)", "bold said twice"),
    ("# A title", "a title"),
    ("* an item", "an item"),
    ("e-mail and/or state-of-the-art", "e mail and or state of the art"),
    ("covid-19", "COVID 19"),
    ("3+4", "3 + 4"),
    ("x<5 and y>=2", "x < 5 and y >= 2"),
    ("5 %", "5%"),
    ("pages 3–4", "pages 3 - 4"),
    ("−5", "-5"),
    ("½ cup", "1/2 cup"),
    ("3½", "3 1/2"),
    ("H₂O", "h2o"),
    ("ﬁne", "fine"),
    ("STRASSE", "straße"),
    ("re\u0301sume\u0301", "résumé"),
    ("❤️", "❤"),
    ("great👍", "great 👍"),
    ("soft\u00adhyphen", "softhyphen"),
    ("mail <EMAIL_1>", "mail email 1"),
]
OTHER = [
    ("Solve 7 - 2", "Solve 7 + 2"),
    ("Solve 7 * 2", "Solve 7 / 2"),
    ("7-2", "7*2"),
    ("it is -3 outside", "it is 3 outside"),
    ("a<9", "a>9"),
    ("a<9", "a<=9"),
    ("C++", "C#"),
    ("C++", "C"),
    ("F#", "F"),
    ("2.5", "25"),
    ("10:30", "1030"),
    ("5%", "5"),
    ("$5", "€5"),
    ("x²", "x2"),
    ("½", "12"),
    ("🙂", "🙁"),
    ("👍🏽", "👍🏿"),
    ("🎉", ""),
    ("?!", "..."),
    ("बिल", "बल"),  # Hindi: bill, strength
    ("मेरा", "मरा"),  # mine, died
    ("เขา", "เข้า"),  # Thai: he, to enter
    ("ปา", "ป่า"),  # to throw, forest
    ("கல்", "கால்"),  # Tamil: stone, leg
    ("کتاب", "کباب"),
    ("退款", "付款"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_means_the_same_is_one_text(one: str, other: str) -> None:
    """Case, width, punctuation, form of writing, blanks around a sign."""
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_carries_meaning_stays(one: str, other: str) -> None:
    """Signs of numbers and formulas, currencies, emoji, and the marks that are vowels and tones."""
    assert normalise(one) != normalise(other)


PIECES = [
    "3",
    "-",
    " ",
    "+",
    "*",
    "a",
    "C#",
    "++",
    "%",
    "<",
    "=",
    ".",
    ",",
    "½",
    "²",
    "\u0301",
    "ก้",
    "中",
    "👍🏽",
    "\ue000",
    "_",
    "(",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=12))
@settings(max_examples=400, deadline=None)
@example("3--3")
@example("3, -3")
@example("1 / 2 ^ 3 % - 4")
@example("a +b++ -1")
@example("A#\xad0")
@example("3\u200b.\u20605")
@example("C#\U000e0020x")
def test_it_is_done_once(text: str) -> None:
    """What was normalised has nothing left to normalise; nothing that was said becomes nothing."""
    once = normalise(text)

    assert normalise(once) == once
    assert once or not text.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Refund my card!", ["refund", "my", "card"]),
        ("北京在中国 ok", ["北", "京", "在", "中", "国", "ok"]),
        ("カード3枚", ["カ", "ー", "ド", "3", "枚"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("दिन में", ["दिन", "में"]),
        ("?!", []),
    ],
)
def test_words_of_every_script(text: str, expected: list[str]) -> None:
    """Parted by blanks, or character by character with its marks where the script has none."""
    assert words(text) == expected
    assert has_blanks(text) == (text[0] not in "北カท")


EVERY = [char for char in map(chr, range(0x80, sys.maxunicode + 1)) if unicodedata.category(char) not in {"Cn", "Co"}]
"""All characters that mean something, but for ASCII's."""


def test_each_character_becomes_what_it_should_however_it_is_looked_for() -> None:
    """Texts are searched for those that change; what each becomes is written once."""
    assert [char for char in EVERY if normal._parted(f"é{char}é").split() != f"é{normal._becomes(char)}é".split()] == []


def test_no_character_is_typed_otherwise_where_nothing_was_looked_for() -> None:
    """A text with none of what `_unusual` finds, and that NFKC leaves as it is, is not looked at again."""
    keys = normal._keys()[0]
    usual = [char for char in EVERY if not normal._unusual().search(char)]

    assert [char for char in usual if char in keys or unicodedata.combining(char)] == []
    assert [
        char
        for char in usual
        if unicodedata.normalize("NFKC", char) == char
        and keys.keys() & set(unicodedata.normalize("NFKC", char.casefold()))
    ] == []


def test_too_many_marks_are_found_whichever_they_are() -> None:
    """One more than are kept, of each that Unicode has, in the plane where most are and beyond."""
    marks = [char for char in EVERY if unicodedata.combining(char)]

    assert len(marks) > 800
    assert [char for char in marks if len(normal.bounded("a" + char * 31)) != 31] == []
    assert [char for char in marks if len(normal.bounded("a" + char * 30)) != 31] == []


HOSTILE = [
    "\u0300\u0316",
    "+",
    "-1",
    "*a",
    "a<",
    "<a_",
    "3.",
    "½",
    "²",
    "中",
    "ก้",
    "👍",
    "\ue000",
    "%",
    " %",
    "ﷺ",
    "a\u0301",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_costs_more_than_its_length(piece: str) -> None:
    """Four times the text costs some four times the time, whatever family of characters it is made of."""
    assert grows(words, piece * (25_000 // len(piece)), piece * (100_000 // len(piece)), 9)
