"""Code of a person's own, named in the settings: loaded on purpose only, held to its protocol, part of a run's id."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from flows import embed
from flows.cluster.stage import cluster
from flows.curate.folder.own import kinds_of
from flows.curate.stage import curate
from flows.evaluate.scorers.protocol import Mark
from flows.evaluate.scorers.registry import extensions, scorer_of
from flows.evaluate.stage import evaluate
from flows.extend import fingerprint
from flows.redact.own import own_recognisers
from flows.run import runs
from flows.testing.bench import Bench
from flows.testing.endpoint import Endpoint
from flows.testing.events import feedback, interaction
from flows.testing.scoring import case, marks
from flows.testing.world import AS_OF, World
from flows.turn import turn
from flows.versions import versions
from schemas.errors import ExtensionError, SettingsError
from schemas.secrets import Secret
from schemas.settings import EvaluateSettings
from streams.lake import Lake

Write = Callable[[str], str]
SCORER = """
    from flows.evaluate.scorers.protocol import Each, Mark
    from flows.extend import scorer
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that can be imported, and gives its name; a new name each time."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def write(source: str) -> str:
        name = f"own_{len(list(folder.iterdir()))}_{tmp_path.name}"
        (folder / f"{name}.py").write_text(dedent(source))
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


def scoring(reference: str, **options: object) -> EvaluateSettings:
    return EvaluateSettings(scorer=reference, scorer_options=options, eval_set="all")


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("polite:", "is not `module:name`"),
        (":polite", "is not `module:name`"),
        ("my module:polite", "is not `module:name`"),
        ("../module:polite", "is not `module:name`"),
        ("a:b:c", "is not `module:name`"),
        ("моё:polite", "is not `module:name`"),
        ("no_such_module_at_all:polite", "there is no module 'no_such_module_at_all'; install its package"),
        ("json.no_such_part:polite", "there is no module 'json.no_such_part'"),
        ("json:polite", "the module 'json' has no 'polite'"),
        ("json:dumps", "is not marked as a scorer, and nothing else is called"),
        ("os:system", "is not marked as a scorer, and nothing else is called"),
        ("subprocess:Popen", "is not marked as a scorer, and nothing else is called"),
    ],
)
def test_a_reference_that_cannot_be_used_is_a_sentence(reference: str, says: str) -> None:
    """It names the setting and what was written there, says what is wrong, and calls nothing."""
    with pytest.raises(SettingsError) as caught:
        scorer_of(scoring(reference, command="touch /nowhere", args="true"))

    assert str(caught.value).startswith(f"evaluate.scorer {reference!r}")
    assert says in str(caught.value)


def test_every_setting_names_itself_in_its_errors() -> None:
    """The four settings that name code, each with a name that leads nowhere."""
    for setting, use in (
        ("evaluate.scorer", lambda: scorer_of(scoring("nowhere:x"))),
        ("cluster.embedder", lambda: embed.load("nowhere:x")),
        ("curate.recognise_with", lambda: own_recognisers(["nowhere:x"])),
        ("curate.kinds", lambda: kinds_of(["nowhere:x"])),
    ):
        with pytest.raises(SettingsError, match=f"^{setting} 'nowhere:x': there is no module"):
            use()


@pytest.mark.parametrize("top", ["import no_such_part", "1 / 0", "import sys; sys.exit(1)", "this is no Python"])
def test_a_module_that_cannot_be_imported_is_a_sentence(module: Write, top: str) -> None:
    """Whatever stands at its top."""
    name = module(top)

    with pytest.raises(SettingsError, match=f"importing '{name}' failed with"):
        scorer_of(scoring(f"{name}:brief"))


