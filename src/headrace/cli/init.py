"""``headrace init``: a working project from a table."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headrace.app.starting import start_project
from headrace.cli.session import Json, print_json
from headrace.core.settings import read_settings

app = typer.Typer(add_completion=False)


class Template(StrEnum):
    """What kind of model the project is for."""

    supervised = "supervised"
    forecasting = "forecasting"


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the project and of its folder.")],
    data: Annotated[Path, typer.Option(help="CSV or Parquet file with the table.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    time: Annotated[str | None, typer.Option(help="Column that says when a row happened.")] = None,
    key: Annotated[str | None, typer.Option(help="Column that names the entity; labels join by it.")] = None,
    template: Annotated[Template, typer.Option(help="What kind of model.")] = Template.supervised,
    owner: Annotated[str | None, typer.Option(help="Who answers for it; default: you.")] = None,
    contact: Annotated[str | None, typer.Option(help="How to reach the owner.")] = None,
    as_json: Json = False,
) -> None:
    """Make a working project from a CSV or Parquet file.

    Column types, the task, the split, gates and monitors are inferred and written into headrace.yaml,
    where you can change them.
    """
    made = start_project(
        Path.cwd(),
        name=name,
        data=data,
        target=target,
        time=time,
        key=key,
        forecasting=template is Template.forecasting,
        owner=owner or read_settings().user,
        contact=contact,
    )
    if as_json:
        print_json(
            {"folder": str(made.folder), "task": made.task, "metric": made.metric, "notes": made.notes}
        )
        return
    typer.echo(f"Made {made.folder.name}/: {made.task} of {target!r}, judged by {made.metric}.")
    for note in made.notes:
        typer.echo(f"  {note}")
    typer.echo(f"Next: cd {made.folder.name} && headrace check && headrace run")
