"""``headrace access inventory`` and ``headrace access unused``: who can do what here, and who need not."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.governance.inventory import IdentityReport, identities, identity, unused
from headrace.cli.session import As, Json, print_json, print_table, say, session


def list_everybody(as_name: As = None, as_json: Json = False) -> None:
    """List every person, service and agent, and what is wrong with it."""
    with session(as_name) as s:
        found = identities(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("NAME", "KIND", "ROLES", "OWNER", "LAST USED", "ENDS", "REVIEW BY", "CONCERNS"),
        [_line(one) for one in found],
        empty="Nobody yet.",
    )


def list_unused(as_name: As = None, as_json: Json = False) -> None:
    """List roles that nobody would miss, with the command that takes each away."""
    with session(as_name) as s:
        found = unused(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("NAME", "ROLE", "WHY", "REMEDY"),
        [(one.principal, one.role, one.title, one.remedy) for one in found],
        empty="Every role was needed in the last 90 days, or is younger.",
    )


def show(
    name: Annotated[str, typer.Argument(help="Name of the identity.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Show an identity: what it can reach, uses and never used, and what is wrong with it."""
    with session(as_name) as s:
        found = identity(s.app, s.me, name)
    if as_json:
        print_json(found)
        return
    one = found.principal
    say(f"{one.name}: {one.kind} in {one.workspace}, {', '.join(one.roles)}. {one.purpose}")
    if one.frozen is not None:
        say(f"Frozen: {one.frozen}")
    for concern in found.concerns:
        say(f"! {concern.title}. Next: {concern.remedy}")
    print_table(
        ("ON", "MAY"), [(r.resource, ", ".join(r.actions)) for r in found.reach], empty="May nothing."
    )
    print_table(
        ("ON", "NEVER DID"), [(r.resource, ", ".join(r.actions)) for r in found.never_used], empty="Did all."
    )
    print_table(
        ("CREDENTIAL", "SINCE", "UNTIL"),
        [(c.kind, f"{c.created_at:%Y-%m-%d}", _day(c.expires_at)) for c in found.credentials],
        empty="No credential of its own.",
    )


def _line(found: IdentityReport) -> tuple[str, ...]:
    one = found.principal
    state = ["frozen"] if one.frozen is not None else []
    return (
        one.name,
        one.kind,
        ", ".join(one.roles),
        one.owner or "",
        _day(found.last_used_at),
        _day(one.expires_at),
        _day(one.review_by),
        ", ".join([*state, *(concern.kind for concern in found.concerns)]),
    )


def _day(moment: object) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"
