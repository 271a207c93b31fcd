"""Prompts whose answers to their evaluation set are on record, without a model that is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from headrace.app.composition import App
from headrace.core.canonical import canonical_json
from headrace.core.project import Column, DataSpec, PrivacySpec, SplitSpec, Variant
from headrace.core.release import Release, ReleaseState, Subject
from headrace.testing.factories import make_artifact, make_manifest, make_project, make_release, make_run
from headrace.training.pipeline import ANSWERS, Recipe
from headrace.training.training_set import load_rows, load_training_set
from tests.training.building import training_set_of

NAME = "returns"
GOODS = [f"shoe {n}" for n in range(40)]
COLUMNS = {
    "question": [f"How long may ann@example.org return {name}?" for name in GOODS],
    "expected": [f"{n} days" for n, _ in enumerate(GOODS, start=10)],
}
MADE = make_project(name=NAME, task="text_generation")
PROJECT = replace(
    MADE,
    data=DataSpec(source="q.csv", target="expected", columns=(Column(name="question", role="text"),)),
    privacy=PrivacySpec(basis="not_personal"),
    split=SplitSpec(policy="random", test_fraction=0.5),
    gates=replace(MADE.gates, model=replace(MADE.gates.model, metric="wrong_answer")),
)


def released(
    app: App, says: Callable[[str], str | None], version: int, state: ReleaseState = "waiting"
) -> Release:
    """A release whose run has answered its evaluation set as ``says`` does, by the label of each row."""
    made = training_set_of(app.store, PROJECT, COLUMNS)
    labels = load_rows(app.store, PROJECT, load_training_set(app.store.artifacts, made.digest)).truth()
    recipe = Recipe(project=PROJECT, variant=Variant(name="answer", trainer="a.md"), training_set=made)
    kept = {
        "recipe": app.store.artifacts.put(canonical_json(recipe), "application/json"),
        ANSWERS: app.store.artifacts.put(canonical_json([says(one) for one in labels]), "application/json"),
    }
    run = make_run(id=f"run-{version}", project=NAME, build_id=f"build-{version}", outputs=kept)
    app.store.runs.save(run)
    subject = Subject(ref=f"prompt:{NAME}@{version}", package=make_artifact(b"package"))
    manifest = make_manifest(project=NAME, run_id=run.id, subject=subject, charter=PROJECT)
    return app.store.releases.add(make_release(manifest=manifest, state=state))
