"""``headrace access``: identities and tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli import incident, user
from headrace.cli.session import As, Json, print_json, session

app = typer.Typer(no_args_is_help=True, help="Identities and tokens.")
app.add_typer(user.app, name="user")
app.add_typer(incident.app, name="incident")
app.command("flag")(incident.flag)


@app.command("token")
def token(
    as_name: As = None,
    minutes: Annotated[int, typer.Option(min=1, max=15, help="How long it lives.")] = 15,
    as_json: Json = False,
) -> None:
    """Print a bearer token for HTTP; it lives at most 15 minutes."""
    with session(as_name) as s:
        text = s.app.tokens.issue(s.me, ttl_s=minutes * 60)
    if as_json:
        print_json({"token": text, "principal": s.me.name, "ttl_s": minutes * 60})
    else:
        typer.echo(text)
