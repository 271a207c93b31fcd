"""``headrace model``: versions, runs, lineage, rebuild; scan, sign and verify files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.app.elsewhere.adopting import adopt, adopt_folder
from headrace.app.elsewhere.artefacts import export_signed, scan_model, verify_export
from headrace.app.operations import settle
from headrace.app.overviews.active import active, export_model
from headrace.app.overviews.experiments import history
from headrace.app.overviews.reading import (
    bill_of_materials,
    lineage,
    model_versions,
    rebuild,
    release_report,
    runs,
)
from headrace.app.registry.importing import import_runs
from headrace.app.workflows import launch
from headrace.cli import provider
from headrace.cli.attach import attach
from headrace.cli.exits import end_with
from headrace.cli.run import finish, print_release
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import Conflict, GateFailed
from headrace.training.rebuild import Environment

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Versions, runs, lineage; import, attach, rebuild."
)
Project = Annotated[str, typer.Argument(help="Name of the project.")]
NameAtVersion = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Such as cars@1.")]
_PROOFS = {
    "digest": "{model} was made again: its package is the same to the last byte.",
    "predictions": "{model} was made again: its package has other bytes and answers every row of its frozen "
    "test set exactly as before.",
    "nothing": "{model} was not made again.",
}

app.command("attach")(attach)
app.add_typer(provider.app, name="provider")


@app.command("ls")
def list_models(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List a project's model versions, oldest first."""
    with session(as_name) as s:
        found = model_versions(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("VERSION", "IN MLFLOW", "RUN", "PACKAGE", "REGISTERED"),
        [
            (
                m.version,
                m.registry_version,
                m.run_id,
                m.package.digest[:12],
                f"{m.registered_at:%Y-%m-%d %H:%M}",
            )
            for m in found
        ],
        empty="No model yet. Make one with 'headrace run'.",
    )


@app.command("active")
def show_active(as_name: As = None, as_json: Json = False) -> None:
    """Which version is active in each environment, since when, by whose word, with how many open alerts."""
    with session(as_name) as s:
        found = active(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("PROJECT", "ENVIRONMENT", "VERSION", "SHARE", "IN MLFLOW", "SINCE", "ALERTS", "APPROVED BY"),
        [
            (
                a.project,
                a.environment,
                a.version,
                f"{a.share_percent:.0f} %",
                f"{a.mlflow_version or '-'}{f' @{a.mlflow_alias}' if a.mlflow_alias else ''}",
                "" if a.since is None else f"{a.since:%Y-%m-%d %H:%M}",
                a.open_alerts or "",
                ", ".join(a.approved_by),
            )
            for a in found
        ],
        empty="Nothing is live yet. Make a model with 'headrace run'.",
    )


