"""The table of what is personal or secret: one anchored pattern each, with a check where the kind has one.

A pattern alone would take order numbers for phones and versions for addresses: kinds with a checksum are checked by it,
and kinds that are only digits need a word beside them. A pattern of your own is a line in the setting
`curate.recognisers` (kind = pattern); for code of your own see `own.py`. Go on to `redact.py`, which runs the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import phonenumbers

from flows.curate.redact import validators
from flows.curate.redact.own import KIND
from flows.curate.redact.protocol import Span
from flows.curate.redact.validators import Check
from schemas.errors import SettingsError


class Pattern(msgspec.Struct, frozen=True):
    """The recogniser of one kind of personal data or secret by a regular expression."""

    kind: str
    pattern: re.Pattern[str]
    """The group `value`, where there is one, is what is personal; else the whole match."""
    check: Check | None = None
    """Called for each match; False: it only looks like one."""
    needs: re.Pattern[str] | None = None
    """A text without this has none: the cheap test that makes clean texts fast."""

    def find(self, text: str) -> Iterator[Span]:
        """Every match that passes the check, from left to right."""
        if self.needs is not None and not self.needs.search(text):
            return
        group: int | str = "value" if "value" in self.pattern.groupindex else 0
        for match in self.pattern.finditer(text):
            if match[group] and (self.check is None or self.check(match)):
                yield Span(*match.span(group), self.kind)


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


def _secret(kind: str, pattern: str, needs: str, check: Check | None = None) -> Pattern:
    return Pattern(kind, re.compile(pattern), check, re.compile(needs))


def _numbered(kind: str, pattern: str, check: Check | None = None) -> Pattern:
    return Pattern(kind, re.compile(pattern), check, re.compile(r"\d"))


KEY_FORMS = {  # what a key must hold → its form, as its maker documents it
    r"A[KSR][IO]A": r"\b(?:AKIA|ASIA|AROA)[A-Z0-9]{16}\b",  # AWS
    r"gh[pousr]_|github_pat_": r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{40,}",
    r"glpat-": r"\bglpat-[\w-]{18,}",
    r"xox": r"\bxox[abeoprs]-[\w-]{10,}",  # Slack
    r"k_live_|k_test_|whsec_": r"\b[sr]k_(?:live|test)_\w{16,}|\bwhsec_\w{16,}",  # Stripe
    r"sk-": r"\bsk-(?:ant-|proj-|or-v1-)?[\w-]{20,}",  # OpenAI, Anthropic, OpenRouter
    r"AIza": r"\bAIza[\w-]{30,}",  # Google
    r"hf_": r"\bhf_[A-Za-z0-9]{20,}\b",  # Hugging Face
    r"npm_|pypi-": r"\bnpm_[A-Za-z0-9]{30,}\b|\bpypi-[\w-]{30,}",
    r"SG\.": r"\bSG\.[\w-]{16,}\.[\w-]{16,}",  # SendGrid
    r"SK|AC": r"\b(?:SK|AC)[0-9a-f]{32}\b",  # Twilio
    r"ya29": r"\bya29\.[\w-]{20,}",  # Google OAuth
}
_NAMED_KEY = (
    r"(?i)\b(?:[\w-]{0,40}(?:api|access|secret|auth|private|client)[_ -]?(?:key|token|secret)[\w-]*|token|secret)\b"
    r"['\"]?(?:\s+is\b|\s*[:=])\s*['\"]?(?P<value>[\w+/=.~-]{12,})"
)
_LOGIN_SAID = (
    r"(?i)\b(?:password|passwd|pwd|passphrase|passwort|kennwort|contraseña|mot de passe)\b"
    r"(?:\s+(?:is|ist|es|est)\b|\s*[:=])\s*['\"]?(?P<value>[^\s'\",;]{3,128}[^\s'\",;.)])"
)
_PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]{0,10000}?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)"
SECRETS = [
    _secret("private_key", _PRIVATE_KEY, "-----BEGIN"),
    _secret("jwt", r"\beyJ[\w-]{8,500}\.eyJ[\w-]{4,8000}\.[\w-]{2,1000}", "eyJ"),
    *(_secret("api_key", form, needs) for needs, form in KEY_FORMS.items()),
    _secret("api_key", r"(?i)\bbearer\s+(?P<value>[\w.~+/=-]{16,})", "(?i)bearer", validators.entropic),
    _secret("password", r"\b\w+://[^\s:/@]{1,64}:(?P<value>[^\s@/]{3,128})@", "://"),
    _secret("password", _LOGIN_SAID, "(?i)pass|pwd|kennwort|contrase", validators.entropic),
    _secret("api_key", _NAMED_KEY, "(?i)key|token|secret", validators.entropic),
]
"""Keys and tokens, by their makers' forms first, by the word before them last."""

