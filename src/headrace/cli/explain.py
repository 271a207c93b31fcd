"""What the policy means: its examples, one decision, and all that somebody may do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.app.answers.explaining import explain, reach
from headrace.app.governance import policies
from headrace.cli.exits import GATE_FAILED
from headrace.cli.reviewed_texts import read_text
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import GateFailed


def try_examples(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="The policy in force if absent.")
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Put a policy's own examples to the test; ends with 3 when one fails."""
    text = None if file is None else read_text(file, "policy")
    with session(as_name) as s:
        tested = policies.try_examples(s.app, s.me, text)
    if as_json:
        print_json(tested)
    if tested.failed:
        if as_json:
            raise typer.Exit(GATE_FAILED)
        raise GateFailed(policies.failures(tested.failed))
    if not as_json:
        say(f"All {tested.examples} examples hold.")


def explain_decision(
    principal: Annotated[str, typer.Argument(help="Name of the identity.")],
    action: Annotated[str, typer.Argument(help="Such as release.approve.")],
    resource: Annotated[str, typer.Argument(help="KIND:NAME, such as project:cars.")],
    argument: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, for a tool's argument; repeatable.")
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Say whether somebody may, by which rule, and which roles would suffice."""
    arguments = dict(given.partition("=")[::2] for given in argument or [])
    with session(as_name) as s:
        found = explain(s.app, s.me, principal, action, resource, arguments)
    if as_json:
        print_json(found)
        return
    may = "may" if found.allowed else "may not"
    say(f"{principal} (roles: {', '.join(found.roles) or 'none'}) {may} {action} on {resource}.")
    for rule in found.rules:
        say(f"\nRule {rule.name!r}, line {rule.line}:\n{rule.text}", lines=True)
    if not found.rules and not found.allowed:
        typer.echo("No rule permits it.")
    if found.note:
        typer.echo(found.note)
    for held in found.grants:
        say(f"Grant {held.id}: {held.role} on {held.resource}, until {held.ends_at:%H:%M} UTC.")
    say(f"\nRoles that would suffice: {', '.join(found.would_suffice) or 'none'}.", lines=True)
    say(f"Policy version {found.version} ({found.policy[:12]}).")


def list_reach(
    principal: Annotated[str, typer.Argument(help="Name of the identity.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List what somebody may do, by workspace and project."""
    with session(as_name) as s:
        found = reach(s.app, s.me, principal)
    if as_json:
        print_json(found)
        return
    print_table(
        ("RESOURCE", "MAY"), [(r.resource, ", ".join(r.actions)) for r in found], empty="Nothing at all."
    )
