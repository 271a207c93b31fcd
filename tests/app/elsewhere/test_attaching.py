from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.app.business.backtesting import backtest
from headrace.app.elsewhere.attaching import Foreign, attach_model
from headrace.app.elsewhere.log_import import import_log, read_log
from headrace.app.operations import watch_now
from headrace.app.overviews import reading
from headrace.checks.texts import TextProfile
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.release import Release
from headrace.data.sources import write_parquet
from headrace.releases.states import next_state
from headrace.store.records import decode_prediction
from headrace.testing import START
from tests.app.small import VALIDATOR, Site, Small, cars

DAYS = 28
TIMED = (
    ("  target: price", "  target: price\n  time: day"),
    ("window_s: 604800", "window_s: 604800, min_rows: 30"),
)


def log_of(n_rows: int, *, seed: int, shifted: float = 0.0) -> dict[str, list[Any]]:
    """Four weeks of a model elsewhere, which says what a car is listed for; later inputs may be others."""
    rows = cars(n_rows, seed=seed)
    rows["listed"] = [value + shifted for value in rows["listed"]]
    rows["prediction"] = list(rows["listed"])
    rows["day"] = [f"2026-03-{1 + DAYS * i // n_rows:02d}T08:00:00" for i in range(n_rows)]
    return rows


