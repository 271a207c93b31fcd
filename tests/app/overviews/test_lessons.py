"""What was learnt from an alert on one model is a check of all that are made from its template."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from headrace.app.composition import App
from headrace.app.data.assets import assets
from headrace.app.operations import declare
from headrace.app.overviews.lessons import lessons_offered, offered_to, publish_lesson
from headrace.app.starting import start_project
from headrace.checks.quality import check_data
from headrace.cli.main import app as command_line
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.data.sources import read_file
from headrace.projects.blueprints import make_blueprint
from headrace.projects.charter import load_project
from headrace.projects.expert_templates import template_of, upgrade_project
from headrace.projects.lessons import Incidence, lessons_of, new_checks
from headrace.projects.versioning import commit_all
from headrace.testing import make_alert, make_finding
from tests.app.small import AUTHOR, Site

pytest.importorskip("copier", reason="needs Copier: pip install 'headrace[scaffold]'")
LEARNT = "A mileage below zero is a typing error of one dealer."


def table(path: Path, *, wrong: int = 0) -> Path:
    random = np.random.default_rng(0)
    mileage = random.uniform(1_000, 100_000, 200).round()
    mileage[:wrong] = -1.0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["mileage", "age", "price"])
        ages = random.integers(1, 12, 200).tolist()
        writer.writerows(zip(mileage.tolist(), ages, (20_000 - mileage / 10).tolist(), strict=True))
    return path


def made(app: App, parent: Path, name: str, *, template: Path | None = None) -> Path:
    folder = start_project(
        parent, name=name, data=table(parent / f"{name}.csv"), target="price", time=None, key=None,
        forecasting=False, owner="Ada", contact="ada@example.org",
        template=None if template is None else str(template),
    ).folder  # fmt: skip
    declare(app, app.me(), folder)
    return folder


def alerted(app: App, project: str) -> str:
    finding = make_finding(project=project, title="mileage has values that it never had")
    app.store.findings.add(finding)
    alert = make_alert(project=project, finding_id=finding.id)
    app.store.findings.save_alert(alert)
    return alert.id


@pytest.mark.slow
@pytest.mark.requirement("TPL-11")
def test_a_lesson_of_one_model_is_offered_to_the_others_and_taken_up_as_a_check(shared: Site) -> None:
    app, me, template = shared.app, shared.app.me(), shared.parent / "price-template"
    first = made(app, shared.parent, "cars")
    assert make_blueprint(first, template).version == "v1"
    second, _ = (made(app, shared.parent, name, template=template) for name in ("vans", "bikes"))
    assert lessons_offered(app, me) == []
    alert = alerted(app, "cars")

    said = {"incident": alert, "learnt": LEARNT}
    with pytest.raises(InvalidInput, match="brings none. Add a rule to data.rules"):
        publish_lesson(app, me, first, template, **said)
    assert lessons_of(template) == []
    charter = first / "headrace.yaml"
    charter.write_text(charter.read_text().replace("  target:", '  rules: ["mileage >= 0"]\n  target:', 1))
    charter.write_text(
        charter.read_text().replace(
            "max_null_fraction: 0.5", "max_null_fraction: 0.5\n    max_unfit_fraction: 0.01", 1
        )
    )
    commit_all(first, "A mileage is never negative")
    with pytest.raises(NotFound, match="no alert"):
        publish_lesson(app, me, first, template, incident="nothing", learnt=LEARNT)
    viewer = app.identities.add("vera", ["viewer"], actor=AUTHOR)
    with pytest.raises(Denied):
        publish_lesson(app, viewer, first, template, **said)
    assert publish_lesson(app, me, first, template, **said).version == "v2"
    (lesson,) = lessons_of(template)
    assert (lesson.version, lesson.project, lesson.incident, lesson.learnt) == ("v2", "cars", alert, LEARNT)
    assert lesson.happened == "mileage has values that it never had"
    assert 'headrace.yaml: rules: ["mileage >= 0"]' in lesson.checks
    (entry,) = [e for e in app.store.audit.list() if e.action == "template.lesson"]
    assert (entry.actor, entry.detail["incident"], entry.detail["version"]) == (me.name, alert, "v2")

    offered = lessons_offered(app, me)
    assert [(one.project, one.version, one.lessons) for one in offered] == [
        ("bikes", "v1", (lesson,)),
        ("vans", "v1", (lesson,)),
    ]
    bad = table(shared.parent / "bad.csv", wrong=20)

    def gate(folder: Path) -> str:
        project = load_project(folder)
        return check_data(read_file(bad), project.data, project.gates.data, project.task).outcome

    assert gate(second) == "passed", "what went wrong with the first would go wrong with the second"
    assert upgrade_project(second).after == "v2"
    assert gate(second) == "failed", "and is now caught by it"
    assert [one.project for one in lessons_offered(app, me)] == ["bikes"]
    assert (
        lessons_offered(app, app.identities.add("mallory", ["developer"], actor=AUTHOR, workspace="else"))
        == []
    )


def test_a_lesson_is_what_happened_and_what_was_learnt(tmp_path: Path) -> None:
    environment = {"HEADRACE_HOME": str(tmp_path / "home"), "HEADRACE_USER": "ada"}
    ended = CliRunner().invoke(
        command_line, ["project", "to-template", "t", "--learnt", "x"], env=environment
    )
    assert "Give both --incident and --learnt" in str(ended.exception)


def test_only_a_check_is_one() -> None:
    before = {
        "headrace.yaml": "name: a\ngates:\n  data:\n    min_rows: 50\ndata:\n  source: a.csv\n",
        "project.py": "",
    }
    for path, more in (
        ("headrace.yaml", "team: []\n"),
        ("headrace.yaml", "  # gates\n"),
        ("project.py", "def f(): ...\n"),
    ):
        with pytest.raises(InvalidInput, match="brings none"):
            new_checks(before, before | {path: before[path] + more})
    tighter = before["headrace.yaml"].replace("50", "80")
    assert new_checks(before, before | {"headrace.yaml": tighter}) == ("headrace.yaml: min_rows: 80",)
    ruled = before["headrace.yaml"] + "  rules:\n    - a >= 0\n"
    assert new_checks(before, before | {"headrace.yaml": ruled}) == (
        "headrace.yaml: rules:",
        "headrace.yaml: - a >= 0",
    )
    assert new_checks(before, before | {"tests/test_a.py": "def test_a():\n    assert 1\n"})
    assert Incidence(incident="1", happened="it fell", learnt="look").incident == "1"


@pytest.mark.parametrize("broken", ["answers", "lessons"])
def test_a_broken_file_of_one_project_hides_no_other(shared: Site, broken: str) -> None:
    project = shared.project(f"torn-{broken}")
    declare(shared.app, project.me, project.folder)
    template = shared.parent / f"torn-template-{broken}"
    template.mkdir()
    lesson = "- {version: 2, project: a, incident: b, happened: c, learnt: d, checks: [e]}\n"
    (template / "lessons.yaml").write_text(lesson)
    answers = {"answers": "_commit: [", "lessons": f"_commit: v1\n_src_path: {template}\n"}[broken]
    (project.folder / ".copier-answers.yml").write_text(answers)
    declared = shared.app.store.projects.get(project.name)
    try:
        assert offered_to(shared.app, declared) is None
        assert project.name not in [one.project for one in lessons_offered(shared.app, project.me)]
        kinds = {one.kind for one in assets(shared.app, project.me, project.name)}
        assert "dataset" in kinds, "what can be read of it is shown"
        with pytest.raises(InvalidInput, match="cannot be read|can be read"):
            template_of(project.folder) if broken == "answers" else lessons_of(template)
    finally:
        (project.folder / ".copier-answers.yml").unlink()
