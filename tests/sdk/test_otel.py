"""A span processor puts the conversation on spans; the mapper finds it there."""

from __future__ import annotations

import pytest

import llm_flywheel as fly
from llm_flywheel.otel import ContextProcessor

trace = pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed")
baggage, context = pytest.importorskip("opentelemetry.baggage"), pytest.importorskip("opentelemetry.context")


def attributes(**own: str) -> dict[str, object]:
    """Of a span that begins here."""
    provider = trace.TracerProvider()
    provider.add_span_processor(ContextProcessor())
    with provider.get_tracer("app").start_as_current_span("chat", attributes=own) as span:
        return dict(span.attributes)


def test_the_conversation_is_on_every_span() -> None:
    """Its id, its person, prompt version, variant and consent; nothing outside of one."""
    with fly.conversation("c-1", user_id="u-1", prompt_version="v2", variant="b", training_consent=False, own="x"):
        found = attributes()

    assert found == {
        "gen_ai.conversation.id": "c-1", "user.id": "u-1", "flywheel.prompt_version": "v2", "flywheel.variant": "b",
        "flywheel.training_consent": False,
    }  # fmt: skip
    assert attributes() == {}


def test_baggage_of_another_service_is_copied() -> None:
    """Only what is known; the conversation of this service stands above it, and a span's own attribute above both."""
    within = context.get_current()
    for name, value in (("gen_ai.conversation.id", "c-0"), ("user.id", "u-0"), ("password", "p")):
        within = baggage.set_baggage(name, value, within)
    token = context.attach(within)
    try:
        assert attributes() == {"gen_ai.conversation.id": "c-0", "user.id": "u-0"}
        with fly.conversation("c-1"):
            assert attributes(**{"user.id": "own"}) == {"gen_ai.conversation.id": "c-1", "user.id": "own"}
    finally:
        context.detach(token)
