"""How results are printed: whatever somebody has typed, a line stays a line and a cursor where it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.access.privacy.charters import terms_of
from headrace.app.composition import open_app
from headrace.app.overviews.reading import release_report
from headrace.cli.run import print_release
from headrace.cli.session import print_json, print_table, say
from headrace.projects.charter import load_project
from headrace.testing import make_manifest, make_project, make_release, make_route, make_settings
from tests.app.small import Small
from tests.cli.conftest import Cli

ODD = "nightly\n  passed       compliance     forged\x1b[2K\u202e\x9b\x7f"


@pytest.mark.requirement("GOV-01")
def test_a_line_stays_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"cause {ODD}")
    assert capsys.readouterr().out.rstrip("\n").isprintable()
    say(f"one\ntwo {ODD}", lines=True, err=True)
    said = capsys.readouterr().err
    assert all(line.isprintable() for line in said.splitlines())
    assert said.startswith("one\ntwo nightly")
    print_table(("A",), [(ODD,)], empty="")
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


@pytest.mark.requirement("GOV-01")
def test_json_is_the_same_value_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    given = {"why": ODD, "who": "Grüße \u4f60 \U0001f600", "tag": "\U000e0001"}
    print_json(given)
    out = capsys.readouterr().out
    assert json.loads(out) == given
    assert all(line.isprintable() for line in out.splitlines())
    assert "Grüße \u4f60 \U0001f600" in out, "what is text is not escaped"


@pytest.mark.requirement("GOV-01")
def test_the_cause_of_a_release_forges_no_verdict(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    with open_app(make_settings(cli.home)) as app:
        app.store.projects.save(make_project(), "/nowhere")
        manifest = make_manifest(cause=ODD, params={"variant": ODD})
        release = app.store.releases.add(make_release(manifest=manifest))
        print_release(release_report(app, app.me(), release.id))
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.startswith("  passed ")]
    assert all(line.isprintable() for line in lines)


def test_a_release_says_which_class_its_precision_is_about(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(task="classification")
    with open_app(make_settings(cli.home)) as app:
        for positive, said in ((None, False), ("churned", True)):
            charter = replace(project, data=replace(project.data, positive=positive))
            app.store.projects.save(charter, "/nowhere")
            manifest = make_manifest(charter=charter, params={"variant": "plain"})
            release = app.store.releases.add(make_release(manifest=manifest))
            print_release(release_report(app, app.me(), release.id))
            assert ("positive 'churned', which precision" in capsys.readouterr().out) is said


@pytest.mark.requirement("PRV-01")
def test_the_flight_check_names_what_waits_for_approval(cli: Cli) -> None:
    with open_app(make_settings(cli.home)) as app:
        Small(app=app, work=None, folder=Path.cwd(), name="cars").write()  # type: ignore[arg-type]
        declared = load_project(Path.cwd())
        app.me()
        app.store.projects.save(declared, str(Path.cwd()))
        tight = replace(declared, privacy=replace(declared.privacy, retention_days=30))
        live = app.store.releases.add(make_release(manifest=make_manifest(terms=terms_of(tight))))
        app.store.rollouts.set_route(make_route(live=live.id))
    assert "waits for approval: privacy.retention_days: declared 365, 30 holds" in cli("check").out
    (waiting,) = cli("check", "--json").json["waiting"]
    assert waiting == {"rule": "privacy.retention_days", "declared": "365", "holds": "30"}
