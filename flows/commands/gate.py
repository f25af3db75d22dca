"""`flywheel gate`: a verdict for continuous integration, which records nothing, and the gate's own test.

Exit codes: 0 promote, 1 block, 2 inconclusive, 3 error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from typer.core import TyperGroup

from flows import evalset, ledger
from flows.commands.candidate import candidate_of
from flows.commands.shared import print_json
from flows.context import lake_of
from flows.evaluate import report as evaluation_report
from flows.evaluate.compare import pair
from flows.evaluate.items import of_folder, of_version
from flows.evaluate.selftest import flip_rates
from flows.evaluate.stage import Plan, comparison_of, measure, newest
from flows.promote import variants
from flows.promote.gate import decide, findings
from flows.promote.report import junit, markdown
from schemas.errors import FlywheelError, UsageError
from schemas.events import Candidate
from schemas.records import Score, content_hash
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.query import read

EXIT = {"promote": 0, "block": 1, "inconclusive": 2}
ERROR = 3
_WRONG_OPTION: type[Exception] = typer.BadParameter.__mro__[1]
"""`UsageError`, which typer takes from click or from its own copy of it, by version."""


class GateGroup(TyperGroup):
    """Answers a wrong option with exit code 3: the usual 2 would read as "inconclusive"."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ever, with our exit code on a wrong option."""
        try:
            return super().parse_args(ctx, args)
        except _WRONG_OPTION as error:
            error.exit_code = ERROR  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    help="Verdict on a candidate, for continuous integration: 0 promote, 1 block, 2 inconclusive, 3 error.",
    cls=GateGroup,
)


@app.callback(invoke_without_command=True)
def gate_command(
    context: typer.Context,
    candidate: Annotated[str, typer.Option(help="Id of a registered candidate, or MODEL@URL.")] = "",
    champion: Annotated[str, typer.Option(help="The same; default: who serves.")] = "",
    dataset: Annotated[str, typer.Option(help="Folder of an eval set; default: the one that decides about it.")] = "",
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write a Markdown summary here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict and comparison as one JSON object.")] = False,
) -> None:
    """Measure a candidate against a champion and say promote (0), block (1), inconclusive (2) or fail (3)."""
    if context.invoked_subcommand:
        return
    settings: Settings = context.obj
    try:
        lake = lake_of(settings)
        plan = _plan(lake, settings, candidate, champion, dataset)
        name = content_hash([plan.candidate, plan.champion, plan.eval_set.version])[:32]
        _, comparison = measure(lake, plan, settings, name)
        verdict = decide(comparison, settings.gate)
        said = markdown(verdict, plan.candidate, plan.champion, comparison.measured_on)
        text = f"{said}\n{evaluation_report.markdown(comparison)}\n"
        if junit_file:
            junit_file.write_text(junit(findings(comparison, settings.gate), comparison.measured_on))
        if markdown_file:
            markdown_file.write_text(text)
    except (FlywheelError, OSError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(ERROR) from error
    if as_json:
        print_json({"verdict": verdict, "comparison": comparison})
    else:
        Console().print(Markdown(text))
    raise typer.Exit(EXIT[verdict.verdict])


@app.command("selftest")
def selftest(
    context: typer.Context,
    evaluation: Annotated[str, typer.Option(help="Id of a finished evaluation; default: the newest.")] = "",
    repeats: Annotated[int, typer.Option(min=1, max=100_000, help="How many A/A comparisons.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the coins that deal the answers anew.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rates as one JSON object.")] = False,
) -> None:
    """How often the configured gate errs between two equal models on this eval set. Asks no model anything."""
    settings: Settings = context.obj
    lake = lake_of(settings)
    name = evaluation or newest(lake, settings.application)
    paired = pair(_scores(lake, name))
    comparison = comparison_of(lake, name)
    rates = flip_rates(paired, comparison, settings.gate, decide, repeats, seed)
    if as_json:
        print_json(rates)
        return
    table = Table("verdict", "share of A/A comparisons", title=f"{repeats} A/A comparisons of evaluation {name}")
    table.caption = f"on eval set {comparison.measured_on}"
    for verdict, rate in rates.items():
        table.add_row(verdict, f"{rate:.3f}")
    Console().print(table)
    errors = rates["block"] + (rates["promote"] if settings.gate.policy == "better" else 0)
    Console().print(f"wrong in {errors:.1%}; gate.alpha allows {settings.gate.alpha:.1%}", highlight=False)


@app.command("ab")
def ab(
    context: typer.Context,
    control: Annotated[str, typer.Option(help="Variant of the arm that is compared with; empty: no variant.")],
    treatment: Annotated[str, typer.Option(help="Variant of the other arm.")],
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Planned share of users in the treatment.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Whether live users of one variant fare better than those of another, by the newest cluster run's outcomes."""
    settings: Settings = context.obj
    found = variants.report(lake_of(settings), settings.application, control, treatment, settings.gate.alpha, share)
    if as_json:
        print_json(found)
        return
    difference, console = found.difference, Console(highlight=False, soft_wrap=True)
    for name, rate in ((control, difference.champion), (treatment, difference.candidate)):
        console.print(f"{name or 'no variant'}: {rate:.3f} good, {found.users[name]} users", markup=False)
    console.print(
        f"difference {difference.difference:+.3f} ({difference.low:+.3f} to {difference.high:+.3f}), "
        f"p better {difference.p_superior:.2g}, p worse {difference.p_harm:.2g}"
    )
    if found.mismatch_p is not None and found.mismatch_p < variants.MISMATCH:
        console.print(f"[bold red]the arms' sizes do not fit a share of {share}[/]: do not believe the difference")


def _plan(lake: Lake, settings: Settings, candidate: str, champion: str, dataset: str) -> Plan:
    if not candidate:
        raise UsageError("--candidate is missing: the id of a registered candidate, or MODEL@URL")
    registry = ledger.fold(lake, settings.application)
    serving = _who(champion, registry) if champion else registry.champion
    if serving is None:
        raise UsageError("nobody serves yet: name the model to compare with by --champion MODEL@URL")
    who = _who(candidate, registry)
    name = evalset.name_for(registry, settings, who.id)
    asked = of_folder(Path(dataset)) if dataset else of_version(evalset.find(lake, settings, name), settings)
    return Plan(who, serving, asked)


def _who(text: str, registry: ledger.Registry) -> Candidate:
    model, at, endpoint = text.rpartition("@")
    return candidate_of(model, endpoint, None, None, "{}") if at else registry.candidate(text)


def _scores(lake: Lake, evaluation_id: str) -> list[Score]:
    rows = [row for row in read(lake, "scores").to_pylist() if row["evaluation_id"] == evaluation_id]
    return [msgspec.convert(row, Score) for row in rows]