def test_a_colon_alone_runs_nothing(module: Write, tmp_path: Path) -> None:
    """A served model's name, a pattern and a rubric may look like a reference: nothing is imported for them."""
    touched = tmp_path / "touched"
    name = module(f"open({str(touched)!r}, 'w')")

    embed.load(f"{name}:latest", "http://127.0.0.1:1/v1")
    assert embed.code_of(f"{name}:latest", "http://127.0.0.1:1/v1") == ""
    how = scoring("pattern", pattern=f"{name}:latest")
    assert extensions(how) == ""
    assert marks(scorer_of(how), [case(f"{name}:latest")]) == [Mark(1.0)]
    assert not touched.exists()


def test_a_scorer_of_ones_own_decides_an_evaluation(module: Write, bench: Bench) -> None:
    """Its name and marks stand in the lake; options and settings are its arguments."""
    name = module(
        SCORER
        + """
    @scorer
    def loud(letter, settings):
        assert settings.samples == 1
        return Each("loud", lambda item, answer: Mark(float(letter in answer.text)))
    """
    )
    bench.settings = msgspec.structs.replace(bench.settings, evaluate=scoring(f"{name}:loud", letter="!"))
    bench.freeze(40)
    bench.enlist()

    summary = evaluate(bench.lake, bench.settings, bench.as_of)

    assert summary.scores == {"candidate": 1.0, "champion": 0.5}


def test_other_code_is_another_evaluation(module: Write, bench: Bench, tmp_path: Path) -> None:
    """The same name with the same options: one run as long as the source is the same, and none longer."""
    source = (
        SCORER
        + """
    @scorer
    def loud():
        return Each("loud", lambda item, answer: Mark(0.0))
    """
    )
    name = module(source)
    bench.settings = msgspec.structs.replace(bench.settings, evaluate=scoring(f"{name}:loud"))
    bench.freeze(40)
    bench.enlist()
    first = evaluate(bench.lake, bench.settings, bench.as_of).evaluation_id
    again = evaluate(bench.lake, bench.settings, bench.as_of).evaluation_id
    before = fingerprint(f"{name}:loud")

    (tmp_path / "modules" / f"{name}.py").write_text(dedent(source.replace("0.0", "1.0")))
    del sys.modules[name]
    other = evaluate(bench.lake, bench.settings, bench.as_of)

    assert first == again
    assert other.evaluation_id != first
    assert other.scores == {"candidate": 1.0, "champion": 1.0}
    assert fingerprint(f"{name}:loud") != before


