"""OpenTelemetry: the conversation and its user on every span, which no instrumentation puts there by itself.

    from opentelemetry.sdk.trace import TracerProvider
    from llm_flywheel.otel import ContextProcessor

    provider = TracerProvider()
    provider.add_span_processor(ContextProcessor())      # before the exporter's

    with fly.conversation("c-42", user_id="u-7", prompt_version="v3"):
        client.chat.completions.create(...)              # its span carries all of that

What stands in the baggage under the same names, from another service, is copied too. Needs the extra `otel`.
"""

from __future__ import annotations

from typing import Any

from llm_flywheel import context

ATTRIBUTES = {
    "user_id": "user.id",
    "prompt_version": "flywheel.prompt_version",
    "variant": "flywheel.variant",
    "training_consent": "flywheel.training_consent",
}
"""Field of a conversation → attribute that the flywheel reads (docs/otel.md of the flywheel)."""
CONVERSATION = "gen_ai.conversation.id"


class ContextProcessor:
    """A span processor. A span's own attributes, set when it began, are never overwritten."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Called when a span begins, in its thread; never raises."""
        try:
            own = getattr(span, "attributes", None) or {}
            for name, value in self._around(parent_context).items():
                if name not in own:
                    span.set_attribute(name, value)
        except Exception:
            return

    def on_end(self, span: Any) -> None:
        """Nothing to do."""

    def _on_ending(self, span: Any) -> None:
        """Nothing to do."""

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - OpenTelemetry's signature
        """Nothing waits here."""
        return True

    def _around(self, parent_context: Any) -> dict[str, Any]:
        """What the baggage says, and above it the conversation of this task or thread."""
        from opentelemetry import baggage

        known = {CONVERSATION, *ATTRIBUTES.values()}
        found = {name: value for name, value in baggage.get_all(parent_context).items() if name in known}
        within = context.current()
        if within is not None:
            if within.id is not None:
                found[CONVERSATION] = within.id
            found |= {ATTRIBUTES[name]: value for name, value in within.fields.items() if name in ATTRIBUTES}
        return found
