"""Values that are used and never shown: keys, passwords, and URLs that may hold one.

A setting of the type `Secret` is masked wherever it is printed, logged or encoded, and has no part in the id of a run:
a key that is rotated changes no result. `reveal` is the only way to its value. Go on to `settings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from schemas import kafka_options

MASK = "***"
OPEN = kafka_options.SHOWN | {
    "allow_http", "allow_invalid_certificates", "aws_allow_http", "aws_conditional_put", "aws_copy_if_not_exists",
    "aws_default_region", "aws_endpoint", "aws_endpoint_url", "aws_region", "aws_s3_allow_unsafe_rename",
    "aws_virtual_hosted_style_request", "azure_endpoint", "azure_storage_account_name", "azure_use_emulator", "bucket",
    "conditional_put", "connect_timeout", "endpoint", "endpoint_url", "google_bucket", "region", "timeout",
    "virtual_hosted_style_request",
}  # fmt: skip
"""Options of Kafka clients and object stores whose value a person may see; all others are masked, known or not."""


class Secret:
    """A text that is used and never shown. Empty, and then false, where none is set."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
        self._value = value

    def reveal(self) -> str:
        """The text itself, for whoever it is meant for."""
        return self._value

    @property
    def shown(self) -> str:
        """What a person may see of it."""
        return MASK if self._value else ""

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and type(other) is type(self) and other.reveal() == self._value

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shown!r})"

    def __format__(self, spec: str) -> str:
        return format(self.shown, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: pass it on by the environment of a child process")

    def __deepcopy__(self, _: object) -> Secret:
        return self


class SecretUrl(Secret):
    """A URL of which all is shown but a name and a password in it."""

    @property
    def shown(self) -> str:
        """The URL, its user information masked."""
        return without_userinfo(self._value)


def without_userinfo(text: str) -> str:
    """The text, where it is a URL with user information in it, with that masked."""
    if "@" not in text or "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return MASK
    userinfo, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{MASK}@{host}")) if at and userinfo else text


def revealed(options: Mapping[str, Secret]) -> dict[str, str]:
    """The options of a client or a store, for that client or store."""
    return {name: value.reveal() for name, value in options.items()}


def decoded(type_: type, value: Any) -> Any:
    """Msgspec's `dec_hook`: a text becomes a secret."""
    if issubclass(type_, Secret):
        return value if isinstance(value, Secret) else type_(value)
    raise NotImplementedError(type_)


def encoded(value: Any) -> str:
    """Msgspec's `enc_hook` for everything that is written, hashed or sent: always the same, whatever the secret."""
    if isinstance(value, Secret):
        return MASK
    raise NotImplementedError(f"{type(value).__name__} has no place in JSON")


def passed_on(value: Any) -> str:
    """Msgspec's `enc_hook` for the environment of a child process, the one place where a secret is written out."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def shown(value: Any) -> Any:
    """A value as plain data that a person may see: settings with every secret masked, and user information in URLs.

    Of options that are secrets those in OPEN are shown.
    """
    if isinstance(value, Secret):
        return value.shown
    if isinstance(value, str):
        return without_userinfo(value)
    if isinstance(value, Mapping):
        return {shown(name): _option(name, each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    fields = getattr(value, "__struct_fields__", None)
    return value if fields is None else {name: shown(getattr(value, name)) for name in fields}


def _option(name: Any, value: Any) -> Any:
    return shown(value.reveal()) if isinstance(value, Secret) and str(name).lower() in OPEN else shown(value)
