"""``headrace demo``: the whole loop on real flights, with every step's evidence."""

from __future__ import annotations

import signal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from headrace.app.demo import Demonstration, DemoReport
from headrace.cli.session import Json, print_json, say

app = typer.Typer(add_completion=False)
_PIPED_COLUMNS = 160


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the loop is closed.")] = False,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of the demo's server.")] = 8000,
    days: Annotated[int, typer.Option(min=14, max=245, help="Days of traffic from 1 May.")] = 123,
    as_json: Json = False,
) -> None:
    """Flights of 2013: trained on January to April, then answered, watched and retrained from May on."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    with bar, Demonstration(port=port, days=days, once=once, tell=_Teller(bar)) as demonstration:
        report = demonstration.run()
    if as_json:
        print_json(report.summary)
    else:
        _print(report)
    if not once and report.server is not None:
        server = report.server
        say(f"\nThe server is up at {server.url} - sign in: {server.link}", err=as_json, lines=True)
        typer.echo("Ctrl-C ends it.", err=as_json)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        report.server.wait()


class _Teller:
    """Shows what the demonstration says as progress bars; in a file, when a step begins and when it ends."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, Any] = {}

    def __call__(self, step: str, note: str = "", share: float | None = None) -> None:
        """One line per step; ``share`` between 0 and 1 where it is known."""
        if self._bar.disable and (step not in self._tasks or share == 1.0):
            say(f"{step}: {note}", err=True)
        if step not in self._tasks:
            self._tasks[step] = self._bar.add_task(step, total=1.0, note=note)
        self._bar.update(self._tasks[step], completed=share or 0.0, note=note)


def _print(report: DemoReport) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED_COLUMNS)  # a file has no edge to wrap at
    table = Table("STEP", "WHAT HAPPENED", "EVIDENCE", box=None, pad_edge=False, header_style="bold")
    for line in report.lines:
        table.add_row(line.step, line.what, line.evidence)
    console.print(table)
    console.print(f"\nKept in {report.home}")
