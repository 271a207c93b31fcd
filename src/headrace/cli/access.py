"""``headrace access``: identities and tokens."""

from __future__ import annotations

import typer

from headrace.cli import incident, tokens, user

app = typer.Typer(no_args_is_help=True, help="Identities and tokens.")
app.add_typer(user.app, name="user")
app.add_typer(incident.app, name="incident")
app.add_typer(tokens.keys, name="keys")
app.command("flag")(incident.flag)
app.command("token")(tokens.token)
app.command("revoke")(tokens.revoke)
