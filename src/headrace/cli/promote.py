"""``headrace release export`` and ``import``: one release, as it is, from one installation to the next."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from headrace.app.compliance import decides_itself
from headrace.app.flight import open_items
from headrace.app.operations import DECIDING, settle
from headrace.app.overviews.reading import release_report
from headrace.app.promoting import bundle_of, export_release, import_release
from headrace.app.workflows import launch
from headrace.cli.run import finish, print_release
from headrace.cli.session import As, Json, Session, print_json, say, session
from headrace.core.errors import Conflict, InvalidInput, NotFound

_STREAM = Path("-")


def export(
    release_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="The release's id, or a project's name for what is live of it."),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="File to write; '-' is standard output. PROJECT-VERSION.headrace unless named."),
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Write a release with all that it names into one signed file, for another installation."""
    if to == _STREAM and as_json:
        raise InvalidInput("Standard output takes the bundle or JSON. Name a file by --to.")
    with session(as_name) as s:
        bundle = bundle_of(s.app, s.me, release_id)
        named = f"{bundle.release.project}-{bundle.model.version}.headrace"
        target = Path(named) if to is None else to
        if target != _STREAM and target.exists():
            raise Conflict(f"{target} exists. Choose another file by --to, or remove it first.")
        if target != _STREAM and not target.parent.is_dir():
            raise NotFound(f"There is no folder {target.parent}. Make it, or choose another file by --to.")
        folder = s.app.settings.home if target == _STREAM else target.parent
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".bundle-", delete=False) as draft:
            try:
                with _told("Writing", bundle.size_bytes, quiet=as_json) as told:
                    done = export_release(s.app, s.me, bundle, draft, told)
                draft.flush()
                os.fsync(draft.fileno())
                if target == _STREAM:
                    draft.seek(0)
                    shutil.copyfileobj(draft, sys.stdout.buffer)
                    sys.stdout.buffer.flush()
                else:
                    Path(draft.name).replace(target)
            finally:
                Path(draft.name).unlink(missing_ok=True)
    if as_json:
        print_json({"file": str(target), "bundle": done})
    elif target != _STREAM:
        ref = bundle.release.manifest.subject.ref
        say(f"{ref} is in {target}: {done.parts} parts, {done.size_bytes:,} bytes.")
        say(f"  digest   {done.digest}")
        say(f"  key      {done.key}")
        say(f"Next, in the other installation: headrace release import {target}")


def bring(
    file: Annotated[
        Path, typer.Argument(help="What 'headrace release export' wrote; '-' is standard input.")
    ],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Bring a release here as it is: verify all of it, keep it, judge it here. Nothing is trained."""
    with session(as_name) as s, launch(s.app) as work, _read(s, file) as (path, size_bytes):
        with _told("Verifying", size_bytes, quiet=as_json) as told:
            arrived = import_release(s.app, work, s.me, path, told)
        work.durable.result(f"promote:{arrived.release.id}")
        release = settle(s.app, work, arrived.release.id, leaving=("proposed",))
        if decides_itself(s.app, release) and not open_items(s.app, release):
            release = settle(s.app, work, release.id, leaving=DECIDING)
        report = release_report(s.app, s.me, release.id)
    if as_json:
        print_json(report)
    else:
        if not arrived.new:
            say(f"Release {release.id} was here already.")
        print_release(report)
    finish(release, report.flight, as_json=as_json)


@contextmanager
def _read(s: Session, file: Path) -> Iterator[tuple[Path, int]]:
    """The file to read, and its size; what comes by standard input is in a file of its own meanwhile."""
    if file != _STREAM:
        yield file, file.stat().st_size if file.is_file() else 0
        return
    with tempfile.NamedTemporaryFile(dir=s.app.settings.home, prefix=".bundle-") as draft:
        shutil.copyfileobj(sys.stdin.buffer, draft)
        draft.flush()
        yield Path(draft.name), draft.tell()


@contextmanager
def _told(what: str, size_bytes: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=size_bytes)
        yield lambda n_bytes: bar.update(task, advance=n_bytes)
