"""`flywheel variant`: whether live users of one variant fare better than those of another."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.promote import variants
from flows.terminal import Terminal
from flows.visible import one_line

app = typer.Typer(help="Variants that serve side by side: compare how their users fare.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `compare` a command of a group, though it is the only one."""


@app.command("compare")
def compare(
    context: typer.Context,
    control: Annotated[str, typer.Option(help="Variant of the arm that is compared with; empty: no variant.")],
    treatment: Annotated[str, typer.Option(help="Variant of the other arm.")],
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Planned share of users in the treatment.")] = None,
    as_json: AsJson = False,
) -> None:
    """Whether live users of one variant fare better than those of another, by the newest cluster run's outcomes."""
    settings = settings_of(context)
    report = variants.report(lake_of(settings), settings.application, control, treatment, settings.gate.alpha, share)
    if as_json:
        print_json(report)
        return
    difference, terminal = report.difference, Terminal()
    for name, rate in ((control, difference.champion), (treatment, difference.candidate)):
        terminal.say(f"{one_line(name) or 'no variant'}: {rate:.3f} good, {report.users[name]} users")
    terminal.say(
        f"difference {difference.difference:+.3f} ({difference.low:+.3f} to {difference.high:+.3f}), "
        f"p better {difference.p_superior:.2g}, p worse {difference.p_harm:.2g}"
    )
    if report.mismatch_p is not None and report.mismatch_p < variants.MISMATCH:
        terminal.say((f"the arms' sizes do not fit a share of {share}", "bold red"), ": do not believe the difference")