def as_csv(path: Path, rows: dict[str, list[Any]]) -> Path:
    lines = [",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def as_lines(path: Path, rows: dict[str, list[Any]]) -> Path:
    lines = [json.dumps(dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def as_parquet(path: Path, rows: dict[str, list[Any]]) -> Path:
    write_parquet({name: np.array(values) for name, values in rows.items()}, path)
    return path


def attach(site: Site, name: str, **more: Any) -> tuple[Small, Release]:
    """A project of which a model answers elsewhere as ``v7``."""
    small = site.project(name, *TIMED, rows=cars(60) | {"day": ["2026-01-01"] * 60})
    reference = as_csv(small.folder.parent / f"{name}-reference.csv", log_of(600, seed=1))
    foreign = Foreign(version="v7", reference=reference, **({"statement": "by the old team"} | more))
    return small, attach_model(site.app, small.me, small.folder, foreign)


@pytest.mark.requirement("DEP-13", "ORG-13")
def test_a_model_elsewhere_is_registered_recorded_and_watched_without_being_redeployed(shared: Site) -> None:
    app = shared.app
    small, release = attach(shared, "brown")
    assert (release.state, release.manifest.subject.ref) == ("external", "model:brown@1")
    (version,) = reading.model_versions(app, small.me, "brown")
    said = json.loads(app.store.artifacts.get(version.package.digest))
    assert (said["external"], said["statement"], said["sha256"]) == ("v7", "by the old team", None)
    log = as_csv(small.folder.parent / "days.csv", log_of(800, seed=2, shifted=6_000.0))
    done = import_log(app, small.me, "brown", log, version="v7")
    assert (done.rows, done.known, done.labels) == (800, 0, 800)
    watch_now(app, shared.work, small.me, "brown")
    found = reading.findings(app, small.me, "brown")
    assert {("data_drift", "listed"), ("prediction_drift", "prediction")} <= {
        (f.kind, f.feature) for f in found
    }
    assert "performance" in {f.kind for f in found}, "it says what is listed, and that is 6,000 too much now"
    assert {f.release_id for f in found} == {release.id}
    assert not {f.feature for f in found} & {"mileage", "year"}
    assert app.store.rollouts.route("brown") is None, "nothing is given traffic"


NOTED = (
    "    - {name: guess, role: numeric}",
    "    - {name: guess, role: numeric}\n    - {name: note, role: text}",
)
ABOUT_PEOPLE = ("privacy: {basis: not_personal}", "privacy: {basis: consent, fields: {note: redact}}")


@pytest.mark.requirement("MON-12", "PRV-07")
def test_texts_of_a_model_elsewhere_are_watched_and_redacted_on_both_sides(shared: Site) -> None:
    """Sellers write their address in every note; from March on, more of them write of a scratch."""
    app, random = shared.app, np.random.default_rng(0)
    words = np.array("clean tidy garage kept one owner full service history new tyres".split(), dtype=object)

    def noted(rows: dict[str, list[Any]], share: float) -> dict[str, list[Any]]:
        texts = [" ".join(random.choice(words, 6)) for _ in rows["listed"]]
        extra = [" scratch" if random.random() < share else "" for _ in texts]
        rows["note"] = [f"{text}{more} ada@example.org" for text, more in zip(texts, extra, strict=True)]
        return rows

    rows = noted(cars(60), 0.0) | {"day": ["2026-01-01"] * 60}
    small = shared.project("noted", *TIMED, NOTED, ABOUT_PEOPLE, rows=rows)
    folder = small.folder.parent
    reference = as_csv(folder / "noted-reference.csv", noted(log_of(600, seed=1), 0.02))
    foreign = Foreign(version="v7", reference=reference, statement="by the old team")
    release = attach_model(app, small.me, small.folder, foreign)
    profile = app.scorers.baseline(release.id).texts["note"]
    assert isinstance(profile, TextProfile)
    kept = profile.words
    assert kept["garage"] > 100
    assert not {"ada", "example", "org"} & set(kept)
    log = as_csv(folder / "noted-days.csv", noted(log_of(800, seed=2), 0.3))
    import_log(app, small.me, "noted", log, version="v7")
    watch_now(app, shared.work, small.me, "noted")
    (found,) = [f for f in reading.findings(app, small.me, "noted") if f.feature == "note"]
    assert found.title.startswith("input 'note' uses other words: more 'scratch' (")
    assert "example" not in repr(found)


def test_each_row_of_a_log_is_recorded_once_whatever_its_form(shared: Site, tmp_path: Path) -> None:
    app = shared.app
    small, release = attach(shared, "forms")
    forms: list[tuple[str, Callable[[Path, dict[str, list[Any]]], Path]]] = [
        ("a.csv", as_csv), ("b.jsonl", as_lines), ("c.parquet", as_parquet),
    ]  # fmt: skip
    for seed, (name, write) in enumerate(forms):
        path = write(tmp_path / name, log_of(50, seed=10 + seed))
        first = import_log(app, small.me, "forms", path, version="v7")
        again = import_log(app, small.me, "forms", path, version="v7")
        assert (first.rows, again.rows, again.known) == (50, 0, 50)
    events = app.store.events
    assert events.count("forms/predictions") == 150
    (segment,) = events.segments("forms/predictions")
    records = [decode_prediction(r) for r in events.read("forms/predictions", segment.name, 0, 1000)[0]]
    assert {(one.release_id, one.arm, one.principal) for one in records} == {(release.id, "live", "ada")}
    assert records[0].event_time.isoformat() == "2026-03-01T08:00:00+00:00"
    assert set(records[0].columns) == {"year", "mileage", "diesel", "listed", "guess"}
    assert all(isinstance(one.columns["diesel"][0], bool) for one in records)


def test_an_import_that_was_cut_off_goes_on_where_it_stopped(shared: Site, tmp_path: Path) -> None:
    app = shared.app
    small, _ = attach(shared, "cut")
    path = as_csv(tmp_path / "days.csv", log_of(12, seed=3))

    class Cut(Exception):
        pass

    def stop(_: float) -> None:
        raise Cut

    with pytest.raises(Cut):
        import_log(app, small.me, "cut", path, version="v7", on_progress=stop)
    done = import_log(app, small.me, "cut", path, version="v7")
    assert (done.rows, done.known, done.labels) == (0, 12, 12)


def test_the_same_model_again_changes_nothing_and_another_needs_another_name(
    shared: Site, tmp_path: Path
) -> None:
    app = shared.app
    model = tmp_path / "model.bin"
    model.write_bytes(b"weights")
    _, release = attach(shared, "again", file=model)
    _, same = attach(shared, "again", file=model)
    assert same == release
    model.write_bytes(b"other weights")
    with pytest.raises(Conflict, match="attached to 'again' already, with another digest"):
        attach(shared, "again", file=model)
    assert len(app.store.releases.list("again")) == 1


def test_an_external_release_never_gets_traffic(shared: Site) -> None:
    attach(shared, "still")
    for event in ("gates_passed", "approve", "start_rollout", "promote", "restore"):
        with pytest.raises(Conflict):
            next_state("external", event)


def test_what_is_not_here_is_neither_explained_nor_asked_again(shared: Site) -> None:
    app = shared.app
    small, release = attach(shared, "away")
    with pytest.raises(InvalidInput, match="answers elsewhere: its model is not here"):
        app.scorers.of_release(release.id)
    with pytest.raises(InvalidInput, match="cannot be asked again"):
        backtest(app, small.me, "away", 1, START, START + timedelta(days=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop("prediction"), "no column 'prediction'"),
        (lambda rows: rows.pop("mileage"), "no column 'mileage'"),
        (lambda rows: rows.pop("day"), "no column 'day'"),
        (
            lambda rows: rows["mileage"].__setitem__(3, "far"),
            "'mileage' of the log holds something that is no number",
        ),
        (
            lambda rows: rows["mileage"].__setitem__(3, 10**400),
            "'mileage' of the log holds something that is no number",
        ),
        (lambda rows: rows["day"].__setitem__(3, "soon"), "Row 4 of the log has no time in 'day'"),
        (
            lambda rows: rows["day"].__setitem__(3, "9999-12-31T23:59:59-23:00"),
            "Row 4 of the log has no time in 'day'",
        ),
        (lambda rows: rows["price"].__setitem__(9, "dear"), "The target 'price' of 'unfit' is a number"),
        (
            lambda rows: rows["prediction"].__setitem__(3, "dear"),
            "'prediction' holds something that is no finite",
        ),
    ],
)
def test_a_log_that_does_not_fit_records_nothing(
    shared: Site, tmp_path: Path, change: Callable[[dict[str, list[Any]]], object], message: str
) -> None:
    small, _ = attach(shared, "unfit")
    rows = log_of(10, seed=4)
    change(rows)
    with pytest.raises(InvalidInput, match=message):
        import_log(shared.app, small.me, "unfit", as_lines(tmp_path / "days.jsonl", rows), version="v7")
    assert shared.app.store.events.count("unfit/predictions") == 0


def test_who_may_not_and_what_is_not_there_is_said(shared: Site, tmp_path: Path) -> None:
    app = shared.app
    small, _ = attach(shared, "named")
    path = as_csv(tmp_path / "days.csv", log_of(10, seed=5))
    with pytest.raises(NotFound, match=r"version 'v8' of 'named' \(attached: v7\)"):
        import_log(app, small.me, "named", path, version="v8")
    with pytest.raises(NotFound, match="no file"):
        import_log(app, small.me, "named", tmp_path / "gone.csv", version="v7")
    with pytest.raises(Denied):
        import_log(app, app.identities.resolve(VALIDATOR), "named", path, version="v7")
    with pytest.raises(InvalidInput, match="--file with the model"):
        attach_model(app, small.me, small.folder, Foreign(version="v9", reference=path))
    small.write(
        *TIMED, ("    - {name: guess,", "    - {name: prediction, role: numeric}\n    - {name: guess,")
    )
    with pytest.raises(InvalidInput, match="'prediction' is an input in headrace.yaml.*role to ignored"):
        attach_model(app, small.me, small.folder, Foreign(version="v9", reference=path, statement="ours"))


def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "days.jsonl"
    path.write_text('{"a": 1}\n\n[2]\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"Line 3 of days\.jsonl is no JSON object"):
        read_log(path)
    path.write_text('{"a": 1}\n{"b": "x"}\n', encoding="utf-8")
    found = read_log(path)
    assert (found["a"].tolist(), found["b"].tolist()) == ([1, None], [None, "x"])


def test_probabilities_of_two_classes_are_judged_and_watched(shared: Site, tmp_path: Path) -> None:
    """Labels follow the probability that the model gives; then it is wrong the other way round."""
    app = shared.app
    random = np.random.default_rng(6)

    def log(name: str, *, turned: bool) -> Path:
        rows = log_of(900, seed=20 + turned)
        last = random.random(900)
        truth = random.random(900) < (1 - last if turned else last)
        rows["price"] = ["dear" if one else "cheap" for one in truth]
        rows["prediction"] = ["dear" if p > 0.5 else "cheap" for p in last]
        rows["probability"] = [float(p) for p in last]
        return as_csv(tmp_path / name, rows)

    classifies = (("task: regression", "task: classification"), ("metric: mae", "metric: log_loss"))
    small = shared.project("classes", *TIMED, *classifies)
    reference = log("reference.csv", turned=False)
    foreign = Foreign(version="v7", reference=reference, statement="by the old team")
    attach_model(app, small.me, small.folder, foreign)
    import_log(app, small.me, "classes", log("days.csv", turned=True), version="v7")
    watch_now(app, shared.work, small.me, "classes")
    assert "performance" in {finding.kind for finding in reading.findings(app, small.me, "classes")}
    bare = as_csv(tmp_path / "bare.csv", log_of(60, seed=7) | {"prediction": ["dear", "cheap"] * 30})
    with pytest.raises(InvalidInput, match="which needs a column .probability."):
        attach_model(app, small.me, small.folder, Foreign(version="v8", reference=bare, statement="x"))
