"""``headrace llm playbook``: what could replace a live prompt, each tried on one evaluation set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from headrace.app.llm.playbook import report_of, run_playbook, table_of
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.projects.charter import load_project


def playbook(
    report: Annotated[Path | None, typer.Option(help="Markdown file to write the report to.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Try the alternatives of llm.playbook beside the live prompt of the project in this folder."""
    folder = Path.cwd()
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=as_json or not console.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def told(name: str, done: int, of: int) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=of)
        bar.update(tasks[name], completed=done)

    with session(as_name) as s, bar:
        found = run_playbook(s.app, s.me, load_project(folder), folder, told=told)
    if report is not None:
        report.write_text(report_of(found), encoding="utf-8")
    if as_json:
        print_json(found)
        return
    say(f"{found.project}, version {found.version}, on {found.n_rows} questions; loss: {found.metric}")
    print_table(
        (
            "ALTERNATIVE",
            "CHANGES",
            "STANDING",
            "LOSS",
            "DIFFERENCE",
            f"COST {found.currency}",
            "P50 MS",
            "P95 MS",
        ),
        table_of(found),
        empty="",
    )
    for one in found.tried:
        for why in one.failures:
            say(f"  {one.name}: {why}")
    say(
        f"{'Release ' + found.advice.name if found.advice.name else 'Keep what is live'}: {found.advice.why}."
    )
    for kind, how in found.left.items():
        say(f"  not tried: {kind.replace('_', '-'):<10} {how}")
    if found.advice.name:
        say("Next: write it into the prompt, then: headrace run")
