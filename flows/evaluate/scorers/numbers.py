"""The number that an answer comes to, as people of any country write it: `1,234.5`, `1.234,5`, `12,34,567`, `3½`.

What two countries read as two numbers is read as English does (`1,234` is one thousand, `1.234` is not); what is no
number anywhere (`1,2,3`, `1.2.3`, `12,3456,7`) is none, rather than another number. Go on to `structured.py`, the user.
"""

from __future__ import annotations

import math
import re
import unicodedata

_SPACES = " \u00a0\u2007\u2009\u202f"
_APOSTROPHES = "'\u2019\u02bc"
_GROUP = rf"[.,{_APOSTROPHES}]|[{_SPACES}](?=\d{{3}}(?!\d))"
_WRITTEN = re.compile(
    rf"(?:(?<![\w)])(?P<sign>[-−+])[$€£¥]?[ ]?)?(?P<whole>\d+(?:(?:{_GROUP})\d+)*|[.,]\d+)"
    r"(?P<exponent>[eE][-+]?\d+)?(?:[ ]?(?P<fraction>[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒])|[ ]?[/⁄][ ]?(?P<under>\d+))?"
    r"|(?:(?<![\w)])(?P<minus>[-−]))?(?P<alone>[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒])"
)
_DATE = re.compile(r"(?<!\d)\d+[ ]?[/⁄][ ]?\d+[ ]?[/⁄][ ]?\d+")
_MIXED = re.compile(r"(?<!\d)(\d+) (\d+)[/⁄](\d+)(?![\d/⁄])")
_WESTERN = re.compile(r"\d{1,3}(?:X\d{3})+")
_INDIAN = re.compile(r"\d{1,2}(?:X\d{2})+X\d{3}")


def last_number(text: str) -> float | None:
    """The last number in a text, or behind the last `####` where there is one; None where there is none for certain."""
    said = _plain(text.rsplit("####", maxsplit=1)[-1])
    last: re.Match[str] | None = None
    for last in _WRITTEN.finditer(said):  # noqa: B007 the last one counts
        pass
    value = None if last is None else _read(said, last)
    return value if value is not None and math.isfinite(value) else None


def _read(text: str, written: re.Match[str]) -> float | None:
    """What one number of a text comes to; a part of a date is none."""
    at = written.start()
    if any(date.start() <= at < date.end() for date in _DATE.finditer(text)):
        return None
    mixed = next((match for match in _MIXED.finditer(text) if match.start(2) == at), None)
    if mixed is None:
        return _value(written)
    return _ratio(float(mixed[1]) * float(mixed[3]) + float(mixed[2]), float(mixed[3]))


def _value(match: re.Match[str]) -> float | None:
    if match["alone"]:
        return unicodedata.numeric(match["alone"]) * (-1 if match["minus"] else 1)
    whole = _whole(match["whole"])
    if whole is None:
        return None
    value = float(whole + (match["exponent"] or ""))
    if match["fraction"]:
        value += unicodedata.numeric(match["fraction"])
    if match["under"]:
        ratio = _ratio(value, float(match["under"]))
        if ratio is None:
            return None
        value = ratio
    return -value if match["sign"] in {"-", "−"} else value


def _ratio(above: float, below: float) -> float | None:
    return above / below if below else None


def _whole(written: str) -> str | None:
    """Digits with groups and a decimal separator as Python writes them; None where no country writes so."""
    one = written.translate({ord(char): "_" for char in _SPACES} | {ord(char): "'" for char in _APOSTROPHES})
    separators = [char for char in one if not char.isdigit()]
    kinds = list(dict.fromkeys(separators))
    if not kinds:
        return one
    if len(kinds) == 1:
        return _of_one_kind(one, kinds[0], len(separators))
    if len(kinds) == 2 and separators.count(kinds[1]) == 1 and separators[-1] == kinds[1] and kinds[1] in ".,":
        groups, decimals = one.rsplit(kinds[1], 1)
        joined = _joined(groups, kinds[0])
        return None if joined is None else f"{joined}.{decimals}"
    return None


def _of_one_kind(written: str, separator: str, count: int) -> str | None:
    first, _, rest = written.partition(separator)
    if separator == "." and count == 1:
        return written
    if separator == "," and count == 1 and (len(rest) != 3 or first in {"", "0"} or len(first) > 3):
        return f"{first or 0}.{rest}"
    return _joined(written, separator)


def _joined(written: str, separator: str) -> str | None:
    """The digits of groups of three, or of two and a last one of three, without their separators."""
    form = written.replace(separator, "X")
    return form.replace("X", "") if _WESTERN.fullmatch(form) or _INDIAN.fullmatch(form) else None


def _plain(text: str) -> str:
    """ASCII digits for the digits of every script, and Arabic separators as what they are."""
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(char))
        if char.isdecimal()
        else {"٫": ".", "٬": ",", "，": ",", "．": "."}.get(char, char)
        for char in text
    )
