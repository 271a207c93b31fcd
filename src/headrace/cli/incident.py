"""``headrace access incident`` and ``headrace access flag``: suspicious things, and what came of them."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.governance import incidents
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.identity import Incident

app = typer.Typer(no_args_is_help=True, help="Look into what seems suspicious.")
Id = Annotated[str, typer.Argument(metavar="ID", help="The incident's id, or its first letters.")]


def flag(
    name: Annotated[str, typer.Argument(help="The identity that it is about.")],
    why: Annotated[str, typer.Option("--why", help="What looks wrong.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Say that something about an identity looks suspicious; anybody may."""
    with session(as_name) as s:
        raised = incidents.flag(s.app, s.me, name, why)
    _tell(raised, f"Noted: incident {raised.id}. Somebody else looks into it.", as_json)


@app.command("ls")
def list_incidents(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List incidents, newest first."""
    with session(as_name) as s:
        found = [one for one in incidents.incidents(s.app, s.me) if everything or one.state != "closed"]
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "AT", "STATE", "KIND", "SUBJECT", "ASSIGNEE", "TITLE"),
        [(i.id, f"{i.at:%Y-%m-%d %H:%M}", i.state, i.kind, i.subject, i.assignee, i.title) for i in found],
        empty="Nothing suspicious that is open.",
    )


@app.command("show")
def show(incident_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Show an incident with its evidence and notes."""
    with session(as_name) as s:
        found = incidents.incident(s.app, s.me, incident_id)
    if as_json:
        print_json(found)
        return
    say(f"{found.title} ({found.kind}, {found.state})")
    facts = {"subject": found.subject, "raised by": found.raised_by, "assignee": found.assignee or "nobody"}
    print_table(("", ""), [*facts.items(), *found.evidence.items()], empty="")
    print_table(
        ("AT", "BY", "NOTE"),
        [(note["at"][:16], note["by"], note["text"]) for note in found.notes],
        empty="No notes yet.",
    )
    if found.resolution:
        say(f"Result: {found.resolution}")


@app.command("take")
def take(incident_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Look into an incident; it is yours from now on."""
    with session(as_name) as s:
        found = incidents.take(s.app, s.me, incident_id)
    _tell(found, f"{found.id} is {found.state}, by {found.assignee}.", as_json)


@app.command("note")
def note(
    incident_id: Id,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What was found out.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Write down what was found out."""
    with session(as_name) as s:
        found = incidents.note(s.app, s.me, incident_id, text)
    _tell(found, f"{found.id} has {len(found.notes)} notes.", as_json)


@app.command("close")
def close(
    incident_id: Id,
    resolution: Annotated[str, typer.Option("--resolution", help="What came of it.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Close an incident with its result; never one about oneself."""
    with session(as_name) as s:
        found = incidents.close(s.app, s.me, incident_id, resolution)
    _tell(found, f"{found.id} is closed.", as_json)


def _tell(incident: Incident, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(incident)
    else:
        typer.echo(sentence)
