"""``headrace data``: the catalogue of all sources, their rows, snapshots, and what may not be kept."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from headrace.app.data import catalogue as sources
from headrace.app.data import suspect_rows as suspect
from headrace.app.data.doubtful_labels import FIELDS, look_at_labels
from headrace.app.privacy import encrypting, tokenising
from headrace.app.privacy.retaining import retain as retain_project
from headrace.app.workflows import launch
from headrace.cli.exits import end_with
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import GateFailed
from headrace.projects.charter import load_project

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The catalogue of data sources, their rows, and snapshots.",
)


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
                one.documentation,
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
    say(f"{found.name}: {found.documentation}")
    say(f"  ask      {found.owner} at {found.contact}")
    say(f"  from     {found.source}   kept in {found.location or 'no snapshot yet'}")
    say(f"  basis    {found.basis}, answers are kept for {found.retention_days} days")
    print_table(
        ("COLUMN", "USE", "KIND", "KEPT", "WHY"),
        [(one.name, one.use, one.kind, one.kept, one.why) for one in found.fields],
        empty="No columns yet.",
    )
    if found.arrivals:
        print_table(
            ("DATASET", "MEASURE", "NEWEST ARRIVAL", "DECLARED", "TARGET"),
            [
                (one.dataset, one.measure.removesuffix("_s"), one.said, one.target or "-", one.outcome or "-")
                for one in found.arrivals
            ],
            empty="",
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


@app.command("check")
def check_rows(
    file: Annotated[
        Path | None,
        typer.Argument(help="A CSV or Parquet file with the project's columns; its own unless given."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Write every suspect row with its reasons to this .csv or .parquet file."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many rows to print.")] = 20,
    as_json: Json = False,
) -> None:
    """List suspect rows of the project in this folder, each with its reason: missing, outlier, wrong, dirty.

    Ends with 3 when more rows are wrong or dirty than gates.data.max_unfit_fraction allows.
    """
    folder = Path.cwd()
    project = load_project(folder)
    found = suspect.look_through(folder, project, file)
    if to is not None:
        suspect.export(found.rows(), suspect.FIELDS, to)
    if as_json:
        print_json({"n_rows": found.n_rows, "n_unfit": found.n_unfit, "reasons": found.reasons,
                    "rows": list(islice(found.rows(), limit))})  # fmt: skip
    else:
        print_table(
            ("KIND", "COLUMN", "ROWS", "REASON"),
            [(x["kind"], x["column"] or "-", f"{x['rows']:,}", x["reason"]) for x in found.reasons],
            empty=f"Nothing suspect in {found.n_rows:,} rows.",
        )
        shown = [(x.row, x.column or "-", x.value or "-", x.reason) for x in islice(found.rows(), limit)]
        if shown:
            print_table(("ROW", "COLUMN", "VALUE", "REASON"), shown, empty="")
        say(f"{found.n_unfit:,} of {found.n_rows:,} rows are wrong or dirty.")
    most = project.gates.data.max_unfit_fraction
    if most is not None and found.n_unfit > most * found.n_rows:
        end_with(
            GateFailed(f"{found.n_unfit} of {found.n_rows} rows are wrong or dirty, more than {most:.1%}."),
            as_json=as_json,
        )


@app.command("labels")
def check_labels(
    file: Annotated[
        Path | None,
        typer.Argument(help="A CSV or Parquet file with the project's columns; its own unless given."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write every doubtful row to this .csv or .parquet file.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many rows to print.")] = 20,
    as_json: Json = False,
) -> None:
    """List rows of the project in this folder whose label is probably wrong, the surest first, for review.

    Models that have not learnt from a row say what its label should be. Nothing is changed.
    """
    folder = Path.cwd()
    found = look_at_labels(folder, load_project(folder), file)
    if to is not None:
        suspect.export(found.rows, FIELDS, to)
    if as_json:
        print_json(
            {"n_rows": found.n_rows, "n_doubtful": len(found.rows), "reasons": found.reasons,
             "rows": found.rows[:limit]}
        )  # fmt: skip
        return
    print_table(
        ("ROW", "LABEL", "LIKELY", "SCORE", "REASON"),
        [
            (one.row, str(one.given), str(one.likely), f"{one.score:.1f}", one.reason)
            for one in found.rows[:limit]
        ],
        empty="No label is in doubt.",
    )
    say(f"The labels of {len(found.rows):,} of {found.n_rows:,} rows are in doubt.")


@app.command()
def erase(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    subject: Annotated[str, typer.Option(help="The business key of whom or what is to be erased.")],
    reason: Annotated[str, typer.Option(help="Why, and on whose request; it is kept in the audit log.")],
    raw: Annotated[bool, typer.Option("--raw", help="Delete raw originals that hold it, too.")] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Remove one subject from answers, labels, feedback and snapshots, all their old versions included.

    One that is interrupted is finished by the server, or by the next command that runs workflows; doing it
    again is safe. The audit log keeps the proof, with a keyed hash instead of the key. Files of your own,
    such as data/, are yours to change.
    """
    with session(as_name) as s, launch(s.app) as work:
        ordered = work.erasures.order(s.me, project, subject, reason=reason, raw=raw)
        done = work.erasures.result(ordered)
    if as_json:
        print_json(done)
        return
    typer.echo(f"Erased from {done.project}: {done.events:,} events, {done.rows:,} rows of tables.")
    for one in done.snapshots:
        learnt = f"; learnt from by {', '.join(one.models)}, which cannot be rebuilt" if one.models else ""
        say(f"  snapshot {one.snapshot}: {one.rows:,} rows{learnt}")
    for digest in done.archives:
        say(f"  raw original {digest}: {'deleted' if raw else 'still holds it; delete it with --raw'}")
    for text in done.not_searched:
        say(f"  not searched: {text}")
    say(f"Proof: headrace audit ls, subject {done.subject}")


