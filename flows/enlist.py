"""Registers the model of a training by itself: named, served by the settings' command, announced, evaluated.

What `flywheel candidate add --model-dir` does for a person; done again it changes nothing. Go on to `serve.py`.
"""

from __future__ import annotations

import logging
import shlex
from datetime import datetime

from flows import ledger, training
from flows.announce import Announcer, announce_pending
from flows.command_line import words
from flows.evaluate import server
from flows.prefect_api import request_evaluation
from flows.seal import seal_of
from flows.trained import Place, place_of
from flows.versions import versions
from schemas.errors import BrokerError, UsageError
from schemas.events import Candidate, to_json
from schemas.prompts import messages_of
from schemas.records import make_candidate
from schemas.settings import Settings
from streams.lake import Lake
from streams.logs import about

_log = logging.getLogger(__name__)


def enlist(lake: Lake, settings: Settings, key: str, time: datetime) -> Candidate | None:
    """Register the finished model of a training as a candidate; None where the settings name no endpoint for it.

    Raises UsageError where its folder is gone, or names a dataset that is not known.
    """
    if not settings.train.endpoint:
        return None
    with about(training=key):
        return _enlist(lake, settings, key, time)


def _enlist(lake: Lake, settings: Settings, key: str, time: datetime) -> Candidate:
    place = place_of(settings.home_path, key)
    made = training.read(place.model)
    training.version_of(made, versions(lake, settings.application))
    candidate = _candidate(settings, place, made)
    if settings.train.serve.strip():
        argv = [_filled(word, place) for word in words(settings.train.serve, place.folder, "train.serve")]
        server.keep(settings.home_path, candidate.id, shlex.join(argv), place.folder)
    ledger.register(
        lake, settings.application, candidate, time=time, training=to_json(made), seal=seal_of(settings),
    )  # fmt: skip
    try:
        with Announcer(settings) as announce:
            announce_pending(lake, settings.application, announce, seal_of(settings))
    except (BrokerError, UsageError) as error:
        _log.warning("%s is registered, but not announced yet: %s. The next decision announces it too", key, error)
    request_evaluation(settings, candidate.id)
    return candidate


def _candidate(settings: Settings, place: Place, made: training.Training) -> Candidate:
    how, state = settings.train, place.state
    if state is None:
        raise UsageError(f"{place.folder} has no state.json: `flywheel candidate add --model-dir {place.model}`")
    return make_candidate(
        state.model,
        _filled(how.endpoint, place).rstrip("/"),
        prompt_version=how.prompt_version or None,
        parameters=how.parameters,
        dataset=made.version,
        prompt_messages=messages_of(settings.evaluate.prompts, how.prompt_version),
    )


def _filled(text: str, place: Place) -> str:
    """A setting with what it may name of the training put in; anything else in braces stays as it is."""
    state = place.state
    model, port = (state.model, state.port) if state else ("", 0)
    for name, value in {"{model_dir}": str(place.model), "{model}": model, "{port}": str(port)}.items():
        text = text.replace(name, value)
    return text
