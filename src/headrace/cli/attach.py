"""``headrace model attach`` and ``headrace monitor import-log``: models that answer elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from headrace.app.elsewhere.attaching import Foreign, attach_model
from headrace.app.elsewhere.log_import import import_log
from headrace.cli.session import As, Json, print_json, session

Version = Annotated[str, typer.Option(metavar="NAME", help="What the version is called there.")]


def attach(
    version: Version,
    reference: Annotated[
        Path,
        typer.Option(metavar="LOG", help="CSV or Parquet of good days: inputs, prediction, target if known."),
    ],
    file: Annotated[Path | None, typer.Option(help="The model; only its digest is kept.")] = None,
    statement: Annotated[str, typer.Option(help="What is known of how it was made.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Register a model that answers elsewhere under the project in this folder, to be watched here."""
    with session(as_name) as s:
        foreign = Foreign(version=version, reference=reference, file=file, statement=statement)
        release = attach_model(s.app, s.me, Path.cwd(), foreign)
    if as_json:
        print_json({"release": release.id, "model": release.manifest.subject.ref, "state": release.state})
        return
    typer.echo(
        f"{release.manifest.subject.ref} stands for {version!r}, which answers elsewhere: {release.id}"
    )
    typer.echo(f"Next: headrace monitor import-log {release.project} LOG --version {version}")


def import_answers(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    log: Annotated[Path, typer.Argument(metavar="LOG", help="CSV, Parquet, or one JSON object a line.")],
    version: Version,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Record what an attached model has answered, and the labels that its log has; each row once."""
    console = Console(stderr=True)
    with session(as_name) as s, Progress(console=console, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task("Recording", total=1.0)
        done = import_log(
            s.app, s.me, project, log, version=version,
            on_progress=lambda share: bar.update(task, completed=share),
        )  # fmt: skip
    if as_json:
        print_json(done)
        return
    again = f", {done.known:,} were there already" if done.known else ""
    typer.echo(f"{done.rows:,} answers recorded{again}; {done.labels:,} labels sent.")
    typer.echo(f"Next: headrace monitor watch {project}")
