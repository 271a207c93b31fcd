"""``headrace demo``: the whole loop, with every step's evidence; on real flights, or for a prompt."""

from __future__ import annotations

import signal
from shlex import quote
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from headrace.app.composition import open_app
from headrace.app.credentials import sign_in_link
from headrace.app.demos.flights import Demonstration
from headrace.app.demos.server import AUTHOR, DemoReport, settings_of
from headrace.app.demos.support import PromptDemonstration, Upstream
from headrace.cli.session import Json, print_json, say
from headrace.cli.sign_in import command_for
from headrace.core.errors import InvalidInput
from headrace.core.settings import read_settings

app = typer.Typer(add_completion=False)
_PIPED_COLUMNS = 160


Once = Annotated[bool, typer.Option("--once", help="End when the loop is closed.")]
Port = Annotated[int, typer.Option(min=1024, max=65535, help="Port of the demo's server.")]


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    once: Once = False,
    port: Port = 8000,
    days: Annotated[int, typer.Option(min=14, max=245, help="Days of traffic from 1 May.")] = 123,
    as_json: Json = False,
) -> None:
    """The whole loop on real flights of 2013, or for a prompt.

    Without a command: flights, trained on January to April, then answered, watched and retrained from May on.
    """
    if context.invoked_subcommand is not None:
        return
    with _bar() as bar, Demonstration(port=port, days=days, once=once, tell=Teller(bar)) as demonstration:
        report = demonstration.run()
    _show(report, as_json=as_json)
    if not once:
        _wait(report, as_json=as_json)


@app.command()
def llm(
    once: Once = False,
    port: Port = 8000,
    upstream: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A real endpoint instead of the scripted one, up to /v1."),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The model to ask there.")] = None,
    as_json: Json = False,
) -> None:
    """Four versions of a prompt: live, blocked by a gate, rolled out, rolled back on what users say.

    The model behind it is scripted, unless --upstream and --model name another, whose key is the variable
    OPENAI_API_KEY.
    """
    if (upstream is None) != (model is None):
        raise InvalidInput("A real endpoint needs both: --upstream URL and --model NAME.")
    asked = None if upstream is None or model is None else Upstream(upstream, model)
    with PromptDemonstration(port=port, upstream=asked, tell=(teller := Teller(_bar()))) as demonstration:
        with teller.bar:
            report = demonstration.run()
        _show(report, as_json=as_json)
        if not once:
            _wait(report, as_json=as_json)


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip


def _show(report: DemoReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report.summary)
    else:
        _print(report)


def _wait(report: DemoReport, *, as_json: bool) -> None:
    """Leave the server up until somebody interrupts."""
    server = report.server
    if server is None:
        return
    # The link that the server printed when it began may be too old by now.
    with open_app(settings_of(read_settings(), report.home)) as app:
        link = sign_in_link(app, app.identities.resolve(AUTHOR))
    say(f"\nThe server is up at {server.url} - sign in: {link}", err=as_json, lines=True)
    say(f"It is good once, for ten minutes. A new one: {command_for(str(report.home), AUTHOR)}", err=as_json)
    say("Ctrl-C ends it. To look at it again then:", err=as_json)
    say(
        f"HEADRACE_HOME={quote(str(report.home))} HEADRACE_USER={AUTHOR} headrace up", err=as_json, lines=True
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    server.wait()


class Teller:
    """Shows what a demonstration says as progress bars; in a file as lines: when a step begins, at each
    further tenth of it, and when it ends.

    Example::

        tell = Teller(bar)
        tell("replay", "7 May 2013", 0.3)
    """

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self._tasks: dict[str, Any] = {}
        self._tenths: dict[str, int] = {}

    def __call__(self, step: str, note: str = "", share: float | None = None) -> None:
        """One line per step; ``share`` between 0 and 1 where it is known."""
        tenth = int((share or 0.0) * 10)
        if self.bar.disable and (tenth > self._tenths.get(step, -1) or share == 1.0):
            say(f"{step}: {note}", err=True)
            self._tenths[step] = tenth
        if step not in self._tasks:
            self._tasks[step] = self.bar.add_task(step, total=1.0, note=note)
        self.bar.update(self._tasks[step], completed=share or 0.0, note=note)


def _print(report: DemoReport) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED_COLUMNS)  # a file has no edge to wrap at
    table = Table("STEP", "WHAT HAPPENED", "EVIDENCE", box=None, pad_edge=False, header_style="bold")
    for line in report.lines:
        table.add_row(line.step, line.what, line.evidence)
    console.print(table)
    console.print(f"\nKept in {report.home}")
