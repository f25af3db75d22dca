"""Streamlit: the interaction's id lies in the feedback widget's key; a withdrawn thumb is taken back.

FLYWHEEL_APPLICATION=support FLYWHEEL_URL=http://127.0.0.1:4318 streamlit run streamlit_app.py
"""

from __future__ import annotations

import streamlit as st

import llm_flywheel as fly

fly.init()
state = st.session_state
state.setdefault("conversation", fly.new_id())
state.setdefault("said", [])  # (question, answer, interaction's id)
state.setdefault("thumbs", {})  # interaction's id → id of the thumb that stands


def judged(id_: str) -> None:
    """The thumb of an answer has changed: up, down, or none any more."""
    value, before = state[f"thumb-{id_}"], state.thumbs.pop(id_, None)
    about = {"interaction": id_, "conversation": state.conversation}
    if value is None:
        _ = fly.retract(before, **about) if before else None
    else:
        state.thumbs[id_] = fly.thumb(bool(value), supersedes=before, **about)


if question := st.chat_input("Ask"):
    with fly.conversation(state.conversation), fly.interaction(model="echo", messages=question) as turn:
        turn.output(question.upper())
    state.said.append((question, question.upper(), turn.id))
for asked, answered, id_ in state.said:
    st.chat_message("user").write(asked)
    st.chat_message("assistant").write(answered)
    st.feedback("thumbs", key=f"thumb-{id_}", on_change=judged, args=(id_,))
