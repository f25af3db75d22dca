"""Does a version fit a model: lengths by hand, templates that drop what they should say, folders that are none."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from flows.curate.folder.fit import fit
from flows.curate.folder.folder import write
from flows.curate.stage import _lengths
from schemas.errors import UsageError
from schemas.settings import CurateSettings
from tests.support.examples import FACTS, example, pair

PLAIN = "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {{ eos_token }} {% endfor %}"
CALLS = """{%- if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %} {{ m.role }} {{ m.content or '' }}
{%- for c in m.tool_calls or [] %} {{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}
{%- generation %}{% endgeneration %}{% endfor %}"""


def model(folder: Path, template: str | None = PLAIN, **config: Any) -> Path:
    """A folder as a model's is; its tokenizer has one token a word."""
    folder.mkdir()
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(folder / "tokenizer.json"))
    known = {"eos_token": {"content": "<end>"}, "chat_template": template, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(known))
    return folder


def calling(n: int) -> Any:
    call = {"id": "1", "function": {"name": "refund", "arguments": {"order": n}}}
    answer = json.dumps([{"role": "assistant", "content": None, "tool_calls": [call]}])
    return example(n, f"q {n}", answer=answer, tools=json.dumps([{"type": "function", "function": {"name": "refund"}}]))


def version(root: Path, rows: list[Any], *configs: str) -> Path:
    return write(root, "all-training", {(name, "train"): rows for name in configs or ("sft",)}, FACTS).path


def test_lengths_are_those_of_the_rendered_rows(tmp_path: Path) -> None:
    """Role, words, end mark of each message, one token a word; longer rows than the model keeps are counted."""
    rows = [example(n, "word " * n) for n in range(1, 101)]  # `answer n` is two words
    found = fit(version(tmp_path / "v", rows), "sft", model(tmp_path / "m"), max_length=56)
    assert (found.rows, found.longest, found.median, found.cut) == (100, 106, 56, 50)
    assert found.findings == ()
    untold = fit(version(tmp_path / "v", rows), "sft", model(tmp_path / "n", None), max_length=1000)
    assert (untold.longest, untold.template, untold.cut) == (102, False, 0)
    assert "no chat template" in untold.findings[0]


@pytest.mark.parametrize("config", ["sft", "completion", "preference", "kto"])
def test_every_form_is_measured_whole(tmp_path: Path, config: str) -> None:
    """The prompt with its answer, whichever columns they lie in."""
    found = fit(version(tmp_path / "v", [pair(1)], "sft", config), config, model(tmp_path / "m"), 100)
    assert found.longest in {8, 7}  # the bad answer of a pair is one word
    assert found.rows == (2 if config == "kto" else 1)


def test_a_template_that_drops_tools_is_named(tmp_path: Path) -> None:
    """And one that says them all is not: text of the tools, of calls, their arguments, their results."""
    rows = [calling(1)]
    dropping = fit(version(tmp_path / "v", rows), "sft", model(tmp_path / "m"), 100)
    assert [finding.split(":")[0] for finding in dropping.findings] == [
        "the template drops the tools that could be called",
        "the template drops calls of tools",
        "the template drops arguments of calls",
    ]
    assert fit(version(tmp_path / "v", rows), "sft", model(tmp_path / "n", CALLS), 100).findings == ()


def test_a_template_that_cannot_render_a_row_is_named_and_measured_without(tmp_path: Path) -> None:
    """A call without content is what many templates stop at."""
    strict = "{% for m in messages %}{{ m['role'] }} {{ m['content'] + ' ' }}{% endfor %}"
    found = fit(version(tmp_path / "v", [calling(1), example(2, "q")]), "sft", model(tmp_path / "m", strict), 100)
    assert "cannot render 1 rows" in found.findings[0]
    refusing = "{{ raise_exception('no system role') }}"
    found = fit(version(tmp_path / "v", [example(2, "q")]), "sft", model(tmp_path / "n", refusing), 100)
    assert "no system role" in " ".join(found.findings)


