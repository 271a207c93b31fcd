"""``headrace access secret``: how services get tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app import credentials
from headrace.cli.session import As, Json, print_json, print_table, say, session

app = typer.Typer(no_args_is_help=True, help="Secrets and outside identities by which services get tokens.")
_ABOUT = ("issuer", "audience", "subject")
Name = Annotated[str, typer.Argument(help="Name of the service.")]
Days = Annotated[int, typer.Option(min=1, max=365, help="How long it is good for.")]


@app.command("new")
def new(name: Name, days: Days = 90, as_name: As = None, as_json: Json = False) -> None:
    """Make a secret; it is shown once. A service has two at most, so that they can take turns."""
    with session(as_name) as s:
        made = credentials.new_secret(s.app, s.me, name, days=days)
    if as_json:
        print_json(
            {"client_id": name, "client_secret": made.text, "id": made.record.id}
            | {"expires_at": made.record.expires_at}
        )
    else:
        say(f"client_id:     {name}\nclient_secret: {made.text}", lines=True)
        say(f"Good until {made.record.expires_at:%Y-%m-%d}. It is not shown again.")


@app.command("trust")
def trust(
    name: Name,
    issuer: Annotated[str, typer.Option(help="The provider, as its tokens name it: https://...")],
    audience: Annotated[str, typer.Option(help="For whom the provider's tokens are made.")],
    subject: Annotated[str, typer.Option(help="Whom the provider's tokens are about.")],
    days: Days = 90,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let another OpenID provider's tokens speak for a service: no secret needs to be kept."""
    with session(as_name) as s:
        made = credentials.trust(
            s.app, s.me, name, issuer=issuer, audience=audience, subject=subject, days=days
        )
    if as_json:
        print_json(made)
    else:
        say(f"{subject} of {issuer} is {name} here until {made.expires_at:%Y-%m-%d} ({made.id}).")


@app.command("ls")
def list_secrets(name: Name, as_name: As = None, as_json: Json = False) -> None:
    """List what a service can get tokens with, and what it could."""
    with session(as_name) as s:
        known = credentials.credentials_of(s.app, s.me, name)
    if as_json:
        print_json(known)
    else:
        rows = [
            (
                one.id,
                one.kind,
                one.state,
                f"{one.expires_at:%Y-%m-%d}",
                "never" if one.used_at is None else f"{one.used_at:%Y-%m-%d}",
                " ".join(one.about[part] for part in _ABOUT if part in one.about),
            )
            for one in known
        ]
        print_table(("ID", "KIND", "STATE", "UNTIL", "USED", "ABOUT"), rows, empty="None yet.")


@app.command("revoke")
def revoke(
    name: Name,
    credential_id: Annotated[str, typer.Argument(help="Its id, as ls shows it.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """End a secret or an outside identity, and the tokens that it got."""
    with session(as_name) as s:
        ended = credentials.revoke_credential(s.app, s.me, name, credential_id)
    if as_json:
        print_json(ended)
    else:
        say(f"{ended.id} of {name} is worth nothing from now on.")
