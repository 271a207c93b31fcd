"""What each input contributed to a recorded answer."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.answers.explanations import Explainers, explain_answer
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.record import Contributions, Explanation

_BAR = 24


def explain(
    answer: Annotated[
        str,
        typer.Argument(metavar="ANSWER_ID", help="The 'id' that came with the answer, or a row's 'subject'."),
    ],
    project: Annotated[str | None, typer.Option(help="Whose answer it is; spares the search.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Say what each input contributed to a recorded answer."""
    with session(as_name) as s:
        found = explain_answer(s.app, Explainers(s.app), s.me, answer, project)
    if as_json:
        print_json(found)
        return
    for index, row in enumerate(found.rows):
        if len(found.rows) > 1:
            say(f"Row {index}")
        _print_row(found, row)


def _print_row(found: Explanation, row: Contributions) -> None:
    """The largest contribution first, each with a bar."""
    what = found.scale.replace("_", " ") + ("" if row.of is None else f" of {row.of}")
    say(f"{what}: {row.value:.6g}, where {found.background_rows} training rows have {row.base:.6g}")
    ordered = sorted(row.contributions.items(), key=lambda one: -abs(one[1]))
    most = max((abs(value) for _, value in ordered), default=0.0) or 1.0
    errors = row.standard_errors
    print_table(
        ("INPUT", "CONTRIBUTION", *(() if errors is None else ("STANDARD ERROR",)), ""),
        [
            (
                name,
                f"{value:+.6g}",
                *(() if errors is None else (f"{errors[name]:.2g}",)),
                ("+" if value > 0 else "-") * round(_BAR * abs(value) / most),
            )
            for name, value in ordered
        ],
        empty="The model has no inputs.",
    )
    if row.confidence is not None:
        say(f"Confidence: {row.confidence:.1%}")
    if row.fidelity is not None:
        say(f"The local model explains {row.fidelity:.0%} of how answers vary around this row.")
    if row.path is not None:
        say("Same answer for every row with " + "; ".join(condition.text for condition in row.path) + ".")
