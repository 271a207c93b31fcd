"""``headrace access grant``: roles for a while."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from headrace.app.governance import grants
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.identity import ROLES, Grant

app = typer.Typer(no_args_is_help=True, help="Roles for a while.")
Id = Annotated[str, typer.Argument(metavar="ID", help="The grant's id.")]
RoleName = Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(ROLES)}.")]
On = Annotated[str, typer.Argument(metavar="RESOURCE", help="project:NAME or workspace:NAME.")]
Reason = Annotated[str, typer.Option(help="Why it is needed; kept in the audit log.")]
State = Literal["asked", "active", "refused", "ended"]


@app.command("ask")
def ask(
    role: RoleName,
    resource: On,
    reason: Reason,
    subject: Annotated[
        str | None, typer.Option("--for", metavar="NAME", help="A service or agent that needs it.")
    ] = None,
    minutes: Annotated[int, typer.Option(help="How long it lasts; 480 at most.")] = 60,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Ask for a role on a project or a workspace for a while."""
    with session(as_name) as s:
        grant = grants.ask(s.app, s.me, role, resource, reason, subject=subject, duration_s=minutes * 60)
    _print(grant, as_json)


@app.command("ls")
def list_grants(
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List grants: your own, or all if you may see everybody's rights."""
    with session(as_name) as s:
        found = grants.grants(s.app, s.me, state)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "FOR", "ROLE", "ON", "STATE", "UNTIL", "ASKED BY", "REASON"),
        [
            (
                g.id,
                g.subject,
                g.role,
                g.resource,
                g.state,
                f"{g.ends_at:%Y-%m-%d %H:%M}" if g.ends_at else None,
                g.asked_by,
                g.reason,
            )
            for g in found
        ],
        empty="No grant.",
    )


@app.command("approve")
def approve(grant_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Approve a grant that somebody else asked for, for somebody else."""
    with session(as_name) as s:
        _print(grants.decide(s.app, s.me, grant_id, "approved"), as_json)


@app.command("refuse")
def refuse(grant_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Refuse a grant."""
    with session(as_name) as s:
        _print(grants.decide(s.app, s.me, grant_id, "refused"), as_json)


@app.command("end")
def end(grant_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """End a grant before its time."""
    with session(as_name) as s:
        _print(grants.end(s.app, s.me, grant_id), as_json)


@app.command("break-glass")
def break_glass(
    role: RoleName,
    resource: On,
    reason: Reason,
    minutes: Annotated[int, typer.Option(help="How long it lasts; 60 at most.")] = 60,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Take a role at once, in an emergency. It raises an incident, and somebody else reviews it."""
    with session(as_name) as s:
        grant = grants.break_glass(s.app, s.me, role, resource, reason, minutes * 60)
    _print(grant, as_json)
    if not as_json:
        typer.echo("Somebody else reviews it: headrace access incident ls")


def _print(grant: Grant, as_json: bool) -> None:
    if as_json:
        print_json(grant)
        return
    until = f", until {grant.ends_at:%H:%M} UTC" if grant.state == "active" and grant.ends_at else ""
    say(f"{grant.subject}: {grant.role} on {grant.resource}, {grant.state}{until} (grant {grant.id}).")
    if grant.state == "asked":
        say(f"Somebody else decides: headrace access grant approve {grant.id}")
