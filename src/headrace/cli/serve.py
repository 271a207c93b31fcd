"""``headrace serve``: what a model is asked for beside the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.app.dashboards import write_dashboards
from headrace.app.overviews.active import export_embedded
from headrace.cli import queue
from headrace.cli.batch import batch
from headrace.cli.explanation import explain
from headrace.cli.levels import level
from headrace.cli.load_test import load
from headrace.cli.session import As, Json, print_json, say, session

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Score tables, explain, test under load, export, queue."
)


@app.callback()
def serve() -> None:
    """Score tables, explain, test under load, export, queue."""


app.command("test")(load)
app.command("level")(level)
app.command("batch")(batch)
app.add_typer(queue.app, name="queue")
app.command("explain")(explain)


@app.command("dashboard")
def dashboard(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Made where it is missing.")],
    as_json: Json = False,
) -> None:
    """Write a Grafana dashboard, and alert rules and scrape settings for Prometheus."""
    written = write_dashboards(to)
    if as_json:
        print_json({"written": [str(path) for path in written]})
    else:
        for path in written:
            say(f"{path}")


@app.command("export")
def export(
    model: Annotated[str, typer.Argument(metavar="PROJECT[@live|@VERSION]", help="Such as cars or cars@3.")],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A folder that is not there yet.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Write a model as a folder that answers in a program of your own, without Headrace."""
    with session(as_name) as s:
        written = export_embedded(s.app, s.me, model, to)
    if as_json:
        print_json({"model": model, "folder": str(written)})
    else:
        say(f"{model} is in {written}. Put the folder on the path of a program, and there:")
        typer.echo("  from headrace_model import load")
        say(f"  load({str(written)!r}).predict({{...}})")
