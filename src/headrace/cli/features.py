"""``headrace features``: the sets that inputs come from, and which models were trained on them."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.data import features as store
from headrace.app.data.reused import offer
from headrace.cli.session import As, Json, print_json, print_table, say, session

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Feature sets, their versions, and the models trained on them.",
)
Project = Annotated[str, typer.Argument(help="Name of the project.")]


@app.command("ls")
def list_features(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List a project's feature sets, each with the version that is declared and the one that is live."""
    with session(as_name) as s:
        found = store.features(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("NAME", "DECLARED", "LIVE", "COLUMNS", "OWNER", "SOURCE", "MODELS"),
        [
            (
                one.name,
                one.version or "no more",
                ", ".join(x.ref.partition("@")[2] for x in one.trained if x.live) or "none",
                "-" if one.declared is None else len(one.declared.columns),
                "-" if one.declared is None else one.declared.owner.name,
                "-" if one.declared is None else one.declared.source,
                len({model for x in one.trained for model in x.models}),
            )
            for one in found
        ],
        empty="No inputs are declared.",
    )


@app.command("reuse")
def reuse(
    reference: Annotated[str, typer.Argument(help="PROJECT/SET, as 'headrace project assets' lists it.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Print what to write into headrace.yaml to take over a feature set of another project.

    Its rows are then read from that project's newest snapshot in each build, with your rights.
    """
    import yaml

    with session(as_name) as s:
        found = offer(s.app, s.me, reference)
    if as_json:
        print_json({"columns": found.columns, "feature": found.feature})
        return
    say("# Under data in headrace.yaml: add to its columns, and to its features.")
    told = {"columns": found.columns, "features": [found.feature]}
    say(yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100).rstrip())


@app.command("show")
def show(
    project: Project,
    name: Annotated[str, typer.Argument(help="Name of the feature set, such as 'inputs'.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Show one feature set: what each column is, and which rows of it each model was trained on."""
    with session(as_name) as s:
        found = store.feature_set(s.app, s.me, project, name)
    if as_json:
        print_json(found)
        return
    one = found.declared
    if one is None:
        say(f"{found.name} is declared no more.")
    else:
        say(f"{one.ref}: {one.documentation}")
        say(f"  ask      {one.owner.name} at {one.owner.contact}")
        say(f"  from     {one.source}   key {one.key or '-'}   time {one.time or '-'}")
        print_table(
            ("COLUMN", "KIND", "WHAT"), [(c.name, c.role, c.why or "-") for c in one.columns], empty=""
        )
    print_table(
        ("TRAINED ON", "ROWS", "UNTIL", "SNAPSHOT", "BASELINE", "MODELS"),
        [
            (
                x.ref.partition("@")[2],
                f"{x.n_rows:,}",
                "-" if x.until is None else f"{x.until:%Y-%m-%d %H:%M}",
                x.snapshot,
                x.profile[:12],
                (", ".join(x.models) or "no version") + (" (live)" if x.live else ""),
            )
            for x in found.trained
        ],
        empty="No model was trained on it yet. Build one with 'headrace run'.",
    )
