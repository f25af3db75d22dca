"""The table of what is personal or secret: one anchored pattern each, with a check where the kind has one.

A pattern alone would take order numbers for phones and versions for addresses: kinds with a checksum are checked by it,
and kinds that are only digits need a word beside them. A pattern of your own is a line in the setting
`curate.recognisers` (kind = pattern); for code of your own see `own.py`. Patterns look at the form of a text that
`matching.py` makes, and a word ends where its ASCII letters end: in a script without blanks, or after `_`, the next
letter hides nothing. Each quantifier has a bound, so that no text takes more than linear time. Go on to `redact.py`,
which runs the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import phonenumbers

from flows.redact import validators
from flows.redact.patterns import Pattern
from flows.redact.protocol import KIND
from flows.redact.signature import CLOSINGS, THANKS, any_of
from flows.redact.validators import Check
from schemas.errors import SettingsError


def table(regions: Sequence[str], extra: Mapping[str, str]) -> list[Pattern]:
    """Every recogniser, the surer first: where two match, the earlier wins. Raises SettingsError for a bad argument."""
    unknown = [region for region in regions if region not in phonenumbers.SUPPORTED_REGIONS]
    if unknown:
        raise SettingsError(f"curate.regions: {', '.join(unknown)}: not a region; use codes such as US, GB, DE")
    phone = _numbered("phone", PHONE, validators.phone(tuple(regions)))
    return [*(_own(kind, pattern) for kind, pattern in sorted(extra.items())), *SECRETS, *NUMBERED, phone, *LOOSE]


def _own(kind: str, pattern: str) -> Pattern:
    if not KIND.fullmatch(kind):
        raise SettingsError(f"curate.recognisers: {kind!r} must be a short lower-case name such as 'badge_number'")
    try:
        return Pattern(kind, re.compile(pattern))
    except re.error as error:
        raise SettingsError(f"curate.recognisers.{kind} is no regular expression: {error}") from error


def _secret(kind: str, pattern: str, words: tuple[str, ...], check: Check | None = None) -> Pattern:
    return Pattern(kind, re.compile(pattern), check, words)


def _numbered(kind: str, pattern: str, check: Check | None = None, words: tuple[str, ...] = ()) -> Pattern:
    return Pattern(kind, re.compile(pattern), check, words, digit=True)


_B, _E = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
"""Where a word begins and ends: unlike at `\\b`, letters of other scripts and `_` may stand there."""


def _word(pattern: str) -> str:
    """The pattern as a word of its own."""
    return _B + f"(?:{pattern})" + _E


KEY_FORMS = {  # what a text with such a key must hold → its form, as its maker documents it
    ("AKIA", "ASIA", "AROA"): _word(r"(?:AKIA|ASIA|AROA)[A-Z0-9]{16}"),  # AWS
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"): _B
    + r"(?:gh[pousr]_[A-Za-z0-9]{20,250}|github_pat_[A-Za-z0-9_]{40,250})",
    ("glpat-",): _B + r"glpat-[A-Za-z0-9_-]{18,250}",
    ("xox",): _B + r"xox[abeoprs]-[A-Za-z0-9_-]{10,250}",  # Slack
    ("k_live_", "k_test_", "whsec_"): _B
    + r"(?:[sr]k_(?:live|test)_[A-Za-z0-9_]{16,250}|whsec_[A-Za-z0-9_]{16,250})",  # Stripe
    ("sk-",): _B + r"sk-(?:ant-|proj-|or-v1-)?[A-Za-z0-9_-]{20,250}",  # OpenAI, Anthropic, OpenRouter
    ("AIza",): _B + r"AIza[A-Za-z0-9_-]{30,250}",  # Google
    ("hf_",): _B + r"hf_[A-Za-z0-9]{20,250}" + _E,  # Hugging Face
    ("npm_", "pypi-"): _B + r"(?:npm_[A-Za-z0-9]{30,250}" + _E + r"|pypi-[A-Za-z0-9_-]{30,500})",
    ("SG.",): _B + r"SG\.[A-Za-z0-9_-]{16,100}\.[A-Za-z0-9_-]{16,100}",  # SendGrid
    ("SK", "AC"): _word(r"(?:SK|AC)[0-9a-f]{32}"),  # Twilio
    ("ya29",): _B + r"ya29\.[A-Za-z0-9_-]{20,500}",  # Google OAuth
}
_NAMED_KEY = (
    r"(?i)(?:(?:api|access|secret|auth|private|client)[_ -]?(?:key|token|secret)[A-Za-z0-9_-]{0,40}"
    r"|(?<![A-Za-z])(?:token|secret))(?![A-Za-z])"
    r"['\"]?(?:[ \t]{1,3}is(?![A-Za-z])|\s{0,3}[:=：])\s{0,3}['\"]?(?P<value>[A-Za-z0-9_+/=.~-]{12,4000})"
)
_LOGIN_SAID = (
    r"(?i)(?<![A-Za-z])(?:password|passwd|pwd|passphrase|passwort|kennwort|contraseña|mot de passe|"
    r"密码|密碼|パスワード|пароль)"
    r"(?:\s{1,3}(?:is|ist|es|est)(?![A-Za-z])|\s{0,3}[:=是：は])\s{0,3}['\"]?(?P<value>[^\s'\",;]{3,128}[^\s'\",;.)])"
)
_PRIVATE_KEY = (
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:(?!-----BEGIN)[\s\S]){0,10000}?"
    r"(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|(?=-----BEGIN)|\Z)"
)
SECRETS = [
    _secret("private_key", _PRIVATE_KEY, ("-----BEGIN",)),
    _secret("jwt", _B + r"eyJ[A-Za-z0-9_-]{8,500}\.eyJ[A-Za-z0-9_-]{4,8000}\.[A-Za-z0-9_-]{2,1000}", ("eyJ",)),
    *(_secret("api_key", form, words) for words, form in KEY_FORMS.items()),
    _secret(
        "api_key", r"(?i)(?<![A-Za-z])bearer\s{1,3}(?P<value>[A-Za-z0-9_.~+/=-]{16,4000})", ("bearer",),
        validators.entropic,
    ),
    _secret("password", r"(?<=[A-Za-z0-9])://[^\s:/@]{1,64}:(?P<value>[^\s@/]{3,128})@", ("://",)),
    _secret("password", _LOGIN_SAID, ("pass", "pwd", "kennwort", "contrase", "密", "パス", "пароль"),
            validators.entropic),
    _secret("api_key", _NAMED_KEY, ("key", "token", "secret"), validators.entropic),
]  # fmt: skip
"""Keys and tokens, by their makers' forms first, by the word before them last."""