def test_code_beside_an_extension_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a package all sources count; an installed one brings its version too."""
    package = tmp_path / f"own_package_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "scoring.py").write_text("polite = 1")
    (package / "words.py").write_text("PLEASE = 'please'")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = fingerprint(f"{package.name}.scoring:polite")

    (package / "words.py").write_text("PLEASE = 'bitte'")

    assert fingerprint(f"{package.name}.scoring:polite") != before
    assert fingerprint("msgspec.json:decode").startswith(f"msgspec.json:decode@{msgspec.__version__}+")
    assert fingerprint("normalised_match", "wordllama") == ""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("[]", "gives 0 marks for 1 cases"),
        ("[0.5]", "gives item item-1 a float for a mark"),
        ("[Mark(1.5)]", "the score 1.5: scores go from 0 to 1"),
        ("[Mark(-0.1)]", "the score -0.1"),
        ("[Mark(float('nan'))]", "the score nan"),
        ("[Mark(None)]", "no score for None: the reason is a short name"),
        ("[Mark(None, 'It was too long, sorry!')]", "the reason is a short name"),
        ("[Mark(1.0, 'no_reference')]", "a score and a reason why there is none"),
        ("1 / 0", "ZeroDivisionError"),
        ("None", "TypeError"),
    ],
)
def test_a_mark_that_is_none_decides_nothing(module: Write, given: str, says: str) -> None:
    """Too few, too high, no number, no reason: the evaluation ends, and names the scorer."""
    name = module(
        SCORER
        + f"""
    @scorer
    class Odd:
        name, asks = "odd", False

        async def score(self, cases, ask):
            return {given}
    """
    )

    with pytest.raises(ExtensionError) as caught:
        marks(scorer_of(scoring(f"{name}:Odd")), [case("text")])

    assert f"{name}:Odd" in str(caught.value)
    assert says in str(caught.value)


def test_what_fails_inside_names_its_line(module: Write) -> None:
    """The author finds it without a traceback."""
    name = module(
        SCORER
        + """
    @scorer
    def odd():
        raise ValueError("no words")
    """
    )

    with pytest.raises(ExtensionError, match=rf"{name}:odd failed at .*{name}\.py:\d+: ValueError: no words"):
        scorer_of(scoring(f"{name}:odd"))


def test_what_is_no_scorer_says_what_it_lacks(module: Write) -> None:
    """Marked as one, made of something else; and options that it does not take."""
    name = module(
        SCORER
        + """
    @scorer
    def half():
        class Half:
            name = "half"
        return Half()
    """
    )

    with pytest.raises(ExtensionError, match="gives a Half, which lacks `asks` and `score`"):
        scorer_of(scoring(f"{name}:half"))
    with pytest.raises(SettingsError, match=f"evaluate.scorer_options of {name}:half"):
        scorer_of(scoring(f"{name}:half", words=3))


def test_a_scorer_that_asks_a_model_is_a_judge(module: Write) -> None:
    """Its scores are opinions by their name; it asks through the runner alone."""
    name = module("""
    from flows.evaluate.endpoint import make_request
    from flows.evaluate.scorers.protocol import Mark
    from flows.extend import scorer
    from schemas.records import make_candidate

    @scorer
    class Kind:
        name, asks = "kind", True

        def __init__(self, settings):
            self._settings = settings
            self._judge = make_candidate("judge-1", "http://127.0.0.1:1/v1")

        async def score(self, cases, ask):
            put = [
                make_request(self._judge, [{"role": "user", "content": case.answer.text}], settings=self._settings)
                for case in cases
            ]
            return [Mark(float(answer.text == "kind")) for answer in await ask(put)]
    """)
    judge = scorer_of(scoring(f"{name}:Kind"))

    said = marks(judge, [case("please"), case("no")], lambda body: "kind" if "please" in str(body) else "rude")

    assert (judge.name, judge.asks) == ("judge:kind", True)
    assert said == [Mark(1.0), Mark(0.0)]


EMBEDDER = """
    import numpy as np
    from flows.extend import embedder
