"""A streamed answer, framed and cut as servers and networks do: a grammar of event streams for tests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.support.dialects import names, objects, texts

ENDS = ("\n", "\r\n", "\r")
Said = tuple[str, list[tuple[str, str, Any]]]
"""The text, and the calls: id, name, arguments."""


def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _content(draw: st.DrawFn, piece: str) -> Any:
    forms = [piece, [{"type": "text", "text": piece}], {"type": "output_text", "text": piece}]
    return draw(st.sampled_from(forms)) if piece else piece


def _deltas(draw: st.DrawFn, said: Said) -> list[Any]:
    deltas: list[Any] = [{"role": "assistant", "content": draw(st.sampled_from(["", None]))}]
    deltas += [{"content": _content(draw, piece), "refusal": None} for piece in _pieces(draw, said[0])]
    marks = draw(st.sampled_from(["both", "index", "id", "same index"]))
    for place, (id_, name, arguments) in enumerate(said[1]):
        index = {} if marks == "id" else {"index": 0 if marks == "same index" else place}
        first, *rest = _pieces(draw, json.dumps(arguments))
        deltas.append({"tool_calls": [{**index, "id": id_, "function": {"name": name, "arguments": first}}]})
        again = {"id": id_} if marks in {"both", "id"} else {}
        deltas += [{"tool_calls": [{**index, **again, "function": {"arguments": piece}}]} for piece in rest]
    return deltas


def _framed(draw: st.DrawFn, payload: str) -> str:
    end = draw(st.sampled_from(ENDS))
    noise = draw(st.sampled_from(["", f": ping{end}{end}", f"id: 1{end}", f"event: message{end}", f"retry: 5{end}"]))
    space = draw(st.sampled_from(["", " "]))
    return noise + "".join(f"data:{space}{line}{end}" for line in payload.split("\n")) + end


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], Said]:
    """The chunks of a whole stream, and what it says."""
    calls = draw(st.lists(st.tuples(names, objects), max_size=3))
    said: Said = (draw(texts), [(f"id-{place}", *call) for place, call in enumerate(calls)])
    events: list[Any] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "error": None}
        for delta in _deltas(draw, said)
    ]
    other = {"choices": [{"index": 1, "delta": {"content": "no"}}]}
    events.insert(draw(st.integers(1, len(events))), draw(st.sampled_from([other, {"choices": None}, {"choices": []}])))
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None})
    indent = draw(st.sampled_from([None, 1]))
    payloads = [json.dumps(event, indent=indent, ensure_ascii=draw(st.booleans())) for event in events]
    whole = draw(st.sampled_from(["", "\ufeff"])) + "".join(_framed(draw, payload) for payload in payloads)
    data = (whole + draw(st.sampled_from(["", "data: [DONE]", "data: [DONE]\r\n\r\n"]))).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)], said