def test_a_template_reaches_nothing_outside(tmp_path: Path) -> None:
    """It comes with a model from somewhere: it is rendered in a sandbox."""
    mark = tmp_path / "mark"
    run = f"cycler.__init__.__globals__.os.system('touch {mark}')"
    evil = f"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}}{{{{ {run} }}}}"
    found = fit(version(tmp_path / "v", [example(1, "q")]), "sft", model(tmp_path / "m", evil), 100)
    assert any("cannot render" in finding for finding in found.findings)
    assert not mark.exists()


def test_the_card_counts_rows_that_will_be_cut(tmp_path: Path) -> None:
    """By the tokenizer of the settings, and what its template drops; one that cannot be read costs no build."""
    rows = [example(n, "word " * n) for n in range(1, 101)]
    how = CurateSettings(tokenizer=str(model(tmp_path / "m", "{{ messages[0]['content'] }}")), max_length=56)
    parts: Any = {("sft", "train"): rows}

    written = write(tmp_path / "v", "all-training", parts, FACTS, measure=partial(_lengths, how))
    unread = write(
        tmp_path / "u", "all-training", parts, FACTS,
        measure=partial(_lengths, msgspec.structs.replace(how, tokenizer="/no_where")),
    )  # fmt: skip

    card = (written.path / "README.md").read_text()
    assert "| **Rows of more than 56, which a trainer cuts or drops** | 44 |" in card
    assert "drops assistant messages" in card
    assert written.manifest["lengths"]["longest"] == 100
    assert "Not counted: /no\\_where" in (unread.path / "README.md").read_text()
    assert unread.version == written.version, "what is counted does not name the rows"


def test_what_is_no_tokenizer_is_said(tmp_path: Path) -> None:
    """An empty folder, a broken file, a template that is none, a config without rows."""
    rows = version(tmp_path / "v", [example(1, "q")])
    (tmp_path / "empty").mkdir()
    for folder, config, said in (
        (tmp_path / "empty", "sft", "no tokenizer that can be read"),
        (model(tmp_path / "m", "{% for %}"), "sft", "template of .* cannot be read"),
        (model(tmp_path / "n"), "kto", "has no rows of 'kto'"),
    ):
        with pytest.raises(UsageError, match=said):
            fit(rows, config, folder, 100)


@pytest.mark.parametrize("wrong", ["{{ 1 // 0 }}", "{{ messages[0].content * 10 ** 40 }}", "{{ ''.join([1]) }}"])
def test_whatever_goes_wrong_in_a_template_is_a_finding(tmp_path: Path, wrong: str) -> None:
    """A template is a stranger's program: no error of its own stops a build."""
    found = fit(version(tmp_path / "v", [example(1, "one")]), "sft", model(tmp_path / "m", wrong), 99)

    assert found.findings[0] == "the template cannot render 1 rows: a trainer stops there"
    assert found.longest == 3


def test_a_build_that_teaches_nothing_yet_is_not_stopped_by_its_tokenizer(tmp_path: Path) -> None:
    """An eval set alone: no row has a length, and the card says so."""
    empty = version(tmp_path / "v", [])
    how = CurateSettings(tokenizer=str(model(tmp_path / "m")))

    assert "no rows of 'sft'" in _lengths(how, empty)["lengths"]["problem"]


@pytest.mark.parametrize("config", ["[]", '"text"', '{"chat_template": ["text"]}', "[" * 100_000])
def test_a_config_of_another_shape_is_said(tmp_path: Path, config: str) -> None:
    """A model's folder comes from anywhere: what it holds is no fault of the build."""
    folder = model(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text(config)
    how = CurateSettings(tokenizer=str(folder))

    assert "cannot be read" in _lengths(how, version(tmp_path / "v", [example(1, "one")]))["lengths"]["problem"]
