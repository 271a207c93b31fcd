"""Features of another table: joined as they were, trained on, and the baseline that drift is held against."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from headrace.app.data.features import feature_set, features
from headrace.app.operations import watch_now
from headrace.app.overviews import reading
from headrace.app.privacy.erasing import Subject
from headrace.cli.main import app as cli
from headrace.core.errors import NotFound
from headrace.data.snapshots import load_snapshot, snapshots_of
from headrace.monitoring.baseline import Baseline
from headrace.training.features import FeatureStore
from tests.app.small import AUTHOR, Site, Small, cars

SOLD = "  key: car\n"
JOINED = """\
  key: car
  time: sold
  features:
    - name: offers
      source: offers.csv
      columns: [listed, guess]
      key: car
      time: since
      known: told
      owner: {name: Sales, contact: sales@example.org}
"""
N_ROWS = 200


def write(site: Site, name: str) -> Small:
    """Cars whose listed price and guess are in another table: offered twice, and once told too late."""
    rows = cars(N_ROWS)
    offers = {column: rows.pop(column) for column in ("listed", "guess")}
    rows["sold"] = [f"2025-03-{1 + place % 20:02d}T12:00:00" for place in range(N_ROWS)]
    made = site.project(
        name, (SOLD, JOINED), ("trainer: listed", "trainer: linear"), ("do: automatic", "do: warn"), rows=rows
    )
    lines = ["car,since,told,listed,guess"]
    for place in range(N_ROWS):
        car, day = rows["car"][place], rows["sold"][place][:10]
        lines.append(f"{car},2025-01-01,2025-01-01,1.0,1.0")
        lines.append(f"{car},{day},{day},{offers['listed'][place]},{offers['guess'][place]}")
        lines.append(f"{car},{day}T01:00:00,2025-12-31,7777777.0,7777777.0")
    (made.folder / "offers.csv").write_text("\n".join(lines), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def joined(shared: Site) -> Small:
    made = write(shared, "joined")
    assert made.released().state == "live"
    return made


@pytest.mark.requirement("FEA-05")
def test_training_reads_what_was_known_when_each_car_was_sold(joined: Small) -> None:
    (release,) = joined.releases()
    store, rows = joined.app.store, cars(N_ROWS)
    snapshot = store.snapshots.get(release.manifest.snapshots[0]["id"])
    learnt = load_snapshot(snapshot, store.tables)
    assert learnt["listed"].tolist() == rows["listed"], "never the offer that was told after the sale"
    assert learnt["guess"].tolist() == rows["guess"]
    own, offers = (snapshots_of(store.snapshots, joined.name, name)[0] for name in ("inputs", "offers"))
    assert snapshot.source == (
        f"feature sets joined: cars.csv (snapshot {own.id}), offers.csv (snapshot {offers.id})"
    )
    assert (own.n_rows, offers.n_rows) == (N_ROWS, 3 * N_ROWS)
    assert store.artifacts.get(offers.raw.digest) == (joined.folder / "offers.csv").read_bytes()
    assert snapshots_of(store.snapshots, joined.name) == [snapshot], "the project's own table is one"


@pytest.mark.requirement("FEA-05")
def test_drift_is_held_against_the_baseline_of_the_version_that_the_live_release_was_trained_on(
    joined: Small,
) -> None:
    app, (release,) = joined.app, joined.releases()
    refs = [one.trained[0].ref for one in features(app, joined.me, joined.name)]
    assert refs[0].startswith("joined/inputs@")
    assert refs[1].startswith("joined/offers@")
    assert release.manifest.snapshots[0]["features"] == ", ".join(refs)
    kept = json.loads(app.store.artifacts.get(release.manifest.baseline.digest))
    assert "inputs" not in kept, "it says which versions, and has no copy of what the store keeps"
    baseline = app.scorers.baseline(release.id)
    assert [one.ref for one in baseline.features] == refs
    assert set(baseline.inputs.features) == {"year", "mileage", "diesel", "listed", "guess"}
    # Whatever is declared since then, the live release has the baseline of what it was trained on.
    charter = joined.folder / "headrace.yaml"
    declared = charter.read_text(encoding="utf-8")
    charter.write_text(declared.replace("known: told", "known: since"), encoding="utf-8")
    for day in range(8):
        joined.answered(cars(40, seed=10 + day, newer_by=6), day=day, release=release.id)
    watch_now(app, joined.work, joined.me, joined.name)
    found = {f.feature: f for f in app.store.findings.list(joined.name) if f.kind == "data_drift"}
    assert found["year"].evidence["reference"] == "training"
    assert found["year"].evidence["feature_sets"] == refs
    assert found["year"].evidence["n_reference"] == features(app, joined.me, joined.name)[0].trained[0].n_rows


@pytest.mark.requirement("FEA-05")
def test_each_set_says_whose_it_is_and_which_models_were_trained_on_which_rows(joined: Small) -> None:
    app, me = joined.app, joined.me
    own, offers = features(app, me, joined.name)
    assert offers == feature_set(app, me, joined.name, "offers")
    assert offers.declared is not None
    assert offers.declared.owner.name == "Sales"
    assert [c.name for c in offers.declared.columns] == ["listed", "guess"]
    (trained,) = offers.trained
    assert (trained.models, trained.live) == (["joined@1"], True)
    assert trained.until is not None
    assert trained.snapshot == own.trained[0].snapshot
    assert own.trained[0].n_rows == trained.n_rows
    with pytest.raises(NotFound, match="has no feature set 'sales' .has: joined/inputs, joined/offers"):
        feature_set(app, me, joined.name, "sales")
    with pytest.raises(NotFound):
        features(app, me, "absent")


def test_the_command_line_lists_and_shows_them(joined: Small) -> None:
    def run(*arguments: str) -> str:
        home = {"HEADRACE_HOME": str(joined.app.settings.home), "HEADRACE_USER": AUTHOR, "COLUMNS": "200"}
        result = CliRunner().invoke(cli, ["features", *arguments], env=home)
        assert result.exit_code == 0, result.output
        return result.stdout

    own, offers = features(joined.app, joined.me, joined.name)
    listed = run("ls", joined.name)
    assert all(one.version is not None and one.version in listed for one in (own, offers))
    assert [one["name"] for one in json.loads(run("ls", joined.name, "--json"))] == [own.name, offers.name]
    shown = run("show", joined.name, "offers")
    assert "ask      Sales at sales@example.org" in shown
    assert "joined@1 (live)" in shown
    assert offers.trained[0].profile[:12] in shown
    assert json.loads(run("show", joined.name, "offers", "--json"))["version"] == offers.version


def test_two_releases_of_the_same_rows_share_one_baseline_of_their_inputs(shared: Site) -> None:
    project = shared.project("twice")
    project.released()
    project.released()
    first, second = (shared.app.scorers.baseline(release.id) for release in project.releases())
    assert first.features == second.features
    (trained,) = features(shared.app, project.me, project.name)[0].trained
    assert trained.models, "one materialisation for both"


@pytest.mark.requirement("PRV-02")
def test_a_subject_is_erased_from_the_tables_of_feature_sets_too(shared: Site) -> None:
    project = write(shared, "forgetful")
    project.build()
    subject = Subject(project.app, reading.project(project.app, project.me, project.name), "17")
    assert sorted(one.rows for one in subject.find().snapshots) == [1, 1, 3]
    assert len(subject.archives().digests) == 3, "raw originals are found as well"
    subject.snapshots()
    assert subject.find().snapshots == []


def test_what_is_not_there_stops_the_build_with_its_name(shared: Site) -> None:
    project = write(shared, "lost")
    (project.folder / "offers.csv").unlink()
    reason = project.build()["reason"]
    assert "The feature set 'offers' names 'offers.csv', which is not in" in reason


def test_a_baseline_from_before_there_was_a_feature_store_is_read_as_it_was(joined: Small) -> None:
    made = joined.app.scorers.baseline(joined.releases()[0].id)
    before: dict[str, Any] = json.loads(made.to_bytes())
    del before["features"]
    before |= {"format": 1, "inputs": made.inputs.to_dict()}
    read = Baseline.from_bytes(json.dumps(before).encode(), FeatureStore(joined.app.store.artifacts))
    assert read.features == ()
    assert read.inputs.to_dict() == made.inputs.to_dict()
    np.testing.assert_array_equal(read.losses, made.losses)
