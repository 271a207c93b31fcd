"""The entry point: which commands there are, loaded when used, and what each error exits with."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import tempfile
import threading
import traceback
from collections import deque
from difflib import get_close_matches
from importlib import import_module, metadata
from typing import Any, NamedTuple, NoReturn

import typer
from typer.core import TyperGroup

from headrace.cli.exits import DONE, OUR_FAULT, exit_code
from headrace.core.errors import HeadraceError, InternalError, WaitsForPerson
from headrace.core.text import printable


class Entry(NamedTuple):
    """Where a command lives, and its line in ``headrace --help``."""

    module: str
    help: str


COMMANDS = {
    "init": Entry("headrace.cli.init", "Make a working project from a CSV or Parquet file."),
    "check": Entry("headrace.cli.check", "The flight check: what is missing before going live."),
    "run": Entry("headrace.cli.run", "Build, prove and hand over to the release."),
    "up": Entry("headrace.cli.up", "Serve everything on one port."),
    "demo": Entry("headrace.cli.demo", "The whole loop on real flights of 2013, or for a prompt."),
    "status": Entry("headrace.cli.status", "What is live, what waits, what is under way."),
    "doctor": Entry("headrace.cli.doctor", "Check this machine and this home."),
    "data": Entry("headrace.cli.data", "The catalogue of data sources, their rows, and snapshots."),
    "features": Entry(
        "headrace.cli.features", "Feature sets, their versions, and the models trained on them."
    ),
    "model": Entry("headrace.cli.model", "Versions, runs, lineage; import, attach, rebuild."),
    "release": Entry("headrace.cli.release", "List, show, approve, reject, recommend, roll back."),
    "serve": Entry("headrace.cli.serve", "Score tables, explain, test under load, export, queue."),
    "monitor": Entry(
        "headrace.cli.monitor",
        "Watch, findings, traffic, performance, estimates, traces, explanations, channels, replay.",
    ),
    "feedback": Entry("headrace.cli.feedback", "What people say of answers."),
    "llm": Entry(
        "headrace.cli.llm",
        "Which language models may be called, what instead, and what to try when answers drift.",
    ),
    "access": Entry("headrace.cli.access", "Identities, tokens, policy and grants."),
    "audit": Entry("headrace.cli.audit", "The chained and sealed log of what happened."),
    "project": Entry("headrace.cli.project", "Projects known here, waivers, rules, the charter's schema."),
}


class LazyGroup(TyperGroup):
    """Loads a command's module when it is used; listing them for help loads none."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the loop."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command itself, or only its line while help is written."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if self._listing:
            return typer.core.TyperCommand(cmd_name, help=entry.help)
        command = typer.main.get_command(import_module(entry.module).app)
        command.name = cmd_name
        _collect_garbage()
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant; of one that there is not, the nearest is named."""
        close = get_close_matches(args[0], COMMANDS, n=1)
        if close and args[0] not in COMMANDS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without loading what it lists."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


app = typer.Typer(
    cls=LazyGroup,
    name="headrace",
    no_args_is_help=True,
    add_completion=False,
    help="From notebook to production, and healthy there: declare, build, prove, approve, "
    "roll out, answer, watch, decide.",
    epilog="Exit codes: 0 done, 1 our fault, 2 usage, 3 a gate failed, 4 waits for a person.",
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(f"headrace {metadata.version('headrace')}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the process ends with one of the five exit codes."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.getLogger("headrace").addHandler(_logged)
    # Modules are no garbage. To look through them for some, as they are loaded and again at the end, takes a
    # third of a short command.
    gc.disable()
    command: Any = typer.main.get_command(app)
    try:
        command.main(args=arguments, prog_name="headrace")
    except SystemExit as ended:
        _leave(ended.code if isinstance(ended.code, int) else DONE)
    except HeadraceError as error:
        _report(error, as_json="--json" in arguments)
        _leave(exit_code(error))
    except Exception as error:  # noqa: BLE001 - the last boundary: a user never sees our stack trace
        _report(InternalError(_kept_trace(error)), as_json="--json" in arguments)
        _leave(OUR_FAULT)


class _Logged(logging.Handler):
    """Keeps what our rooms log for the report of a fault: a terminal never shows our stack traces."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque(maxlen=100)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, with its trace."""
        self.lines.append(self.format(record))


_logged = _Logged()


def _collect_garbage() -> None:
    """From here on, where :func:`main` has put it off; not among the modules that are there by now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _leave(code: int) -> NoReturn:
    """End the process with this code, also while a workflow waits for a person.

    Its thread would be joined, for days, before the interpreter ends - a daemon's too: thread pools join
    all of theirs. It is safe to drop: whatever has been recorded goes on in the next process.
    """
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _kept_trace(error: Exception) -> str:
    """Keep the trace for the report, outside of the terminal."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="headrace-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
        file.writelines(f"\n{line}\n" for line in _logged.lines)
    return (
        f"Something broke inside Headrace ({type(error).__name__}: {error}). This is our fault. "
        f"What was acknowledged is kept. Please report it with {file.name}."
    )


def _report(error: HeadraceError, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": {"kind": type(error).__name__, "message": str(error)}}))
    elif isinstance(error, WaitsForPerson):
        typer.echo(printable(str(error), lines=True))
    else:
        typer.secho("Error: ", err=True, nl=False, fg="red")
        typer.echo(printable(str(error), lines=True), err=True)
