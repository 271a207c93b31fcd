"""``headrace access factor`` and ``access user link``: how people prove who they are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from headrace.app.governance import linking, proving
from headrace.cli.session import As, Code, Json, print_json, print_table, say, session

app = typer.Typer(no_args_is_help=True, help="Second factors: who has which, and what to do about a loss.")
Name = Annotated[str, typer.Argument(help="Name of the person.")]
Issuer = Annotated[str, typer.Option(help="The provider's address, exactly as it names itself.")]
Subject = Annotated[str, typer.Option(help="What the provider calls them: its 'sub' claim.")]


@app.command("ls")
def list_factors(
    name: Annotated[str | None, typer.Argument(help="Only this person's.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List second factors, without their secrets."""
    with session(as_name) as s:
        factors = proving.factors_of(s.app, s.me, name)
    if as_json:
        print_json(factors)
        return
    print_table(
        ("OWNER", "KIND", "LABEL", "SITE", "ADDED", "LAST USED"),
        [
            (f.owner, f.kind, f.label, f.site, _day(f.created_at), _day(f.used_at or f.created_at))
            for f in factors
        ],
        empty="No second factor yet. People add theirs on the page /security.",
    )


@app.command("reset")
def reset(name: Name, code: Code = None, as_name: As = None, as_json: Json = False) -> None:
    """End all second factors of somebody else who has lost theirs; raises an incident."""
    with session(as_name, code) as s:
        n_ended = proving.reset_factors(s.app, s.me, name)
    if as_json:
        print_json({"principal": name, "ended": n_ended})
    else:
        typer.echo(
            f"{n_ended} second factor{'' if n_ended == 1 else 's'} of {name} ended. They sign in and add new "
            "ones on the page /security."
        )


def link(
    name: Name,
    issuer: Issuer,
    subject: Subject,
    code: Code = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let somebody sign in at an OpenID provider as this person."""
    with session(as_name, code) as s:
        linking.link(s.app, s.me, name, issuer, subject)
    if as_json:
        print_json({"principal": name, "issuer": issuer, "subject": subject})
    else:
        say(f"{name} may sign in at {issuer}.")


def unlink(
    name: Name,
    issuer: Issuer,
    subject: Subject,
    code: Code = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let them no longer sign in there as this person."""
    with session(as_name, code) as s:
        linking.unlink(s.app, s.me, name, issuer, subject)
    if as_json:
        print_json({"principal": name, "issuer": issuer, "subject": subject})
    else:
        say(f"{name} may no longer sign in at {issuer} as {subject}.")


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
