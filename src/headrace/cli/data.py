"""``headrace data``: snapshots."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.session import As, Json, print_json, print_table, session

app = typer.Typer(no_args_is_help=True, help="Snapshots and where they came from.")


@app.callback()
def _group() -> None:
    """Snapshots and where they came from."""  # without this, typer makes a lone command the whole group


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
