"""Gate 3b, end to end: what consumers rely on is asked of the packaged service, behind the whole server."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.app.answers.trial import server_process
from headrace.app.governance import waivers
from headrace.core.errors import InvalidInput, Unavailable
from tests.app.small import AUTHOR, VALIDATOR, Site, Small

PAGE = """\
consumer: page
owner: {name: Web, contact: web@example.org}
interactions:
  - name: a usual car
    request: {record: {year: 2012, mileage: 80000, diesel: true, listed: 9500, guess: 9000}}
    answer: {predict: {type: number, min: 9499, max: 9501}}
    may_be_null: [mileage]
    within_ms: 60000
  - name: a year in words
    request: {records: [{year: soon, mileage: 80000, diesel: true, listed: 9500, guess: 9000}]}
    refused: true
    field: year
"""
IN_WORDS = """\
  - name: a mileage in words
    request: {record: {year: 2012, mileage: Ada-77, diesel: true, listed: 9500, guess: 9000}}
    answer: {predict: {type: number}}
"""
HIDDEN = ("basis: not_personal", "basis: not_personal, fields: {mileage: drop}")


def publish(project: Small, text: str) -> Path:
    path = project.folder / "contracts" / "page.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.requirement("GAT-04", "GAT-09", "ORG-14")
def test_a_changed_model_that_breaks_a_consumers_contract_is_refused_unless_waived(shared: Site) -> None:
    app = shared.app
    project = shared.project("promised", HIDDEN)
    publish(project, PAGE)
    first = project.released()
    assert first.state == "live", first.reason
    verdicts = project.verdicts(first)
    assert verdicts["contract"].reason == "2 of 2 interactions of page are kept"
    published = verdicts["contract"].evidence["contracts"]["page"]
    assert published["owner"] == "Web, web@example.org"
    parts = verdicts["rehearsal"].evidence["parts"]
    assert set(parts) == {"access", "route", "record", "labels", "metrics"}
    assert all(part["works"] for part in parts.values())
    assert "the median of 31 asks" in verdicts["contract"].evidence["interactions"][0]["got"]
    assert app.store.events.segments("promised/predictions") == [], "a rehearsal is no production"
    assert not any((app.settings.home / "scratch").iterdir())

    project.write(HIDDEN, ("trainer: listed", "trainer: linear"))
    publish(project, PAGE + IN_WORDS)
    second = project.released()
    assert second.state == "refused"
    judged = project.verdicts(second)["contract"]
    assert second.reason == f"contract: {judged.reason}", "no other gate has failed"
    assert "page, 'a usual car': predict is" in judged.reason
    assert "(relies on predict: number 9499..9501; also where mileage is null; within" in judged.reason
    assert "page, 'a mileage in words': was refused (400)" in judged.reason
    assert "mileage" in judged.reason
    assert "Ada-77" not in judged.reason + str(judged.evidence)
    archived = [
        check.limit for check in (*first.manifest.checks, *second.manifest.checks) if check.name == "contract"
    ]
    assert len({limit["contracts"] for limit in archived}) == 2, "another contract is another digest"
    assert all(app.store.artifacts.has(limit["contracts"]) for limit in archived)

    asked = waivers.ask(
        app, project.me, project.name, "gate:contract", reason="the page follows", days=7, size="medium"
    )
    app.identities.add("vic", ["validator"], actor=AUTHOR)
    for name in (VALIDATOR, "vic"):
        asked = waivers.decide(app, app.identities.resolve(name), asked.id, "approved")
    third = project.released()
    assert third.state == "rolling_out", third.reason
    waived = project.verdicts(third)["contract"]
    assert waived.outcome == "passed"
    assert waived.evidence["outcome without the waiver"] == "failed"
    assert asked.id in waived.reason


@pytest.mark.requirement("GAT-09")
def test_a_rehearsal_that_cannot_begin_is_an_error_and_refuses(
    shared: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = shared.project("unheard")
    publish(project, PAGE)
    monkeypatch.setattr("headrace.app.gates.rehearsal.SERVER", "headrace.nowhere")
    release = project.released()
    assert release.state == "refused"
    assert "contract: could not be measured: The server for the test did not start" in release.reason
    verdicts = project.verdicts(release)
    assert {verdicts[gate].outcome for gate in ("contract", "rehearsal")} == {"error"}
    with pytest.raises(Unavailable, match="did not start"), server_process(shared.app.settings, "no.module"):
        pass


def test_a_server_of_ours_takes_no_module_out_of_the_folder_where_it_starts(
    shared: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "module.py").write_text('print(\'{"url": "theirs"}\', flush=True); input()')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unavailable, match="did not start"), server_process(shared.app.settings, "no.module"):
        pass


@pytest.mark.requirement("GAT-04")
def test_a_contract_that_cannot_be_read_is_refused_before_anything_is_built(shared: Site) -> None:
    project = shared.project("misspelt")
    path = publish(project, PAGE.replace("within_ms", "within_s"))
    with pytest.raises(InvalidInput, match=r"contracts/page.yaml .*\n  line 8, column 5: unknown key"):
        project.build()
    assert project.runs() == {}
    path.unlink()
    release = project.released()
    assert project.verdicts(release)["contract"].reason == "no consumer has published a contract"
    assert "rehearsal" not in project.verdicts(release)
