"""`flywheel gate`: a verdict for continuous integration, which records nothing, and the gate's own test.

Exit codes: 0 promote, 1 block, 2 inconclusive; whatever goes wrong is 3 (`flows/cli.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.shared import AsJson, Parameters, PromptVersion, named, print_json, settings_of
from flows.context import lake_of
from flows.evaluate import report as evaluation_report
from flows.evaluate.compare import Paired, pair
from flows.evaluate.plan import plan_of
from flows.evaluate.reviewing import asking_of
from flows.evaluate.sampled import View, view_of
from flows.evaluate.selftest import flip_rates
from flows.evaluate.stage import measure, newest
from flows.evaluations import evaluation_of, scores_of
from flows.names import cluster_names
from flows.promote.gate import decide, findings
from flows.promote.report import junit, markdown
from flows.terminal import Terminal
from schemas.errors import UsageError
from schemas.records import Comparison, content_hash
from schemas.settings import Settings
from streams.lake import Lake

EXIT = {"promote": 0, "block": 1, "inconclusive": 2}
app = typer.Typer(
    help="Verdict on a candidate, for continuous integration: 0 promote, 1 block, 2 inconclusive, 3 error."
)


@app.callback(invoke_without_command=True)
def gate_command(
    context: typer.Context,
    candidate: Annotated[str, typer.Option(help="Id of a registered candidate, or MODEL@URL.")] = "",
    champion: Annotated[str, typer.Option(help="The same; default: who serves.")] = "",
    parameters: Parameters = "{}",
    prompt_version: PromptVersion = None,
    champion_parameters: Annotated[str, typer.Option(help="The same of --champion MODEL@URL.")] = "{}",
    champion_prompt_version: Annotated[str | None, typer.Option(help="The same of --champion MODEL@URL.")] = None,
    dataset: Annotated[str, typer.Option(help="Folder of an eval set; default: the one that decides about it.")] = "",
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write a Markdown summary here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a candidate against a champion and say promote (0), block (1), inconclusive (2) or fail (3)."""
    if context.invoked_subcommand:
        return
    settings = settings_of(context)
    lake = lake_of(settings)
    if not candidate:
        raise UsageError("--candidate is missing: the id of a registered candidate, or MODEL@URL")
    wanted = named(settings, candidate, prompt_version, parameters)
    against = named(settings, champion, champion_prompt_version, champion_parameters)
    plan = plan_of(lake, settings, wanted, against, dataset)
    name = content_hash([plan.candidate, plan.champion, plan.eval_set.version])[:32]
    _, comparison = measure(lake, plan, settings, name)
    verdict = decide(comparison, settings.gate)
    names = cluster_names(lake, settings.application)
    said = markdown(verdict, plan.candidate, plan.champion, comparison.measured_on, names)
    text = f"{said}\n{evaluation_report.markdown(comparison, names)}\n"
    if junit_file:
        junit_file.write_text(junit(findings(comparison, settings.gate), comparison.measured_on))
    if markdown_file:
        markdown_file.write_text(text)
    if as_json:
        print_json({"verdict": verdict, "comparison": comparison})
    else:
        Terminal().markdown(text)
    raise typer.Exit(EXIT[verdict.verdict])


@app.command("selftest")
def selftest(
    context: typer.Context,
    evaluation: Annotated[str, typer.Option(help="Id of a finished evaluation; default: the newest.")] = "",
    repeats: Annotated[int, typer.Option(min=1, max=100_000, help="How many A/A comparisons.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the coins that deal the answers anew.")] = 1,
    as_json: AsJson = False,
) -> None:
    """How often the configured gate errs between two equal models on this eval set. Asks no model anything."""
    settings = settings_of(context)
    lake = lake_of(settings)
    name = evaluation or newest(lake, settings.application)
    comparison = evaluation_of(lake, settings.application, name).comparison
    rates = flip_rates(_about(lake, settings, comparison), comparison, settings.gate, decide, repeats, seed)
    if as_json:
        print_json(rates)
        return
    terminal = Terminal()
    rows = [(verdict, f"{rate:.3f}") for verdict, rate in rates.items()]
    title = f"{repeats} A/A comparisons of evaluation {name} on eval set {comparison.measured_on}"
    terminal.table(("verdict", "share of A/A comparisons"), rows, title=title)
    errors = rates["block"] + (rates["promote"] if settings.gate.policy == "better" else 0)
    terminal.say(f"wrong in {errors:.1%}; gate.alpha allows {settings.gate.alpha:.1%}")


def _about(lake: Lake, settings: Settings, comparison: Comparison) -> Paired | View:
    """What an evaluation's verdict rests on: its scores, or the reviews of its disagreements."""
    if comparison.sampled is None:
        return pair(scores_of(lake, comparison.evaluation_id))
    return view_of(*asking_of(lake, settings, comparison))
