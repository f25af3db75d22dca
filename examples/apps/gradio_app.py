"""Gradio: the interaction's id lies in a message's metadata, and comes back with whatever its reader does to it.

FLYWHEEL_APPLICATION=support FLYWHEEL_URL=http://127.0.0.1:4318 python gradio_app.py
"""

from __future__ import annotations

from typing import Any

import gradio as gr

import llm_flywheel as fly

Messages = list[dict[str, Any]]


def answer(question: str, _: Messages, request: gr.Request) -> dict[str, Any]:
    """The model, captured as part of the browser's session."""
    with fly.conversation(request.session_hash), fly.interaction(model="echo", messages=question) as turn:
        turn.output(question.upper())
    return {"role": "assistant", "content": question.upper(), "metadata": {"id": turn.id}}


def id_at(messages: Messages, index: Any) -> str | None:
    """The interaction of the answer at a place, or of the answer that follows the question there."""
    at = index[0] if isinstance(index, (list, tuple)) else index
    ids = [(message.get("metadata") or {}).get("id") for message in messages[at : at + 2]]
    return next((each for each in ids if each), None)


def liked(messages: Messages, data: gr.LikeData) -> None:
    """A thumb, or a word out of the list that the chatbot offers."""
    about = {"interaction": id_at(messages, data.index)}
    _ = fly.label(data.liked, **about) if isinstance(data.liked, str) else fly.thumb(bool(data.liked), **about)


def edited(messages: Messages, data: gr.EditData) -> None:
    """The answer as it should have been; a question asked in other words."""
    about = {"interaction": id_at(messages, data.index)}
    at = data.index[0] if isinstance(data.index, (list, tuple)) else data.index
    _ = fly.correction(str(data.value), **about) if messages[at]["role"] == "assistant" else fly.retry(**about)


def retried(messages: Messages, data: gr.RetryData) -> None:
    """Another answer, please: the event's place is that of the question."""
    fly.regenerate(id_at(messages, data.index))


def left(messages: Messages) -> None:
    """Undone or cleared: the last answer did not help."""
    fly.abandon(interaction=id_at(messages, len(messages) - 1) if messages else None)


def copied(messages: Messages, data: gr.CopyData) -> None:
    """Taken along; the event has no place, so the text finds it."""
    texts = [(str(message["content"]), (message.get("metadata") or {}).get("id")) for message in messages]
    fly.copy(interaction=next((id_ for text, id_ in reversed(texts) if id_ and str(data.value) in text), None))


def make() -> gr.ChatInterface:
    """The page, with its events wired."""
    fly.init()
    page = gr.ChatInterface(answer, editable=True)
    with page:
        for event, handler in (("like", liked), ("edit", edited), ("retry", retried), ("copy", copied)):
            getattr(page.chatbot, event)(handler, page.chatbot)
        page.chatbot.undo(left, page.chatbot)
        page.chatbot.clear(left, page.chatbot)
    return page


if __name__ == "__main__":
    make().launch()
