"""``headrace access sign-in``: a link that signs a person in on the pages, once."""

from __future__ import annotations

import shlex

import typer

from headrace.app.credentials import sign_in_link
from headrace.app.demos.server import AUTHOR, newest_home
from headrace.cli.session import As, Json, print_json, session
from headrace.core.errors import NotFound


def sign_in(as_name: As = None, as_json: Json = False) -> None:
    """Print a link to the server that is up, which signs you in once, within ten minutes."""
    with session(as_name) as s:
        try:
            link = sign_in_link(s.app, s.me)
        except NotFound as error:
            demo = newest_home(s.app.settings)
            if demo is None:
                raise
            raise NotFound(f"{error} The newest demo's: {command_for(str(demo), AUTHOR)}") from error
    if as_json:
        print_json({"sign_in": link, "principal": s.me.name})
    else:
        typer.echo(link)


def command_for(home: str, name: str) -> str:
    """What to type for a new link to the server of a home.

    >>> command_for("/my home", "ann")
    "HEADRACE_HOME='/my home' headrace access sign-in --as ann"
    """
    return f"HEADRACE_HOME={shlex.quote(home)} headrace access sign-in --as {name}"