@app.command()
def retain(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Delete answers, labels and feedback older than privacy.retention_days, as is done every hour."""
    with session(as_name) as s:
        done = retain_project(s.app, s.me, project)
    if as_json:
        print_json(done)
        return
    typer.echo(
        f"Deleted what was older than {done.before:%Y-%m-%d %H:%M} UTC: {done.events:,} events, "
        f"{done.rows:,} rows. Old versions of the tables are gone too."
    )


@app.command()
def encrypt(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Bring answers and labels that were written before under the project's current key.

    What is written from now on needs no command: privacy.encrypt in headrace.yaml says whether it is
    encrypted. Where that is false, what was encrypted is written in clear. Doing it again is safe.
    """
    with session(as_name) as s:
        done = encrypting.encrypt(s.app, s.me, project)
    if as_json:
        print_json(done)
        return
    say(f"Answers and labels of {done.project} are {_kept(done.key)}.")
    if done.snapshots:
        say(f"{done.snapshots} snapshots keep the files that they were taken with.")


@app.command()
def rotate(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    lost: Annotated[
        bool, typer.Option("--lost", help="State that the key file is gone, and what it encrypts with it.")
    ] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Give a project another key for what is written from now on; the old ones stay, to read old files."""
    with session(as_name) as s:
        done = encrypting.rotate(s.app, s.me, project, lost=lost)
    if as_json:
        print_json(done)
    else:
        say(f"From now on, data of {done.project} is {_kept(done.key)}.")
        if lost:
            typer.echo("What was written under the lost key cannot be read again.")
            return
        say(f"Bring the old data under it with: headrace data encrypt {done.project}")


@app.command()
def key(
    table: Annotated[str, typer.Argument(help="Name of the table, such as PROJECT/predictions.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Print the keys of a table, in hexadecimal, for other tools that read it; the audit log says who did."""
    with session(as_name) as s:
        found = encrypting.table_keys(s.app, s.me, table)
    if as_json:
        print_json(found)
    else:
        print_table(("KEY", "BYTES"), [(one.key_id, one.key) for one in found], empty="No key.")


def _kept(key_id: str | None) -> str:
    return "kept in clear" if key_id is None else f"encrypted with key {key_id}"


@app.command()
def tokenise(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Replace what is recognised in the text on standard input by tokens of the project's workspace."""
    with session(as_name) as s:
        _print_text(tokenising.tokenise(s.app, s.me, project, _given()), as_json=as_json)


@app.command()
def restore(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Read back the tokens in the text on standard input; that it was done is in the audit log."""
    with session(as_name) as s:
        _print_text(tokenising.restore(s.app, s.me, project, _given()), as_json=as_json)


def _given() -> str:
    return typer.get_text_stream("stdin").read()


def _print_text(text: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"text": text})
    else:
        typer.echo(text, nl=not text.endswith("\n"))
