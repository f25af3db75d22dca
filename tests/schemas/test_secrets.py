"""What is secret is used and never shown, whichever way settings are looked at."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import msgspec
import pytest

from schemas.errors import SettingsError
from schemas.events import to_json
from schemas.loading import load
from schemas.records import content_hash
from schemas.secrets import MASK, Secret, SecretUrl, revealed, shown, without_userinfo
from schemas.settings import Settings

LOOKS_SECRET = re.compile(r"key|secret|token|password|passwd|credential|auth|uri$", re.IGNORECASE)
OPEN_ALL_THE_SAME = {
    "kafka.client": "its values are secrets by type",
    "curate.tokenizer": "the name of one: it counts tokens",
    "trusted_keys": "public keys",
}
FILE = {
    "cluster": {"embedder_key": "hunter2-embedder", "namer_key": "hunter2-namer"},
    "evaluate": {"api_keys": {"http://127.0.0.1:1/v1": "hunter2-api"}},
    "gate": {"mlflow_uri": "https://ann:hunter2-mlflow@registry.example/path"},
    "kafka": {
        "client": {
            "security.protocol": "SASL_SSL", "sasl.password": "hunter2-sasl", "ssl.ca.location": "/ca.pem",
            "sasl.oauthbearer.config": "secret=hunter2-oauth", "sasl.username": "hunter2-name",
        }
    },
    "storage_options": {
        "AWS_SECRET_ACCESS_KEY": "hunter2-aws", "AZURE_STORAGE_CONNECTION_STRING": "AccountKey=hunter2-azure",
        "AWS_REGION": "eu-1", "AWS_ENDPOINT_URL": "http://ann:hunter2-store@store.example", "proxy_url": "http://hunter2:x@p",
        "what nobody knows": "hunter2-unknown",
    },
}  # fmt: skip


def fields(cls: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name, with its type."""
    for field in msgspec.structs.fields(cls):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from fields(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field.type


def holds_secrets(type_: Any) -> bool:
    return any(isinstance(t, type) and issubclass(t, Secret) for t in (type_, *get_args(type_)))


def test_what_is_called_like_a_secret_is_one() -> None:
    """A new setting whose name speaks of a key or a password has to be of the type that hides it."""
    named = {name for name, type_ in fields(Settings) if LOOKS_SECRET.search(name) and not holds_secrets(type_)}

    assert named <= OPEN_ALL_THE_SAME.keys()
    assert {name for name, type_ in fields(Settings) if holds_secrets(type_)} == {
        "kafka.client", "storage_options", "cluster.embedder_key", "cluster.namer_key", "evaluate.api_keys",
        "curate.salt", "gate.mlflow_uri", "ui.oidc.client_secret",
    }  # fmt: skip


def test_settings_are_shown_without_their_secrets() -> None:
    """However they are turned into text; what says where and how is shown."""
    settings = load(FILE, {})

    ways = (repr(settings), str(settings), f"{settings}", to_json(settings), json.dumps(shown(settings)))

    assert [way for way in ways if "hunter2" in way] == []
    plain = shown(settings)
    assert plain["kafka"]["client"] | {"sasl.username": MASK} == {
        "security.protocol": "SASL_SSL", "sasl.password": MASK, "ssl.ca.location": "/ca.pem",
        "sasl.oauthbearer.config": MASK, "sasl.username": MASK,
    }  # fmt: skip
    assert plain["storage_options"]["AWS_REGION"] == "eu-1"
    assert plain["storage_options"]["AWS_ENDPOINT_URL"] == "http://***@store.example"
    assert plain["gate"]["mlflow_uri"] == "https://***@registry.example/path"
    assert plain["evaluate"]["api_keys"] == {"http://127.0.0.1:1/v1": MASK}
    assert shown(Settings())["cluster"]["namer_key"] == ""


def test_a_secret_reaches_no_log_no_traceback_and_no_pickle(caplog: pytest.LogCaptureFixture) -> None:
    """The ways by which values end up in files that nobody means to write them to."""
    secret = Secret("hunter2")

    logging.getLogger("x").warning("%s %r %s", secret, secret, {"key": secret})
    with pytest.raises(TypeError) as caught:
        pickle.dumps(secret)
    with pytest.raises(TypeError) as unknown:
        msgspec.json.encode(secret)

    assert "hunter2" not in caplog.text + str(caught.value) + str(unknown.value)
    assert (copy.deepcopy({"k": secret})["k"].reveal(), bool(secret), bool(Secret())) == ("hunter2", True, False)


@pytest.mark.parametrize("path", [("cluster", "embedder_key"), ("evaluate", "api_keys"), ("gate", "mlflow_uri"), ()])
def test_a_rotated_key_changes_no_hash(path: tuple[str, ...]) -> None:
    """Run ids and manifests rest on hashes of settings: these are the same whatever the keys are."""

    def settings(key: str) -> Any:
        found: Any = load(json.loads(json.dumps(FILE).replace("hunter2", key)), {})
        for name in path[:1]:
            found = getattr(found, name)
        return found

    assert settings("hunter2") != settings("rotated")
    assert content_hash(settings("hunter2")) == content_hash(settings("rotated"))


def test_a_wrong_secret_is_refused_without_being_told() -> None:
    """A number is no key; the message names the setting and not the value."""
    with pytest.raises(SettingsError, match=r"cluster\.namer_key: Expected `str`") as caught:
        load({"cluster": {"namer_key": 4711}}, {})

    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("key", ["[hunter2", "{x", '"quoted"', " spaced ", "ключ"])
def test_a_key_may_look_like_anything(key: str) -> None:
    """A variable's text is the key, whatever it begins with; what is no text is read as JSON or refused by name."""
    assert load({}, {"FLYWHEEL_CLUSTER_NAMER_KEY": key}).cluster.namer_key.reveal() == key
    with pytest.raises(SettingsError, match="storage_options"):
        load({}, {"FLYWHEEL_STORAGE_OPTIONS": "{x"})


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("https://ann:pw@host:1/p?q", "https://***@host:1/p?q"),
        ("https://token@host", "https://***@host"),
        ("https://host/a@b", "https://host/a@b"),
        ("postgresql+x://a:b@c/d", "postgresql+x://***@c/d"),
        ("a@b", "a@b"),
        ("http://[bad@x", MASK),
        ("", ""),
    ],
)
def test_user_information_in_a_url_is_masked(text: str, seen: str) -> None:
    """Name and password go, host and path stay."""
    assert without_userinfo(text) == seen
    assert str(SecretUrl(text)) == seen


def test_options_are_revealed_for_their_client_alone() -> None:
    """The client gets what was written."""
    options: Mapping[str, Secret] = load(FILE, {}).kafka.client

    assert revealed(options)["sasl.password"] == "hunter2-sasl"
    assert "hunter2" not in str(options)