PHONE = (
    r"(?<![A-Za-z0-9.,/$€£-])(?<!\d:)(?:\+|00)?(?:\(\+?\d{1,4}\)|\d)(?:[ ./()-]{0,3}\d){6,14}"
    r"(?![A-Za-z0-9]|[.,]\d|-\d)"
)
_DOMAIN = r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
_EMAIL = r"(?<![A-Za-zÀ-ɏ0-9_.%+'-])[A-Za-zÀ-ɏ0-9_.%+'-]{1,64}" + _DOMAIN
_EMAIL_OF_ANY_SCRIPT = r"(?<![\w.+-])[\w.%+'-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?!\w)"
_SSN_SAID = (
    r"(?i)(?<![A-Za-z])(?:ssn|social security(?: number)?)[^A-Za-z0-9]{1,4}(?:(?:is|number)[^A-Za-z0-9]{1,2})?"
    r"(?P<value>(?P<area>\d{3})[ -]?(?P<group>\d{2})[ -]?(?P<serial>\d{4}))(?![A-Za-z0-9])"
)
_MONTH = r"[A-Za-zÀ-ɏ]{3,9}"
_DAY = (
    r"(?P<value>\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{4}年\d{1,2}月\d{1,2}日|"
    r"\d{1,2}(?:st|nd|rd|th|\.)? " + _MONTH + r",? \d{4}|" + _MONTH + r" \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_BORN = (
    r"(?i)(?<![A-Za-z])(?:born(?: on)?|birthday|birth ?date|date of birth|dob|geboren(?: am)?|née? le|nacid[oa] el)"
    r"(?![A-Za-z])[^A-Za-z0-9]{1,4}(?:is |was )?" + _DAY
)
_ACCOUNT = (
    r"(?i)(?<![A-Za-z])(?:account|acct|konto|compte|cuenta)(?![A-Za-z])\.?(?: ?(?:number|no|nummer|nr|num))?"
    r"[^A-Za-z0-9]{1,3}(?:is |ist )?(?P<value>\d{7,14})(?![A-Za-z0-9])"
)
_ROUTING = (
    r"(?i)(?<![A-Za-z])(?:sort code|routing(?: number)?|aba)(?![A-Za-z])[^A-Za-z0-9]{1,3}(?:is )?"
    r"(?P<value>\d{2}-\d{2}-\d{2}|\d{9}|\d{6})(?![A-Za-z0-9])"
)
_PASSPORT = (
    r"(?i)(?<![A-Za-z])(?:passport|pasaporte|passeport|reisepass[a-zäöü]{0,10})(?![A-Za-z])(?: no\.)?[^.\n\d]{0,20}?"
    r"(?P<value>(?<![A-Za-z0-9])[A-Z]{0,3}\d{6,9})(?![A-Za-z0-9])"
)
_LICENCE = (
    r"(?i)(?<![A-Za-z])driv(?:er'?s?|ing) licen[cs]e(?![A-Za-z])[^.\n]{0,20}?"
    r"(?P<value>(?<![A-Za-z0-9])(?=(?:[A-Z-]{0,9}\d){4})[A-Z0-9-]{6,18}(?![A-Za-z0-9]))"
)
_NINO = r"(?i)" + _word(r"(?:QQ|[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]) ?\d{2} ?\d{2} ?\d{2} ?[A-D]")
_NIR = r"(?i)" + _word(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}")
_DNI = r"(?i)(?<![A-Za-z0-9-])(?:\d{8}|[XYZ]\d{7})-?[TRWAGMYFPDXBNJZSQVHLCKE](?![A-Za-z0-9-])"
_IP6 = r"(?i)(?<![A-Za-z0-9:])(?:[0-9a-f]{1,4}:|::)(?:[0-9a-f]{0,4}:){1,7}[0-9a-f]{0,4}(?![A-Za-z0-9:])"
NUMBERED = [
    Pattern("email", re.compile(_EMAIL), None, ("@",)),
    Pattern("email", re.compile(_EMAIL_OF_ANY_SCRIPT), None, ("@",)),
    _numbered(
        "iban", "(?ai)" + _word(r"[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?"), validators.iban
    ),
    _numbered("card", r"(?<![A-Za-z0-9.-])(?:\d[ -]?){12,18}\d(?![A-Za-z0-9]|\.\d|[ -]\d)", validators.card),
    _numbered("ssn", r"(?<![\d-])(?P<area>\d{3})-(?P<group>\d{2})-(?P<serial>\d{4})(?![\d-])", validators.ssn, ("-",)),
    _numbered("ssn", _SSN_SAID, validators.ssn, ("ssn", "social security")),
    _numbered("national_id", r"(?<![\d.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\d-])", validators.cpf, ("-",)),
    _numbered("national_id", _DNI, validators.dni),
    _numbered("national_id", _NIR, validators.nir),
    _numbered("national_id", _NINO),
    _numbered(
        "national_id",
        r"(?i)(?<![A-Za-z])sin(?![A-Za-z])[^A-Za-z0-9]{1,3}(?:is |number )?(?P<value>\d{3}[ -]?\d{3}[ -]?\d{3})(?!\d)",
        validators.sin,
        ("sin",),
    ),
    _numbered("national_id", "(?i)" + _word(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]")),  # Italy
    _numbered("national_id", r"(?<![\d-])[2-9]\d{3} \d{4} \d{4}(?![ -]?\d)", validators.aadhaar),
    _numbered(
        "national_id",
        r"(?i)(?<![A-Za-z])nhs(?![A-Za-z])[^.\n\d]{0,20}(?P<value>\d{3}[ -]?\d{3}[ -]?\d{4})(?!\d)",
        validators.nhs,
        ("nhs",),
    ),
    _numbered("ip", r"(?<![A-Za-z0-9.])(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9]|\.\d)", validators.ip, (".",)),
    _numbered("ip", _IP6, validators.ip, (":",)),
    _numbered("mac", r"(?i)(?<![A-Za-z0-9:-])[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}(?![A-Za-z0-9:-])"),
    _numbered("crypto", _word(r"[13][1-9A-HJ-NP-Za-km-z]{25,34}"), validators.bitcoin),
    _numbered("crypto", _word(r"bc1[a-z0-9]{25,60}|0x[0-9a-fA-F]{40}"), None, ("bc1", "0x")),
    _numbered("passport", _PASSPORT, None, ("passport", "pasaporte", "passeport", "reisepass")),
    _numbered("licence", _LICENCE, None, ("driv",)),
    _numbered("account", _ACCOUNT, None, ("account", "acct", "konto", "compte", "cuenta")),
    _numbered("account", _ROUTING, None, ("sort code", "routing", "aba")),
    _numbered("birth_date", _BORN, None, ("born", "birth", "dob", "geboren", "né", "nacid")),
]
"""Addresses of people and machines, and numbers that a checksum or a word gives away."""

_NAME = (
    r"(?P<value>[A-ZÀ-ÖØ-Þ][\w'’-]{1,20}"
    r"(?: (?:(?:de|da|van|von|der|la|bin|al) ){0,2}[A-ZÀ-ÖØ-Þ][\w'’-]{1,20}){0,2})"
)
_CALLED = (
    r"\b(?:[Mm]y name is|[Mm]y name's|I am called|[Nn]ame:|[Ii]ch heiße|[Mm]ein Name ist|[Mm]e llamo|"
    r"[Jj]e m'appelle) "
)
_CALLED_WORDS = (
    "y name is", "y name's", "I am called", "ame:", "ch heiße", "ein Name ist", "e llamo", "e m'appelle",
)  # fmt: skip
_TITLE = r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Señora?|Mme|Monsieur|Madame)\.? "
_TITLES = ("Mr", "Ms", "Miss", "Dr", "Prof", "Herr", "Frau", "Señor", "Mme", "Monsieur", "Madame")
_SIGNED = rf"(?:^|\n)[ \t]{{0,8}}(?:{any_of(CLOSINGS)})[,.!]?[ \t]{{0,8}}\n\s{{0,10}}"
_THANKED = rf"(?:^|\n)[ \t]{{0,8}}(?:{any_of(THANKS)})[,.!]?[ \t]{{0,8}}\n\s{{0,10}}"
_ALONE = r"(?=[ \t]{0,8}(?:\n|\Z))"
_DASHED = r"(?:^(?=[^\n]{1,60}\n)|\n)(?:--|-)[ \t]{0,2}(?=[A-ZÀ-Þ][^\n]{1,40}\s{0,10}\Z)"
"""A name below a dash, as the last line: lists have dashes too, and go on."""
_STREET = (
    r"\b\d{1,5}[A-Za-z]? (?:[NSEW]\.? )?(?:[A-Z][\w'.-]{1,30} ){1,4}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|"
    r"Boulevard|Blvd|Court|Ct|Square|Sq|Place|Pl|Terrace|Way|Close|Crescent)\b(?:,? (?:Apt|Unit|Suite|Flat|#)\.?"
    r" ?\w{1,6})?"
)
_STREETS = (
    " St", " Ave", " Road", " Rd", " Lane", " Ln", " Dr", " Boulevard", " Blvd", " Court", " Ct", " Sq", " Pl",
    " Terrace", " Way", " Close", " Crescent",
)  # fmt: skip
_STRASSE = r"\b[A-ZÄÖÜ][a-zäöüß-]{1,30}(?:straße|strasse|str\.|weg|gasse|allee|platz) \d{1,4}[a-z]?\b"
_RUE = (  # an English `12 place settings` has neither an article nor a name
    r"(?i)\b\d{1,4}(?: ?(?:bis|ter))?,? "
    r"(?:rue|avenue|boulevard|chemin|impasse|place(?= (?:de|du|des|la|le|(?-i:[A-ZÀ-Þ])))) "
    r"(?:(?:de|du|des|la|le|l') ?){0,2}[\w'-]{1,30}(?: [A-ZÀ-Þ][\w'-]{1,30})?"
)
_CALLE = (
    r"(?i)\b(?:calle|avenida|plaza|paseo) (?:(?:de|del|la|las|los) ){0,2}[\w'-]{1,30}(?: [A-ZÀ-Þ][\w'-]{1,30}){0,2},? "
    r"(?:n[º°o]\.? ?)?\d{1,4}\b"
)
LOOSE = [
    Pattern("name", re.compile(_CALLED + _NAME), None, _CALLED_WORDS),
    Pattern("name", re.compile(_TITLE + _NAME), None, _TITLES),
    *(
        Pattern("name", re.compile(before + _NAME + behind), None, ("\n",))
        for before, behind in ((_SIGNED, ""), (_THANKED, _ALONE), (_DASHED, _ALONE))
    ),
    _numbered("address", _STREET, None, _STREETS),
    _numbered("address", _STRASSE, None, ("straße", "strasse", "str.", "weg", "gasse", "allee", "platz")),
    _numbered("address", _RUE, None, ("rue", "avenue", "boulevard", "chemin", "impasse", "place")),
    _numbered("address", _CALLE, None, ("calle", "avenida", "plaza", "paseo")),
    _numbered("address", r"\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b"),
]
"""Names and addresses by their surroundings: what a pattern can see of them, and no more."""
