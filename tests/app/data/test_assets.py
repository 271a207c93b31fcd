"""What other projects have is found, and taken over within one's rights, with its origin on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from headrace.app.data.assets import assets
from headrace.app.data.reused import offer, reuse
from headrace.app.data.table import project_table
from headrace.app.overviews import reading
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.project import Variant
from headrace.data.snapshots import load_snapshot, snapshots_of
from headrace.data.sources import read_file
from headrace.projects.charter import load_project
from headrace.projects.flight import flight_check
from headrace.testing import make_project
from tests.app.data.test_features import JOINED, N_ROWS, SOLD, write
from tests.app.small import AUTHOR, Site, Small, cars

REUSING = JOINED.replace(
    "- name: offers\n      source: offers.csv", "- name: theirs\n      source: project:origin/offers"
)


@pytest.fixture(scope="module")
def origin(shared: Site) -> Small:
    made = write(shared, "origin")
    assert made.build()["release_id"]
    return made


def reusing(site: Site, name: str, *changes: tuple[str, str]) -> Small:
    rows = cars(N_ROWS)
    for column in ("listed", "guess"):
        rows.pop(column)
    rows["sold"] = [f"2025-03-{1 + place % 20:02d}T12:00:00" for place in range(N_ROWS)]
    before = (SOLD, REUSING), ("trainer: listed", "trainer: linear"), ("do: automatic", "do: warn")
    return site.project(name, *before, *changes, rows=rows)


@pytest.mark.requirement("ORG-10")
def test_another_projects_feature_set_is_read_as_it_was_known_and_its_origin_is_on_record(
    shared: Site, origin: Small
) -> None:
    project = reusing(shared, "reusing")
    assert not (project.folder / "offers.csv").exists()
    assert [
        one.name for one in flight_check(load_project(project.folder), project.folder) if not one.ticked
    ] == ["tests"]
    release = project.released()
    store, rows = shared.app.store, cars(N_ROWS)
    learnt = load_snapshot(store.snapshots.get(release.manifest.snapshots[0]["id"]), store.tables)
    assert learnt["listed"].tolist() == rows["listed"], "as known when each was sold, as in the origin itself"
    theirs = snapshots_of(store.snapshots, "origin", "offers")[-1]
    mine = snapshots_of(store.snapshots, "reusing", "theirs")[-1]
    assert mine.source == f"project:origin/offers (snapshot {theirs.id} of origin)"
    assert mine.digest == theirs.digest
    assert theirs.id in store.snapshots.get(release.manifest.snapshots[0]["id"]).source
    read = [e for e in store.audit.list() if e.action == "data.read" and e.resource == "project:origin"]
    assert (read[-1].actor, read[-1].detail["reused_by"]) == (AUTHOR, "reusing")
    (found,) = assets(shared.app, project.me, "origin/offers", "feature set")
    assert "reusing" in found.used_by


@pytest.mark.requirement("ORG-10")
def test_what_is_offered_can_be_written_into_a_charter_as_it_is(shared: Site, origin: Small) -> None:
    found = offer(shared.app, origin.me, "origin/offers")
    assert found.feature["source"] == "project:origin/offers"
    assert [one["name"] for one in found.columns] == ["listed", "guess"]
    project = reusing(shared, "offered")
    charter = yaml.safe_load((project.folder / "headrace.yaml").read_text())
    charter["data"]["features"] = [found.feature]
    (project.folder / "headrace.yaml").write_text(yaml.safe_dump(charter, sort_keys=False))
    assert project.build()["release_id"]
    plain = shared.project("plain")
    assert plain.build()["release_id"]
    with pytest.raises(InvalidInput, match="has no time that its rows could be joined by"):
        offer(shared.app, plain.me, "plain/inputs")


@pytest.mark.requirement("ORG-10")
def test_nobody_finds_or_takes_over_what_they_may_not_read(shared: Site, origin: Small) -> None:
    app = shared.app
    stranger = app.identities.add("mallory", ["developer"], actor=AUTHOR, workspace="elsewhere")
    assert [one for one in assets(app, stranger) if one.project == "origin"] == []
    assert {one.kind for one in assets(app, stranger)} == {"template"}, "what comes with Headrace"
    with pytest.raises((Denied, NotFound)):
        offer(app, stranger, "origin/offers")
    viewer = app.identities.add("vera", ["viewer"], actor=AUTHOR)
    kinds = {one.kind for one in assets(app, viewer, "origin")}
    may_read = app.gatekeeper.allows(viewer, "data.read", "project:origin")
    assert ("feature set" in kinds) == ("dataset" in kinds) == may_read
    assert "pipeline" in kinds


@pytest.mark.requirement("ORG-10")
def test_only_the_columns_that_are_named_are_copied(shared: Site, origin: Small) -> None:
    project = reusing(shared, "narrow", ("columns: [listed, guess]", "columns: [listed]"),
                      ("    - {name: guess, role: numeric}\n", ""))  # fmt: skip
    assert project.build()["release_id"]
    store = shared.app.store
    mine = snapshots_of(store.snapshots, "narrow", "theirs")[-1]
    assert set(load_snapshot(mine, store.tables)) == {"listed", "car", "since", "told"}
    raw = read_file(store.artifacts.path(mine.raw.digest), mine.raw.media_type)
    assert set(raw) == {"listed", "car", "since", "told"}


@pytest.mark.requirement("ORG-10")
@pytest.mark.parametrize("machine", ["trigger:drift", "system:fallback"])
def test_a_machine_reads_what_the_live_release_reads_and_no_more(
    shared: Site, origin: Small, machine: str
) -> None:
    name = f"by-{machine.partition(':')[2]}"
    project = reusing(shared, name, ("columns: [listed, guess]", "columns: [listed]"),
                      ("    - {name: guess, role: numeric}\n", ""))  # fmt: skip
    declared = load_project(project.folder)
    (spec,) = declared.data.features
    with pytest.raises(Denied, match="the live release"):
        reuse(shared.app, machine, declared, spec)
    assert project.released().state == "live"
    assert "guess" not in reuse(shared.app, machine, declared, spec).columns
    with pytest.raises(Denied, match="does not read these columns"):
        reuse(shared.app, machine, declared, replace(spec, columns=("listed", "guess")))
    with pytest.raises(Denied, match="does not read these columns"):
        reuse(shared.app, machine, declared, replace(spec, source="project:origin/inputs"))
    with pytest.raises(Denied):
        reuse(shared.app, "somebody-who-left", declared, spec)


@pytest.mark.requirement("ORG-10")
def test_a_replay_reads_with_the_rights_of_whoever_replays(shared: Site, origin: Small) -> None:
    project = reusing(shared, "replayed")
    assert project.released().state == "live"
    declared = load_project(project.folder)
    app, scratch = shared.app, shared.parent / "scratch"
    assert "listed" in project_table(project.folder, declared, scratch, app, AUTHOR)
    stranger = app.identities.add("oscar", ["developer"], actor=AUTHOR, workspace="elsewhere")
    with pytest.raises((Denied, NotFound)):
        project_table(project.folder, declared, scratch, app, stranger.name)


@pytest.mark.requirement("ORG-10")
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("absent", ("project:origin/offers", "project:origin/weather"), "has no feature set 'weather'"),
        ("unknown", ("project:origin/offers", "project:nowhere/offers"), "nowhere"),
        ("itself", ("project:origin/offers", "project:itself/offers"), "a set of this project"),
        ("unnamed", ("project:origin/offers", "'project:origin'"), "Expected project:PROJECT/SET"),
    ],
)
def test_what_cannot_be_taken_over_is_named(
    shared: Site, origin: Small, name: str, change: tuple[str, str], message: str
) -> None:
    result = reusing(shared, name, change).build()
    assert result["release_id"] is None
    assert message in result["reason"]


@pytest.mark.requirement("ORG-10")
def test_every_kind_is_found_by_words_and_says_how_to_use_it(shared: Site, origin: Small) -> None:
    found = {one.kind: one for one in assets(shared.app, origin.me, "origin")}
    assert set(found) == {"dataset", "feature set", "pipeline"}
    assert all(one.reuse for one in found.values())
    (best,) = assets(shared.app, origin.me, "origin better", "pipeline")
    assert best.version == "origin@1"
    assert reading.project(shared.app, origin.me, "origin").variants[1].trainer in best.text
    (starter,) = assets(shared.app, origin.me, "starter xgboost")
    assert starter.reuse == "headrace init NAME --starter xgboost"
    assert assets(shared.app, origin.me, "no such thing") == []


def test_a_prompt_is_named_as_the_file_that_it_is(shared: Site, origin: Small) -> None:
    prompt = Variant(name="answer", trainer="prompts/answer.md")
    declared = make_project(name="support", task="text_generation", variants=(prompt,))
    shared.app.store.projects.save(declared, "/nowhere/support")
    shared.app.store.epoch.advance()
    (found,) = assets(shared.app, origin.me, "support answer", "pipeline")
    assert found.text.startswith("text generation by prompts/answer.md, judged by ")


def test_the_template_that_a_project_was_made_from_is_found(shared: Site, origin: Small) -> None:
    answers = Path(origin.folder) / ".copier-answers.yml"
    answers.write_text("_commit: v3\n_src_path: https://git.example.org/templates/loans\n")
    try:
        (found,) = assets(shared.app, origin.me, "templates/loans")
        assert (found.kind, found.version, found.project) == ("template", "v3", "origin")
        assert found.reuse.endswith("--template https://git.example.org/templates/loans")
    finally:
        answers.unlink()
