"""``headrace access user``: who is known here, from the first day to the last."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.governance import identities
from headrace.cli import inventory
from headrace.cli.moments import moment
from headrace.cli.session import As, Json, print_json, print_table, session
from headrace.core.errors import InvalidInput
from headrace.core.identity import ROLES, Kind, Principal

app = typer.Typer(no_args_is_help=True, help="People, services and agents known here.")
Name = Annotated[str, typer.Argument(help="Name of the identity.")]
_WHEN = "Such as 90d, 12h or 2027-01-31"


@app.command("add")
def add(
    name: Name,
    role: Annotated[list[str], typer.Option("--role", help=f"One of {', '.join(ROLES)}; repeatable.")],
    kind: Annotated[str | None, typer.Option(help="person, service or agent; person unless said.")] = None,
    owner: Annotated[str | None, typer.Option(help="The person who answers for a service or agent.")] = None,
    purpose: Annotated[str, typer.Option(help="What a service or agent is there for.")] = "",
    expires: Annotated[str | None, typer.Option(help=f"When it ends. {_WHEN}.")] = None,
    review: Annotated[str | None, typer.Option(help=f"When it is reviewed. {_WHEN}.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Its workspace; your own unless said.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Make an identity known, with exactly these roles."""
    with session(as_name) as s:
        now = s.app.clock.now()
        principal = identities.add(
            s.app,
            s.me,
            name,
            role,
            kind=_kind(kind),
            workspace=workspace,
            owner=owner,
            purpose=purpose,
            expires_at=None if expires is None else moment(expires, now),
            review_by=None if review is None else moment(review, now),
        )
    _tell(principal, f"{principal.name} is {', '.join(principal.roles)}.", as_json)


@app.command("ls")
def list_users(as_name: As = None, as_json: Json = False) -> None:
    """List who is known here."""
    with session(as_name) as s:
        principals = identities.known(s.app, s.me)
    if as_json:
        print_json(principals)
    else:
        print_table(
            ("NAME", "KIND", "ROLES", "SINCE"),
            [(p.name, p.kind, ", ".join(p.roles), f"{p.created_at:%Y-%m-%d}") for p in principals],
            empty="Nobody yet.",
        )


app.command("show")(inventory.show)


@app.command("remove-role")
def remove_role(
    name: Name,
    role: Annotated[str, typer.Option("--role", help=f"One of {', '.join(ROLES)}.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Take one role away."""
    with session(as_name) as s:
        principal = identities.remove_role(s.app, s.me, name, role)
    _tell(principal, f"{principal.name} is {', '.join(principal.roles)}.", as_json)


@app.command("expire")
def expire(
    name: Name,
    when: Annotated[str | None, typer.Option("--in", help=f"{_WHEN}; now unless said.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let an identity end, now or then; also prolongs it."""
    with session(as_name) as s:
        at = None if when is None else moment(when, s.app.clock.now())
        principal = identities.set_expiry(s.app, s.me, name, at)
    _tell(principal, f"{principal.name} ends on {principal.expires_at:%Y-%m-%d %H:%M} UTC.", as_json)


@app.command("review")
def review(
    name: Name,
    again: Annotated[str, typer.Option("--next", help=f"When to look again. {_WHEN}.")] = "90d",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Say that an identity is still needed, as it is."""
    with session(as_name) as s:
        principal = identities.review(s.app, s.me, name, moment(again, s.app.clock.now()))
    _tell(principal, f"{principal.name} is reviewed again by {principal.review_by:%Y-%m-%d}.", as_json)


@app.command("freeze")
def freeze(
    name: Name,
    why: Annotated[str, typer.Option("--why", help="The reason; whoever is frozen reads it.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let an identity do nothing from its next request on; nothing is deleted."""
    with session(as_name) as s:
        principal = identities.freeze(s.app, s.me, name, why)
    _tell(principal, f"{principal.name} is frozen.", as_json)


@app.command("unfreeze")
def unfreeze(name: Name, as_name: As = None, as_json: Json = False) -> None:
    """Let a frozen identity act again."""
    with session(as_name) as s:
        principal = identities.unfreeze(s.app, s.me, name)
    _tell(principal, f"{principal.name} may act again.", as_json)


def _kind(text: str | None) -> Kind | None:
    match text:
        case None | "person" | "service" | "agent":
            return text
    raise InvalidInput(f"There is no kind {text!r} of identity. Expected person, service or agent.")


def _tell(principal: Principal, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(principal)
    else:
        typer.echo(sentence)
