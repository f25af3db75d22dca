"""Does a version fit a model? Lengths of its rows by a tokenizer that the user names, and what its chat template drops.

The tokenizer is a folder as `save_pretrained` writes it: `tokenizer.json`, and the template in `chat_template.jinja` or
`tokenizer_config.json`. Nothing is fetched. Rows are rendered as a trainer renders them, by the template in a sandbox,
and counted; without a template the texts alone are.
"""

from __future__ import annotations

import datetime as clock
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from flows.curate.folder.opened import shards
from schemas.errors import UsageError

BATCH = 1_000
PROBE = "q7Zk"
"""A text that no template says by itself: where it is missing after rendering, what held it was dropped."""
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
Render = Callable[..., str]


class Fit(Struct, frozen=True):
    """What was counted, and what to look at before training."""

    config: str
    rows: int
    median: int
    """Tokens of a row: half have no more."""
    p95: int
    longest: int
    max_length: int
    cut: int
    """Rows that are longer than `max_length`: a trainer cuts or drops them."""
    template: bool
    """Whether the folder has a chat template."""
    findings: tuple[str, ...]
    """What the template does not say, or cannot render, in sentences."""


def fit(folder: Path, config: str, tokenizer: Path, max_length: int) -> Fit:
    """Measure a config of a version. Raises UsageError for a folder without a tokenizer, or a config without rows."""
    count = _counter(tokenizer)
    files = shards(folder, config)
    if not files:
        raise UsageError(f"{folder} has no rows of {config[:64]!r}: `flywheel dataset list` says what it has")
    render = _template(tokenizer)
    lengths: list[int] = []
    failed, tools = 0, False
    for row in _rows(files):
        tools = tools or bool(row["tools"]) or any("tool_calls" in message for message in row["chat"])
        try:
            lengths.append(count(render(row["chat"], row["tools"]) if render else _texts(row["chat"])))
        except TemplateError:
            failed += 1
            lengths.append(count(_texts(row["chat"])))
    if not lengths:
        raise UsageError(f"{folder} has no rows of {config[:64]!r} yet: there is nothing to measure")
    found = np.array(lengths)
    return Fit(
        config=config,
        rows=len(found),
        median=int(np.median(found)),
        p95=int(np.percentile(found, 95)),
        longest=int(found.max()),
        max_length=max_length,
        cut=int((found > max_length).sum()),
        template=render is not None,
        findings=tuple(_findings(render, tools, failed)),
    )


def _findings(render: Render | None, tools: bool, failed: int) -> Iterator[str]:
    if render is None:
        yield "the folder has no chat template: a trainer will ask for one, and lengths are of the texts alone"
        return
    if failed:
        yield f"the template cannot render {failed} rows: a trainer stops there"
    turns = [{"role": role, "content": f"{PROBE}{role}"} for role in ("system", "user", "assistant")]
    yield from _dropped(render, turns, None, {f"{PROBE}{turn['role']}": f"{turn['role']} messages" for turn in turns})
    if tools:
        yield from _dropped(render, *_with_tools())


def _with_tools() -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    """A conversation that calls a tool, and what must be seen of it: text → what it is."""
    call = {
        "type": "function",
        "id": "c1",
        "function": {"name": f"{PROBE}call", "arguments": {"a": f"{PROBE}argument"}},
    }
    tool = {
        "type": "function",
        "function": {"name": f"{PROBE}tool", "description": "d", "parameters": {"type": "object"}},
    }
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "name": f"{PROBE}call", "content": f"{PROBE}result"},
        {"role": "assistant", "content": "a"},
    ]
    seen = {
        f"{PROBE}tool": "the tools that could be called",
        f"{PROBE}call": "calls of tools",
        f"{PROBE}argument": "arguments of calls",
        f"{PROBE}result": "results of tools",
    }
    return turns, [tool], seen


def _dropped(
    render: Render, turns: list[dict[str, Any]], tools: list[dict[str, Any]] | None, seen: Mapping[str, str]
) -> Iterator[str]:
    try:
        text = render(turns, tools)
    except TemplateError as error:
        yield f"the template cannot render {', '.join(seen.values())}: {str(error)[:200]}"
        return
    for probe, what in seen.items():
        if probe not in text:
            yield f"the template drops {what}: the model learns to answer without them"


def _rows(files: list[Path]) -> Iterator[dict[str, Any]]:
    """Each row's whole chat, as a trainer hands it to the template, and its tools."""
    for path in files:
        for batch in pq.ParquetFile(path).iter_batches(BATCH):
            for row in batch.to_pylist():
                parts = row.get("messages") or [
                    *(row.get("prompt") or ()),
                    *(row.get("completion") or row.get("chosen") or ()),
                ]
                yield {"chat": [_plain(message) for message in parts], "tools": _decoded(row.get("tools"))}


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in message.items() if value is not None}
    return {**known, "tool_calls": _decoded(known["tool_calls"])} if known.get("tool_calls") else known


def _decoded(values: Any) -> list[Any] | None:
    return [json.loads(value) if isinstance(value, str) else value for value in values] if values else None


def _texts(chat: list[dict[str, Any]]) -> str:
    return "\n".join(str(message.get("content") or message.get("tool_calls") or "") for message in chat)


def _counter(folder: Path) -> Callable[[str], int]:
    """How many tokens a text has."""
    from tokenizers import Tokenizer  # noqa: PLC0415 lazy: few commands count tokens

    path = folder / "tokenizer.json" if folder.is_dir() else folder
    try:
        known = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise UsageError(f"{path} is no tokenizer that can be read: {str(error)[:200]}") from error
    known.no_truncation()
    known.no_padding()
    return lambda text: len(known.encode(text, add_special_tokens=False))


def _template(folder: Path) -> Render | None:
    """The folder's chat template, in a sandbox as transformers uses; None where it has none."""
    text, special = _template_text(folder)
    if text is None:
        return None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: clock.datetime(2026, 1, 1, tzinfo=clock.UTC).strftime(form)
    try:
        compiled = environment.from_string(_GENERATION.sub("", text))
    except TemplateError as error:
        raise UsageError(f"the chat template of {folder} cannot be read: {error}") from error

    def render(chat: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        try:
            return compiled.render(messages=chat, tools=tools, documents=None, add_generation_prompt=False, **special)
        except TemplateError:
            raise
        except Exception as error:  # a template is a stranger's program
            raise TemplateError(f"{type(error).__name__}: {error}") from error

    return render


def _refuse(message: str) -> str:
    raise TemplateError(message)


def _template_text(folder: Path) -> tuple[str | None, dict[str, str]]:
    path = folder / "tokenizer_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        own = folder / "chat_template.jinja"
        text = own.read_text(encoding="utf-8") if own.is_file() else config.get("chat_template")
        if isinstance(text, list):  # several under names, as some models have
            text = next((each.get("template") for each in text if each.get("name") == "default"), None)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    special = {
        name: value.get("content", "") if isinstance(value, dict) else str(value)
        for name in ("bos_token", "eos_token", "unk_token", "pad_token")
        if (value := config.get(name)) is not None
    }
    return text if isinstance(text, str) else None, special
