"""The feature store keeps what was trained on once, and serves the baseline of that version or none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.checks.profiles import Profile
from headrace.core.errors import InternalError, NotFound
from headrace.core.project import Column, Owner
from headrace.data.features import FeatureSet
from headrace.store import Store
from headrace.testing import START, MemoryArtifacts, make_snapshot
from headrace.training.features import FeatureStore
from headrace.training.training_set import input_columns, load_rows, load_training_set
from tests.training.building import training_set_of
from tests.training.examples import project, table

OWNER = Owner(name="Ada", contact="ada@example.org")
CARS = FeatureSet(
    name="cars/inputs", columns=(Column(name="km", role="numeric"),), owner=OWNER, source="cars.csv"
)
COLOURS = FeatureSet(
    name="cars/colours",
    columns=(Column(name="colour", role="categorical"),),
    owner=OWNER,
    source="colours.csv",
)


def rows(shift: float = 0.0) -> dict[str, Any]:
    return {"km": np.arange(50.0) + shift, "colour": np.array(["red", "blue"] * 25, dtype=object)}


@pytest.mark.requirement("FEA-05")
def test_the_baseline_of_several_sets_is_the_profile_of_the_rows_that_were_trained_on() -> None:
    features = FeatureStore(MemoryArtifacts())
    read = features.materialise([CARS, COLOURS], rows(), make_snapshot(), until=START)
    assert [one.ref for one in read] == [CARS.ref, COLOURS.ref]
    specs = CARS.columns + COLOURS.columns
    assert features.baseline(read).to_dict() == Profile.fit(rows(), specs).to_dict()
    kept = features.get(read[0])
    assert (kept.feature_set, kept.n_rows, kept.until) == (CARS, 50, START)


@pytest.mark.requirement("FEA-05")
def test_the_same_rows_are_kept_once_and_others_apart() -> None:
    artifacts, snapshot = MemoryArtifacts(), make_snapshot()
    features = FeatureStore(artifacts)
    first, again = (features.materialise([CARS], rows(), snapshot, until=None) for _ in range(2))
    assert first == again
    (other,) = features.materialise([CARS], rows(7.0), snapshot, until=None)
    assert other.ref == first[0].ref
    assert features.baseline([other]).to_dict() == Profile.fit(rows(7.0), CARS.columns).to_dict()
    elsewhere = make_snapshot(digest="e" * 64)
    (same_values,) = features.materialise([CARS], rows(), elsewhere, until=None)
    assert features.get(same_values).profile == features.get(first[0]).profile, (
        "one profile of the same values"
    )


@pytest.mark.requirement("FEA-05")
def test_another_version_is_never_served_in_its_place() -> None:
    features = FeatureStore(MemoryArtifacts())
    (read,) = features.materialise([CARS], rows(), make_snapshot(), until=None)
    other = replace(CARS, source="elsewhere.csv")
    with pytest.raises(InternalError, match=f"asked for {other.ref} and has {CARS.ref}"):
        features.baseline([replace(read, ref=other.ref)])
    with pytest.raises(NotFound):
        FeatureStore(MemoryArtifacts()).baseline([read])


@pytest.mark.requirement("FEA-05")
def test_a_training_set_names_the_versions_that_it_was_read_from(store: Store) -> None:
    declared = project()
    made = load_training_set(store.artifacts, training_set_of(store, declared, table()).digest)
    (read,) = made.features
    kept = FeatureStore(store.artifacts).get(read)
    assert kept.feature_set.name == f"{declared.name}/inputs"
    assert (kept.snapshot_id, kept.n_rows) == (made.snapshot_id, made.n_train)
    found = load_rows(store, declared, made)
    trained = {name: values[found.train] for name, values in found.columns.items()}
    expected = Profile.fit(trained, input_columns(declared))
    assert FeatureStore(store.artifacts).baseline(made.features).to_dict() == expected.to_dict()
