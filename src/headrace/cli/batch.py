"""``headrace serve batch``: a table is scored as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.app.answers.batch import BatchReport, Request, score_table
from headrace.cli.session import As, Json, print_json, say, session


def batch(
    project: Annotated[str, typer.Argument(help="Whose live release answers.")],
    source: Annotated[str, typer.Argument(help="A CSV or Parquet file, or snapshot:ID.")],
    to: Annotated[Path, typer.Option("--to", help="A new file, .parquet or .csv.")],
    release: Annotated[
        str | None, typer.Option(metavar="VERSION|ID", help="Another release that is or was live.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="SQL", help="Score the rows of this query over the table source.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Keep this column too; may be repeated.")
    ] = None,
    max_refused: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the rows that may go without an answer.")
    ] = 0.01,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that score.")] = 1,
    record: Annotated[
        bool, typer.Option(help="Put the answers on record, where monitoring sees them.")
    ] = True,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Score a table into a new file; an interrupted run goes on with the same command."""
    asked = Request(
        project=project,
        source=source,
        out=to,
        release=release,
        query=query,
        keep=keep or (),
        max_refused=max_refused,
        processes=processes,
        recorded=record,
    )
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    with session(as_name) as s, bar:
        task = bar.add_task("copying rows", total=None)

        def tell(done: int, in_all: int, refused: int) -> None:
            note = f"scoring, {refused} refused" if refused else "scoring"
            bar.update(task, completed=done, total=in_all, description=note)
            if not console.is_terminal and done < in_all:
                say(f"{note}: {done:,} of {in_all:,} rows", err=True)

        report = score_table(s.app, s.me, asked, tell=tell)
    if as_json:
        print_json(report)
    else:
        _print_batch(report)


def _print_batch(report: BatchReport) -> None:
    typer.echo(f"{report.n_rows - report.n_refused} of {report.n_rows} rows are answered in {report.out}")
    typer.echo(f"  by       {report.project}@{report.version}, release {report.release}")
    typer.echo(f"  source   {report.source}  {report.source_digest[:12]}")
    if report.n_refused:
        typer.echo(f"  refused  {report.n_refused}; the column 'refused' says why")
    seen = (
        "on record: monitoring sees them"
        if report.recorded
        else "not on record: monitoring does not see them"
    )
    typer.echo(f"  answers  {seen}")
