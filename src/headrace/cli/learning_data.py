"""``headrace feedback draw | sign | sets | export``: what people have judged, to test on and to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.app.labels import preferences
from headrace.app.labels.preferences import Form
from headrace.app.llm import evaluation_sets
from headrace.app.llm.evaluation_sets import EvaluationSet
from headrace.cli.session import As, Json, print_json, print_table, say, session

Project = Annotated[str, typer.Argument(help="Name of the project.")]


def draw(
    project: Project,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file to make.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Make an evaluation set of what people have judged, and keep it as a version."""
    with session(as_name) as s:
        made = evaluation_sets.draw(s.app, s.me, project, file)
    _print(made, as_json=as_json)


def sign(
    project: Project,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Table with the questions and labels.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Keep, as you say, that people have given the labels of a table: a version of the evaluation set."""
    with session(as_name) as s:
        made = evaluation_sets.sign(s.app, s.me, project, file)
    _print(made, as_json=as_json)


def list_sets(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List the versions of evaluation sets whose labels people have given."""
    with session(as_name) as s:
        found = evaluation_sets.listed(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("VERSION", "ROWS", "SIGNED BY", "WHEN", "OUT OF", "DIGEST"),
        [
            (one.version, one.n_rows, one.by, f"{one.at:%Y-%m-%d %H:%M}", one.origin, one.digest[:12])
            for one in found
        ],
        empty=f"None yet. Sign one: headrace feedback sign {project} FILE",
    )


def export(
    project: Project,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines file to make.")],
    form: Annotated[Form, typer.Option("--format", help="sft, dpo or kto.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Write what people have said of answers as data to train on, masked, with where it comes from."""
    with session(as_name) as s:
        made = preferences.export(s.app, s.me, project, form, file)
    if as_json:
        print_json(made)
        return
    say(f"{made.n_lines:,} lines in {made.path}; where they come from is in {made.lineage}.")
    say(
        f"Left out: {made.n_repeated:,} that say the same, {made.n_tested:,} that the project is tested on. "
        f"Masked: {made.n_masked:,}."
    )


def _print(made: EvaluationSet, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    say(f"Version {made.version}: {made.n_rows:,} rows that people have labelled, signed by {made.by}.")
