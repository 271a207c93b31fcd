"""``headrace access``: identities and tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.session import As, Json, print_json, print_table, session
from headrace.core.identity import ROLES

app = typer.Typer(no_args_is_help=True, help="Identities and tokens.")
user = typer.Typer(no_args_is_help=True, help="People and services known here.")
app.add_typer(user, name="user")


@user.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name of the identity.")],
    role: Annotated[list[str], typer.Option("--role", help=f"One of {', '.join(ROLES)}; repeatable.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Make an identity known, with exactly these roles."""
    with session(as_name) as s:
        s.app.gatekeeper.require(s.me, "access.write", f"principal:{name}")
        principal = s.app.identities.add(name, role, actor=s.me.name)
    if as_json:
        print_json(principal)
    else:
        typer.echo(f"{principal.name} is {', '.join(principal.roles)}.")


@user.command("ls")
def list_users(as_name: As = None, as_json: Json = False) -> None:
    """List who is known here."""
    with session(as_name) as s:
        s.app.gatekeeper.require(s.me, "project.read", "principal:all")
        principals = s.app.store.principals.list()
    if as_json:
        print_json(principals)
    else:
        print_table(
            ("NAME", "KIND", "ROLES", "SINCE"),
            [(p.name, p.kind, ", ".join(p.roles), f"{p.created_at:%Y-%m-%d}") for p in principals],
            empty="Nobody yet.",
        )


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