PHONE = r"(?<![\w.,/$€£-])(?<!\d:)(?:\+|00)?(?:\(\+?\d{1,4}\)|\d)(?:[ \u00a0./()-]{0,3}\d){6,14}(?![\w]|[.,]\d|-\d)"
_EMAIL = r"(?i)(?<![\w.+-])[\w.%+'-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}\b"
_SSN_SAID = (
    r"(?i)\b(?:ssn|social security(?: number)?)\W{1,4}(?:is\W{1,2}|number\W{1,2})?"
    r"(?P<value>(?P<area>\d{3}) ?(?P<group>\d{2}) ?(?P<serial>\d{4}))\b"
)
_DAY = (
    r"(?P<value>\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}(?:st|nd|rd|th|\.)? \w{3,9},? \d{4}|"
    r"\w{3,9} \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_BORN = (
    r"(?i)\b(?:born(?: on)?|birthday|birth ?date|date of birth|dob|geboren(?: am)?|née? le|nacid[oa] el)\b\W{1,4}"
    r"(?:is |was )?" + _DAY
)
_ACCOUNT = (
    r"(?i)\b(?:account|acct|konto|compte|cuenta)\b\.?(?: ?(?:number|no|nummer|nr|num))?\W{1,3}(?:is |ist )?"
    r"(?P<value>\d{7,14})\b"
)
_ROUTING = r"(?i)\b(?:sort code|routing(?: number)?|aba)\b\W{1,3}(?:is )?(?P<value>\d{2}-\d{2}-\d{2}|\d{9}|\d{6})\b"
_PASSPORT = (
    r"(?i)\b(?:passport|pasaporte|passeport|reisepass\w*)\b(?: no\.)?[^.\n\d]{0,20}?(?P<value>\b[A-Z]{0,3}\d{6,9}\b)"
)
_LICENCE = r"(?i)\bdriv(?:er'?s?|ing) licen[cs]e\b[^.\n]{0,20}?(?P<value>\b(?=(?:[A-Z-]{0,9}\d){4})[A-Z0-9-]{6,18}\b)"
_NINO = r"(?i)\b(?:QQ|[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]) ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b"
_NIR = r"(?i)(?<!\w)[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\w)"
_DNI = r"(?i)(?<![\w-])(?:\d{8}|[XYZ]\d{7})-?[TRWAGMYFPDXBNJZSQVHLCKE](?![\w-])"
_IP6 = r"(?i)(?<![\w:])(?:[0-9a-f]{1,4}:|::)(?:[0-9a-f]{0,4}:){1,7}[0-9a-f]{0,4}(?![\w:])"
NUMBERED = [
    Pattern("email", re.compile(_EMAIL), None, re.compile("@")),
    _numbered("iban", r"(?i)\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", validators.iban),
    _numbered("card", r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w]|\.\d|[ -]\d)", validators.card),
    _numbered("ssn", r"(?<![\d-])(?P<area>\d{3})-(?P<group>\d{2})-(?P<serial>\d{4})(?![\d-])", validators.ssn),
    _numbered("ssn", _SSN_SAID, validators.ssn),
    _numbered("national_id", r"(?<![\d.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\d-])", validators.cpf),
    _numbered("national_id", _DNI, validators.dni),
    _numbered("national_id", _NIR, validators.nir),
    _numbered("national_id", _NINO),
    _numbered(
        "national_id", r"(?i)\bsin\b\W{1,3}(?:is |number )?(?P<value>\d{3}[ -]?\d{3}[ -]?\d{3})\b", validators.sin
    ),
    _numbered("national_id", r"(?i)\b[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]\b"),  # Italy
    _numbered("national_id", r"(?<![\d-])[2-9]\d{3} \d{4} \d{4}(?![ -]?\d)", validators.aadhaar),
    _numbered("national_id", r"(?i)\bnhs\b[^.\n\d]{0,20}(?P<value>\d{3}[ -]?\d{3}[ -]?\d{4})\b", validators.nhs),
    _numbered("ip", r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", validators.ip),
    _numbered("ip", _IP6, validators.ip),
    _numbered("mac", r"(?i)(?<![\w:-])[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}(?![\w:-])"),
    _numbered("crypto", r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b", validators.bitcoin),
    _numbered("crypto", r"\b(?:bc1[a-z0-9]{25,60}|0x[0-9a-fA-F]{40})\b"),
    _numbered("passport", _PASSPORT),
    _numbered("licence", _LICENCE),
    _numbered("account", _ACCOUNT),
    _numbered("account", _ROUTING),
    _numbered("birth_date", _BORN),
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
_TITLE = r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Señora?|Mme|Monsieur|Madame)\.? "
_SIGNED = (
    r"(?:^|\n)(?:[Bb]est(?: regards| wishes)?|[Kk]ind regards|[Rr]egards|[Ss]incerely|[Cc]heers|"
    r"[Mm]it freundlichen Grüßen|[Cc]ordialement),?\s*\n\s*"
)
_STREET = (
    r"\b\d{1,5}[A-Za-z]? (?:[NSEW]\.? )?(?:[A-Z][\w'.-]+ ){1,4}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|"
    r"Boulevard|Blvd|Court|Ct|Square|Sq|Place|Pl|Terrace|Way|Close|Crescent)\b(?:,? (?:Apt|Unit|Suite|Flat|#)\.?"
    r" ?\w{1,6})?"
)
_STRASSE = r"\b[A-ZÄÖÜ][a-zäöüß-]+(?:straße|strasse|str\.|weg|gasse|allee|platz) \d{1,4}[a-z]?\b"
_RUE = (  # an English `12 place settings` has neither an article nor a name
    r"(?i)\b\d{1,4}(?: ?(?:bis|ter))?,? "
    r"(?:rue|avenue|boulevard|chemin|impasse|place(?= (?:de|du|des|la|le|(?-i:[A-ZÀ-Þ])))) "
    r"(?:(?:de|du|des|la|le|l') ?){0,2}[\w'-]+(?: [A-ZÀ-Þ][\w'-]+)?"
)
_CALLE = (
    r"(?i)\b(?:calle|avenida|plaza|paseo) (?:(?:de|del|la|las|los) ){0,2}[\w'-]+(?: [A-ZÀ-Þ][\w'-]+){0,2},? "
    r"(?:n[º°o]\.? ?)?\d{1,4}\b"
)
LOOSE = [
    *(Pattern("name", re.compile(before + _NAME)) for before in (_CALLED, _TITLE, _SIGNED)),
    *(_numbered("address", form) for form in (_STREET, _STRASSE, _RUE, _CALLE, r"\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b")),
]
"""Names and addresses by their surroundings: what a pattern can see of them, and no more."""
