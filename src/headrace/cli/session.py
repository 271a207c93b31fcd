"""What every command shares: its options, the opened app, and how results are printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from headrace.app.composition import App, open_app
from headrace.app.governance.proving import prove_by_code
from headrace.core.canonical import plain
from headrace.core.identity import Principal
from headrace.core.identity import Session as SignedIn
from headrace.core.settings import read_settings
from headrace.core.text import printable

As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Act as this identity.")]
Code = Annotated[
    str | None, typer.Option("--code", metavar="DIGITS", help="The code that your authenticator app shows.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_BEYOND_ASCII = re.compile("[\x7f-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Session:
    """An opened app and who is asking."""

    app: App
    me: Principal


@contextmanager
def session(as_name: str | None = None, code: str | None = None) -> Iterator[Session]:
    """Open the home that the environment names, as this identity; ``code`` proves that it is theirs."""
    settings = read_settings()
    with open_app(settings) as app:
        # The home's first identity exists before anybody acts, also when the first act is somebody else's.
        me = app.me() if as_name is None else app.identities.resolve(as_name)
        if shown := code or settings.code:
            proved = prove_by_code(app, me, shown)
            speaking = SignedIn(token="command line", proved_until=proved.until, proof=proved.proof)
            me = replace(me, session=speaking)
        yield Session(app=replace(app, settings=settings), me=me)


def say(text: str, *, lines: bool = False, err: bool = False) -> None:
    """A line for whoever reads; nothing that somebody has typed moves the cursor or begins another line.

    Args:
        lines: ``text`` has line breaks of ours.
        err: on standard error.
    """
    typer.echo(printable(text, lines=lines), err=err)


def print_json(value: object) -> None:
    """One JSON document on standard output; what would move a terminal's cursor is escaped in it."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False)
    typer.echo(_BEYOND_ASCII.sub(lambda c: c[0] if printable(c[0]) == c[0] else json.dumps(c[0])[1:-1], text))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Rows under headings, or the sentence ``empty``."""
    if not rows:
        typer.echo(empty)
        return
    # One line per row and nothing cut off, however narrow the terminal: ids are there to be copied.
    cells = [
        list(columns),
        *(["" if cell is None else printable(" ".join(str(cell).split())) for cell in row] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
