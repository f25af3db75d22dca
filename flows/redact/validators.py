"""Checksums of personal numbers: whether a match is one or only looks like one.

Each takes the match of its recogniser's pattern and says whether the number holds. Go on to `recognisers.py`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Sequence

import phonenumbers

Check = Callable[["re.Match[str]"], bool]
BEFORE = 40
"""Characters before a match in which a word can speak for or against it."""

_A_THINGS_NUMBER = re.compile(
    r"(?i)\b(?:order|invoice|ticket|case|ref(?:erence)?|tracking|item|part|model|serial|sku|isbn|version|build|release|"
    r"transaction|booking|batch|job|request|receipt|commit|product|article|parcel|shipment|bestellung|bestellnummer|"
    r"commande|pedido|rechnung|facture)\b[^.;\n]{0,25}$"
)
_A_CALL = re.compile(
    r"(?i)(?:\b(?:phone|tel|telephone|call|cell|mobile|text|sms|whatsapp|reach|ring|dial|fax|contact|handy|telefon\w*|"
    r"teléfono|móvil|portable|numéro|rufen|llame|appelez)\b|\bmy number|"
    r"电话|電話|手机|手機|โทร|телефон|전화|फ़ोन|هاتف|رقم)[^.;\n]{0,30}$"
)
_A_VERSION = re.compile(r"(?i)(?:\bversions?|\brelease|\bbuild|\bfirmware|\bsection|\bchapter|\bv)[\s:.=]*$")
_PLACEHOLDER = re.compile(r"(?i)x+|\*+|<.*>|\$\{?.*|your[-_].*|none|null|true|false|changeme|example.*")
_CARD_FORMS = re.compile(  # ISO/IEC 7812 issuers and the lengths that they use
    r"4\d{12}(?:\d{3}){0,2}|(?:5\d|2[2-7]|35)\d{14}|3[47]\d{13}|3[0689]\d{12,17}|6\d{15,18}|81\d{14,17}"
)
_NORTH_AMERICA = re.compile(r"(?:1[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}")
_CLASSES = tuple(map(re.compile, (r"[a-z]", r"[A-Z]", r"\d", r"[^\w\s]")))
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_VERHOEFF = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1) holds."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def card(match: re.Match[str]) -> bool:
    """An issuer's first digits and the check digit, and nobody calls it an order."""
    digits = _digits(match)
    issued = bool(_CARD_FORMS.fullmatch(digits)) and len(set(digits)) > 1
    return issued and luhn(digits) and not _A_THINGS_NUMBER.search(_before(match))


def iban(match: re.Match[str]) -> bool:
    """ISO 13616: the country moved behind, letters as numbers, the remainder by 97 is 1."""
    text = re.sub(r"[\s-]", "", match[0]).upper()
    return len(text) >= 15 and int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def ssn(match: re.Match[str]) -> bool:
    """A US social security number that can have been issued."""
    area, group, serial = match["area"], match["group"], match["serial"]
    issued = area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"
    return issued and not _A_THINGS_NUMBER.search(_before(match))


def ip(match: re.Match[str]) -> bool:
    """An address of a machine somewhere: no version number, and not this machine itself."""
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return False
    return not (_A_VERSION.search(_before(match)) or address.is_unspecified or address.is_loopback)


def aadhaar(match: re.Match[str]) -> bool:
    """India's check digit (Verhoeff 1969): the product of permuted digits in the symmetries of a pentagon is 0."""
    product = 0
    for place, digit in enumerate(reversed(_digits(match))):
        number = int(digit)
        for _ in range(place % 8):
            number = _VERHOEFF[number]
        product = _pentagon(product, number)
    return product == 0


def sin(match: re.Match[str]) -> bool:
    """Canada's social insurance number: the check digit of cards."""
    return luhn(_digits(match))


def cpf(match: re.Match[str]) -> bool:
    """Brazil's two check digits, each a weighted sum by 11."""
    digits = [int(digit) for digit in _digits(match)]

    def holds(n: int) -> bool:
        weighted = sum(digit * weight for digit, weight in zip(digits, range(n + 1, 1, -1), strict=False))
        return weighted * 10 % 11 % 10 == digits[n]

    return len(set(digits)) > 1 and holds(9) and holds(10)


def dni(match: re.Match[str]) -> bool:
    """The letter of a Spanish DNI or NIE is its number's remainder by 23."""
    text = re.sub(r"\W", "", match[0]).upper()
    number = int(text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2"))
    return _DNI_LETTERS[number % 23] == text[-1]


def nir(match: re.Match[str]) -> bool:
    """The key of a French NIR is 97 minus the number's remainder by 97 (Corsica: 2A is 19, 2B is 18)."""
    text = re.sub(r"\s", "", match[0]).upper().replace("2A", "19").replace("2B", "18")
    return 97 - int(text[:13]) % 97 == int(text[13:])


def nhs(match: re.Match[str]) -> bool:
    """England's check digit: 11 minus the weighted sum by 11."""
    digits = [int(digit) for digit in _digits(match)]
    check = 11 - sum(digit * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return check != 10 and check % 11 == digits[9]


def phone(regions: Sequence[str]) -> Check:
    """A valid number in one of the regions, or with its country code; digits alone need a word that speaks of calls."""

    def check(match: re.Match[str]) -> bool:
        text, before = match[0], _before(match)
        called = bool(_A_CALL.search(before))
        if not called and (_A_THINGS_NUMBER.search(before) or (text.isdigit() and not text.startswith("00"))):
            return False
        if text.startswith(("+", "00", "(+")):
            return _possible("+" + re.sub(r"\(0\)|\D", "", text.removeprefix("00")))
        if "US" in regions and _NORTH_AMERICA.fullmatch(text):
            return True  # area 555 and others that are made up for examples are phones to every reader
        return (called or text[0] in "0(") and any(_valid(text, region) for region in regions)

    return check


def entropic(match: re.Match[str]) -> bool:
    """A secret is no plain word and no placeholder: it mixes small and capital letters, digits, signs."""
    value = match["value"]
    return not _PLACEHOLDER.fullmatch(value) and sum(bool(found.search(value)) for found in _CLASSES) >= 2


def bitcoin(match: re.Match[str]) -> bool:
    """Base58Check: the last four bytes are the beginning of the double SHA-256 of the others."""
    number = 0
    for char in match[0]:
        number = number * 58 + _BASE58.index(char)
    try:
        data = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()[:4] == data[21:]


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - BEFORE) : match.start()]


def _digits(match: re.Match[str]) -> str:
    return re.sub(r"\D", "", match["value"] if "value" in match.re.groupindex else match[0])


def _pentagon(a: int, b: int) -> int:
    """The product of two symmetries: 0–4 turn, 5–9 turn and reflect."""
    turned = (a + b if a < 5 else a - b) % 5
    return turned + 5 * ((a >= 5) != (b >= 5))


def _possible(text: str) -> bool:
    """A country code that exists, and a length that it uses."""
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text, None))
    except phonenumbers.NumberParseException:
        return False


def _valid(text: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False
