"""What commands share: the settings, JSON for programs, who is at the keyboard, and options that several take."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import msgspec
import typer

from flows.visible import json_line
from schemas.errors import UsageError
from schemas.events import Candidate, to_json
from schemas.prompts import messages_of
from schemas.records import make_candidate
from schemas.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Endpoint = Annotated[str, typer.Option(help="Base URL of its OpenAI-compatible API, up to and with /v1.")]
Model = Annotated[str, typer.Option(help="Model name that the endpoint is asked for.")]
PromptVersion = Annotated[str | None, typer.Option(help="Version of the prompt that it is used with.")]
Dataset = Annotated[str | None, typer.Option(help="Dataset version that it was trained on.")]
Parameters = Annotated[str, typer.Option(help='Request parameters as JSON, e.g. {"temperature": 0}.')]


def settings_of(context: typer.Context) -> Settings:
    """The settings that `flows/cli.py` made for this command."""
    settings: Settings = context.obj
    return settings


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, without colours."""
    print(json_line(to_json(value)))  # noqa: T201


def identity() -> str:
    """The name that a decision made at this keyboard is recorded under."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def candidate_of(
    settings: Settings, model: str, endpoint: str, prompt_version: str | None, dataset: str | None, parameters: str
) -> Candidate:
    """The candidate that the options describe, with the messages that the settings have for its prompt version.

    Raises UsageError naming the option that is wrong.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"--endpoint must be an http(s) URL, got {endpoint[:200]!r}")
    try:
        values = msgspec.json.decode(parameters, type=dict[str, Any])
        return make_candidate(
            model, endpoint.rstrip("/"), prompt_version=prompt_version, parameters=values, dataset=dataset,
            prompt_messages=messages_of(settings.evaluate.prompts, prompt_version),
        )  # fmt: skip
    except msgspec.ValidationError as error:
        raise UsageError(f"that is not a candidate: {error}") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"--parameters is not a JSON object: {error}") from error


def named(settings: Settings, text: str, prompt_version: str | None, parameters: str) -> str | Candidate:
    """What MODEL@URL and its options describe, whether it is registered or not; an id of the ledger as it stands.

    Raises UsageError for options beside an id: what a registered candidate is asked with is part of it.
    """
    model, at, endpoint = text.rpartition("@")
    if at and endpoint.startswith(("http://", "https://")):
        return candidate_of(settings, model, endpoint, prompt_version, None, parameters)
    if at:
        raise UsageError(f"{text[:200]!r} names no model: write MODEL@URL with an http(s) URL, up to and with /v1")
    if prompt_version is not None or parameters != "{}":
        raise UsageError(
            f"{text[:64]!r} is no MODEL@URL: parameters and prompt of a registered candidate are part of it, so "
            "register another one with `flywheel candidate add`"
        )
    return text
