"""``headrace data``: the catalogue of all sources, their rows, and snapshots."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app import catalogue as sources
from headrace.cli.session import As, Json, print_json, print_table, session

app = typer.Typer(no_args_is_help=True, help="The catalogue of data sources, their rows, and snapshots.")


@app.command("ls")
def list_snapshots(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List a project's snapshots, oldest first."""
    with session(as_name) as s:
        s.app.gatekeeper.require(s.me, "project.read", f"project:{project}")
        snapshots = s.app.store.snapshots.list(s.app.store.projects.get(project).name)
    if as_json:
        print_json(snapshots)
    else:
        print_table(
            ("ID", "ROWS", "COLUMNS", "CONTENT", "RAW", "BASIS", "SOURCE"),
            [
                (x.id, f"{x.n_rows:,}", len(x.columns), x.digest[:12], x.raw.digest[:12], x.basis, x.source)
                for x in snapshots
            ],
            empty="No snapshot yet. Make one with 'headrace run'.",
        )


@app.command("catalogue")
def catalogue(
    search: Annotated[list[str] | None, typer.Argument(help="Words that all have to occur.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List or search the data sources that you may read: names, owners, columns and documentation."""
    with session(as_name) as s:
        found = sources.catalogue(s.app, s.me, " ".join(search or []))
    if as_json:
        print_json(found)
        return
    print_table(
        ("NAME", "OWNER", "ROWS", "COLUMNS", "SNAPSHOTS", "FRESH", "BASIS", "DOCUMENTATION"),
        [
            (
                one.name,
                one.owner,
                f"{one.n_rows:,}",
                len(one.fields),
                one.n_snapshots,
                f"{one.fresh_at:%Y-%m-%d %H:%M}" if one.fresh_at else "never",
                one.basis,
                one.documentation[:80],
            )
            for one in found
        ],
        empty="No data source that you may read, or none with these words.",
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of the source, as 'data catalogue' lists it.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Show one data source: what it is, whom to ask, where it is kept, what each column means."""
    with session(as_name) as s:
        found = sources.source(s.app, s.me, name)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.name}: {found.documentation}")
    typer.echo(f"  ask      {found.owner} at {found.contact}")
    typer.echo(f"  from     {found.source}   kept in {found.location or 'no snapshot yet'}")
    typer.echo(f"  basis    {found.basis}, answers are kept for {found.retention_days} days")
    print_table(
        ("COLUMN", "USE", "KIND", "KEPT", "WHY"),
        [(one.name, one.use, one.kind, one.kept, one.why) for one in found.fields],
        empty="No columns yet.",
    )


@app.command("read")
def read(
    name: Annotated[str, typer.Argument(help="Name of the source, as 'data catalogue' lists it.")],
    limit: Annotated[int, typer.Option(min=1, max=sources.MAX_ROWS, help="How many rows.")] = 20,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Print the first rows of a data source; who read them is in the audit log."""
    with session(as_name) as s:
        found = sources.read_rows(s.app, s.me, name, limit)
    if as_json:
        print_json(found)
    else:
        print_table(found.columns, found.rows, empty="It has no rows.")