@app.command("export")
def export(
    model: NameAtVersion,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A folder that is not there yet.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Write a version as a folder that MLflow's pyfunc loads."""
    with session(as_name) as s:
        folder = export_model(s.app, s.me, model, to)
    if as_json:
        print_json({"model": model, "folder": str(folder)})
    else:
        say(f"{model} is in {folder}. Load it with mlflow.pyfunc.load_model({str(folder)!r}).")


@app.command("runs")
def list_runs(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List every training run, failed ones included, newest first."""
    with session(as_name) as s:
        found = runs(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("RUN", "VARIANT", "STATE", "METRICS", "ERROR"),
        [
            (r.id, r.variant, r.state, ", ".join(f"{k} {v:.4g}" for k, v in r.metrics.items()), r.error)
            for r in found
        ],
        empty="No run yet. Make one with 'headrace run'.",
    )


@app.command("lineage")
def show_lineage(model: NameAtVersion, as_name: As = None, as_json: Json = False) -> None:
    """Data, features, code, environment and parameters of one version."""
    with session(as_name) as s:
        found = lineage(s.app, s.me, model)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        say(f"  {name:<12} {value}")


@app.command("sbom")
def show_bill(model: NameAtVersion, as_name: As = None, as_json: Json = False) -> None:
    """List the packages a version was made with and their licences; --json is the bill in CycloneDX."""
    with session(as_name) as s:
        found = bill_of_materials(s.app, s.me, model)
    if as_json:
        print_json(found)
        return
    print_table(
        ("PACKAGE", "VERSION", "LICENCE"),
        [(one["name"], one["version"], licence_of(one)) for one in found.get("components", [])],
        empty="It was made with no packages.",
    )


def licence_of(component: Mapping[str, Any]) -> str:
    """What a component of a bill states."""
    stated = [one.get("expression") or one["license"].get("id") or one["license"]["name"]
              for one in component.get("licenses", [])]  # fmt: skip
    return " AND ".join(stated)


@app.command("history")
def show_history(model: NameAtVersion, as_name: As = None, as_json: Json = False) -> None:
    """List every experiment up to a version, with its runs; those it descends from are marked."""
    with session(as_name) as s:
        found = history(s.app, s.me, model)
    if as_json:
        print_json(found)
        return
    for one in found:
        became = "no release" if one.release_id is None else f"release {one.release_id[:13]} {one.state}"
        mark, began = "*" if one.in_line else " ", f"{one.began_at:%Y-%m-%d %H:%M} UTC"
        say(f"{mark} {began}  {one.cause}  by {one.author}: {became}")
        for run in one.runs:
            metrics = ", ".join(f"{name} {value:.4g}" for name, value in run.metrics.items())
            chosen = " (chosen)" if run.id == one.chosen else ""
            say(f"    {run.variant:<12} {run.state}{chosen}  {metrics or run.error or ''}")


@app.command("rebuild")
def rebuild_model(
    model: NameAtVersion,
    fresh: Annotated[
        bool | None,
        typer.Option(
            "--fresh/--here",
            help="In an environment made from the version's lock, or in this one as it is; without either, "
            "in this one if it equals the lock.",
        ),
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Make a version again from its record alone, and say whether it is the same."""
    chosen: Environment | None = None if fresh is None else "fresh" if fresh else "present"
    with session(as_name) as s:
        result = rebuild(s.app, s.me, model, environment=chosen, told=lambda text: say(text, err=True))
    if as_json:
        print_json(result)
    else:
        for name, value in result.items():
            say(f"  {name:<18} {value}")
        say(_PROOFS[result["proved_by"]].format(model=model))
    if result["proved_by"] == "nothing":
        failed = GateFailed(f"{model} could not be reproduced: it answers its test rows otherwise.")
        end_with(failed, as_json=as_json)


@app.command("scan")
def scan(
    path: Annotated[Path, typer.Argument(help="A model's file or folder.")],
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Accept programs, such as the code of an MLflow model.")
    ] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Say what would run if a model's file or folder were loaded, without loading it."""
    with session(as_name) as s:
        found = scan_model(s.app, s.me, path, allow_code=allow_code)
    if as_json:
        print_json(found)
    else:
        for threat in found.threats:
            say(f"  {threat}")
        if not found.threats:
            say(f"{path} holds nothing that would run (asked: {', '.join(found.scanners)}).")
    if found.threats:
        end_with(GateFailed(f"{path} is refused: {len(found.threats)} found."), as_json=as_json)


@app.command("sign")
def sign(
    model: NameAtVersion,
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="A new folder for the model and its signature.")
    ],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Write a released version into a folder, signed in the OpenSSF format."""
    with session(as_name) as s:
        written = export_signed(s.app, s.me, model, to)
    if as_json:
        print_json(written)
    else:
        say(f"{model} is in {written.folder}, signed in {written.bundle}.")
        say(f"Verify it anywhere: headrace model verify {written.folder} --key {written.public_key}")


@app.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="A folder with a model and its model.sig.")],
    key: Annotated[Path, typer.Option(help="The signer's public key.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Say whether a folder's files are those that were signed."""
    with session(as_name) as s:
        try:
            verify_export(s.app, s.me, folder, key)
        except Conflict as error:
            raise GateFailed(str(error)) from error
    if as_json:
        print_json({"folder": str(folder), "verified": True})
    else:
        say(f"{folder} is what was signed.")


@app.command("import")
def import_model(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|models:/NAME/VERSION",
            help="A folder of MLflow or MLServer, or a version in MLflow's registry.",
        ),
    ],
    project: Annotated[str, typer.Option("--project", help="The project that it is a candidate for.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Make a model that was made elsewhere the candidate of a release; a person decides on it."""
    with session(as_name) as s, launch(s.app) as work:
        if source.startswith("models:"):
            build_id = adopt(s.app, work, s.me, project, source)
        else:
            build_id = adopt_folder(s.app, work, s.me, project, Path(source))
        built = work.durable.result(build_id)
        if built["release_id"] is None:
            end_with(GateFailed(built["reason"]), as_json=as_json)
        release = settle(s.app, work, built["release_id"], leaving=("proposed",))
        report = release_report(s.app, s.me, release.id)
    if as_json:
        print_json(report)
    else:
        print_release(report)
    finish(release, report.flight, as_json=as_json)


@app.command("import-runs")
def import_other_runs(
    folder: Annotated[Path, typer.Argument(help="What Sacred or a TensorBoard writer has written to.")],
    project: Annotated[str, typer.Option("--project", help="The project that the runs belong to.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Record runs that were logged with Sacred or for TensorBoard, each once."""
    with session(as_name) as s:
        found = import_runs(s.app, s.me, project, folder)
    if as_json:
        print_json(found)
        return
    print_table(
        ("RUN", "VARIANT", "STATE", "METRICS", "IMPORTED"),
        [
            (
                one.run.id,
                one.run.variant,
                one.run.state,
                ", ".join(f"{name} {value:.4g}" for name, value in one.run.metrics.items()),
                "now" if one.new else "before",
            )
            for one in found
        ],
        empty="",
    )
