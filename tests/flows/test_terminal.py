"""What a command prints where nobody looks: in a pipe."""

from __future__ import annotations

import io

from flows.terminal import Terminal


def test_a_rule_in_a_pipe_is_as_wide_as_a_page() -> None:
    """A pipe has no width; a line across it would be thousands of characters long. Its title is only text."""
    out = io.StringIO()

    Terminal(file=out).rule("Turn 1: [bold]bot-1[/bold] serves")

    (line,) = out.getvalue().splitlines()
    assert len(line) == 120
    assert " Turn 1: [bold]bot-1[/bold] serves " in line