"""


def test_vectors_of_ones_own_are_put_on_the_grid(module: Write) -> None:
    """Of unit length and exact, whatever they were; the id names whose they are; an empty text is zeros."""
    name = module(
        EMBEDDER
        + """
    @embedder
    class Lengths:
        id = "lengths-1"

        def embed(self, texts):
            return [[len(text), 2.0 * len(text)] for text in texts]
    """
    )

    own = embed.load(f"{name}:Lengths")

    rows = own.embed(["abc", ""])
    assert own.id == f"{name}:Lengths/lengths-1"
    assert rows.dtype == np.float32
    assert np.allclose(rows, [[0.447, 0.894], [0, 0]], atol=1e-3)
    assert np.array_equal(rows, np.rint(rows / embed.GRAIN) * embed.GRAIN)
    assert len(own.embed([])) == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("[1.0 for text in texts]", r"an array of shape \(2,\) for 2 texts"),
        ("[[1.0, 2.0]]", r"an array of shape \(1, 2\) for 2 texts"),
        ("[[] for text in texts]", r"an array of shape \(2, 0\) for 2 texts"),
        ("[[1.0], [1.0, 2.0]]", "ValueError"),
        ("[['a'], ['b']]", "ValueError"),
    ],
)
def test_what_is_no_vector_is_refused(module: Write, given: str, says: str) -> None:
    """One row of numbers a text, all of one length, or the run ends."""
    name = module(
        EMBEDDER
        + f"""
    @embedder
    class Odd:
        id = "odd"

        def embed(self, texts):
            return {given}
    """
    )

    with pytest.raises(ExtensionError, match=says):
        embed.load(f"{name}:Odd").embed(["a", "b"])


def test_other_code_of_an_embedder_is_another_cluster_run(module: Write, tmp_path: Path) -> None:
    """The same events, settings and time: the source decides."""
    source = (
        EMBEDDER
        + """
    @embedder
    class First:
        id = "first"

        def embed(self, texts):
            return [[1.0, len(text)] for text in texts]
    """
    )
    name, world = module(source), World(tmp_path / "home")
    options = msgspec.structs.replace(world.settings.cluster, embedder=f"{name}:First")
    world.settings = msgspec.structs.replace(world.settings, cluster=options)
    asked = [interaction(n) for n in range(8)]
    world.happened(*asked, *(feedback(n, about) for n, about in enumerate(asked)))
    ids = []
    for text in (source, source, source + "\n    # other\n"):
        (tmp_path / "modules" / f"{name}.py").write_text(dedent(text))
        sys.modules.pop(name, None)
        cluster(world.lake, world.settings, AS_OF)
        ids.append({run.run_id for run in runs(world.lake, "cluster", world.settings.application)})

    assert [len(seen) for seen in ids] == [1, 1, 2]


def test_other_code_of_a_kind_turns_the_wheel_again(module: Write, tmp_path: Path) -> None:
    """Without news a turn does nothing; with other code of what it uses it does."""
    source = KIND + "\n    own = kind()\n"
    name = module(source)
    world = World(tmp_path / "home", eval_share=0, kinds=(f"{name}:own",))
    asked = interaction(1)
    world.happened(asked, feedback(1, asked, "correction", text="better"))
    first, again = (turn(world.lake, world.settings, AS_OF + timedelta(hours=hour)) for hour in (0, 1))

    (tmp_path / "modules" / f"{name}.py").write_text(dedent(source.replace("a note", "another")))
    del sys.modules[name]
    other = turn(world.lake, world.settings, AS_OF + timedelta(hours=2))

    assert again["curate"] == first["curate"]
    assert len(runs(world.lake, "turn", world.settings.application)) == 2
    assert other["curate"]["training"]["version"] != first["curate"]["training"]["version"]


RECOGNISER = """
    import re
    from flows.redact.protocol import Span
    from flows.extend import recogniser
"""


@pytest.mark.parametrize(
    "span",
    ["Span(0, 0, 'word')", "Span(-1, 2, 'word')", "Span(0, 99, 'word')", "Span(0, 1, 'A Word')", "(0, 1, 'word')", "7"],
)
def test_a_span_that_is_none_ends_the_build_without_the_text(module: Write, span: str) -> None:
    """Outside of the text, empty, of no kind: named by its place, never by what stands there."""
    name = module(
        RECOGNISER
        + f"""
    @recogniser
    class Odd:
        def find(self, text):
            yield {span}
    """
    )
    (odd,) = own_recognisers([f"{name}:Odd"])

    with pytest.raises(ExtensionError, match="in a text of 6 characters") as caught:
        list(odd.find("secret"))

    assert "secret" not in str(caught.value)


def rows_of(world: World, kind: str) -> list[dict[str, object]]:
    return [
        row
        for path in world.settings.datasets_path.rglob(f"{kind}-*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]


def test_a_recogniser_of_ones_own_goes_before_ours(module: Write, tmp_path: Path) -> None:
    """Where both find something its span wins, and the card counts its kind."""
    name = module(
        RECOGNISER
        + r"""
    @recogniser
    class Members:
        def find(self, text):
            for match in re.finditer(r"\w+@club\.example", text):
                yield Span(*match.span(), "member")
    """
    )
    world = World(tmp_path / "home", eval_share=0, recognise_with=(f"{name}:Members",))
    asked = interaction(1, input_messages=[{"role": "user", "content": "ann@club.example and bob@post.example wait"}])
    world.happened(asked)
    world.judged({asked.id: "ok"})

    curate(world.lake, world.settings, AS_OF)

    (row,) = rows_of(world, "sft")
    assert row["messages"][0]["content"] == "<MEMBER_1> and <EMAIL_1> wait"  # type: ignore[index]


KIND = """
    from flows.curate.folder.shapes import Kind, Shaped

    def shape(examples):
        return Shaped(list(examples), {"messages": [(e.prompt, e.answer) for e in examples]}, {"note": NOTE})

    def kind(**fields):
        columns = {"messages": "chat", "note": "text"}
        given = dict(name="own", columns=columns, takes=lambda made: made.taught, shape=shape)
        return Kind(**{**given, **fields})

    NOTE = ["a note"]
