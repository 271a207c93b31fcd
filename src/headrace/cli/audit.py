"""``headrace audit``: the chained and sealed log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from headrace.app.governance import auditing, exporting
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import InternalError
from headrace.store.seal_file import read_seals

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The chained and sealed log of what happened."
)
keys = typer.Typer(no_args_is_help=True, help="The keys that sign seals.")
app.add_typer(keys, name="keys")

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
_Moment = Annotated[datetime | None, typer.Option(formats=_FORMATS, help="In UTC.")]


@app.command("ls")
def list_entries(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the newest.")] = 50,
    text: Annotated[str, typer.Option("--search", metavar="TEXT", help="Only entries that hold this.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Print the newest entries."""
    with session(as_name) as s:
        entries = auditing.search(s.app, s.me, text, limit=limit).entries[::-1]
    if as_json:
        print_json(entries)
    else:
        print_table(
            ("#", "AT", "WHO", "WHAT", "ON"),
            [(e.sequence, f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor, e.action, e.resource) for e in entries],
            empty="Nothing has happened yet.",
        )


@app.command("verify")
def verify(
    seals: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare with seals that were kept elsewhere.")
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Verify the chain and its seals; an edit, deletion or reorder is an error. What is intact is sealed."""
    copy = [] if seals is None else read_seals(seals)
    with session(as_name) as s:
        verified = auditing.verify(s.app, s.me, copy)
    if verified.problem is not None:
        raise InternalError(verified.problem)
    seal = verified.seal
    if as_json:
        print_json(
            {
                "entries": verified.n_entries,
                "intact": True,
                "seals": verified.n_seals,
                "sealed_until": 0 if seal is None else seal.sequence,
                "key": verified.key,
                "compared": len(copy),
            }
        )
        return
    say(f"{verified.n_entries} entries, chain intact.")
    if seal is not None:
        typer.echo(
            f"Sealed up to entry {seal.sequence} ({seal.at:%Y-%m-%d %H:%M:%S} UTC, seal {seal.number})."
        )
    if copy:
        say(f"The {len(copy)} seals in {seals} are the same here.")


@app.command("seal")
def seal(as_name: As = None, as_json: Json = False) -> None:
    """Seal everything up to now; a server does so by itself."""
    with session(as_name) as s:
        made = auditing.seal_now(s.app, s.me).seal
    if as_json:
        print_json({"seal": made})
    elif made is None:
        typer.echo("Nothing has happened yet.")
    else:
        say(f"Sealed up to entry {made.sequence} (seal {made.number}).")


@app.command("export")
def export(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Add to this file, from where it ends, not to the output."),
    ] = None,
    after: Annotated[int, typer.Option(min=0, metavar="N", help="Only entries beyond this number.")] = 0,
    since: _Moment = None,
    until: _Moment = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Write the log as JSON Lines in the field names of OCSF, oldest first."""
    with session(as_name) as s:
        begin = after if to is None else max(after, exporting.exported_until(to))
        entries = auditing.follow(s.app, s.me, after=begin, since=_utc(since), until=_utc(until))
        if to is None:
            for entry in entries:
                typer.echo(exporting.line(entry), nl=False)
            return
        n_written = exporting.append_lines(to, entries)
    if as_json:
        print_json({"file": str(to), "entries": n_written})
    else:
        say(f"{n_written} entries added to {to}.")


@keys.command("ls")
def list_keys(as_name: As = None, as_json: Json = False) -> None:
    """List the public keys that seals are verified with."""
    with session(as_name) as s:
        found = auditing.seal_keys(s.app, s.me)
    if as_json:
        print_json([key._asdict() for key in found])
        return
    print_table(
        ("KEY", "SIGNS"), [(key.name, "yes" if key.signs else "") for key in found], empty="No key yet."
    )


@keys.command("rotate")
def rotate(as_name: As = None, as_json: Json = False) -> None:
    """Sign seals with a new key; those made so far stay valid."""
    with session(as_name) as s:
        name = auditing.rotate_seal_key(s.app, s.me)
    if as_json:
        print_json({"key": name})
    else:
        say(f"Seals are signed with the key {name} from now on.")


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