"""


def build_with(module: Write, tmp_path: Path, source: str) -> World:
    name = module(KIND + source)
    world = World(tmp_path / "home", eval_share=0.5, salt=Secret("salt-0"), kinds=(f"{name}:own",))
    texts = ("Where is the parcel that I was promised?", "Kindly cancel my subscription")
    asked = [
        interaction(n, user_id=f"user-{n}", input_messages=[{"role": "user", "content": text}])
        for n, text in enumerate(texts)
    ]
    world.happened(*asked)
    world.judged({event.id: "ok" for event in asked})
    curate(world.lake, world.settings, AS_OF)
    return world


def test_a_kind_of_ones_own_is_written_beside_ours(module: Write, tmp_path: Path) -> None:
    """With the provenance of every row; an own kind has no say in what may be taught."""
    world = build_with(module, tmp_path, "\n    own = kind()\n")

    (own,) = rows_of(world, "own")
    (sft,) = rows_of(world, "sft")
    assert own["note"] == "a note"
    assert own["messages"] == sft["messages"]
    assert own["interaction_id"] == sft["interaction_id"]
    assert own["row_id"] != sft["row_id"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("own = 7", "is a int, not a Kind"),
        ("own = kind(name='sft')", "there is a kind 'sft' already"),
        ("own = kind(name='../up')", "must be a short name in small letters"),
        ("own = kind(split='../up')", "the split '../up' must be a short name"),
        ("own = kind(columns={'messages': 'chat', 'unit': 'text'})", "every kind has unit already"),
        (
            "own = kind(columns={'messages': 'chat', 'note': 'picture'})",
            "columns hold chat, text, flag, number or tools",
        ),
        ("own = kind(columns={'note': 'text'})", "a row needs a column of messages"),
    ],
)
def test_a_kind_that_cannot_be_written_is_refused_before_the_build(module: Write, source: str, says: str) -> None:
    """By its setting, with what is wrong."""
    name = module(KIND + f"\n    {source}\n")

    with pytest.raises(SettingsError, match=r"^curate\.kinds ") as caught:
        kinds_of([f"{name}:own"])

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("own = kind(takes=lambda made: made.eval)", "takes examples that are not on the train side"),
        ("own = kind(split='test', takes=lambda made: made.taught)", "takes examples that are not on the eval side"),
        ("NOTE = []\n    own = kind()", "gives 0 values of 'note' for 1 rows"),
        ("NOTE = [7]\n    own = kind()", "gives a int in 'note': text"),
        ("own = kind(columns={'messages': 'chat'})", "gives the columns ['messages', 'note'], not ['messages']"),
        ("own = kind(takes=lambda made: 1 / 0)", "ZeroDivisionError"),
    ],
)
def test_a_kind_that_breaks_its_promise_publishes_nothing(
    module: Write, tmp_path: Path, source: str, says: str
) -> None:
    """Above all it cannot teach what is asked."""
    with pytest.raises(ExtensionError) as caught:
        build_with(module, tmp_path, f"\n    {source}\n")

    assert says in str(caught.value)
    assert versions(World(tmp_path / "home").lake) == []


@pytest.fixture
def bench(lake: Lake, tmp_path: Path) -> Iterator[Bench]:
    """An application whose candidate knows every answer, loudly."""
    with Endpoint() as endpoint:
        endpoint.reply = Bench.answer
        yield Bench(lake, tmp_path / "home", EvaluateSettings(), endpoint)
