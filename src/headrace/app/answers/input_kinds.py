"""Of which kind the inputs of a project are: declared, or as its newest data has them."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.project import Project
from headrace.data.snapshots import snapshots_of
from headrace.store import Store
from headrace.training.training_set import input_columns


def latest_kinds(store: Store, project: str) -> Mapping[str, str]:
    """Column name to kind, in the newest snapshot of a project's data."""
    snapshots = snapshots_of(store.snapshots, project)
    return snapshots[-1].columns if snapshots else {}


def numeric_inputs(store: Store, project: Project) -> frozenset[str]:
    """Inputs that are recorded as numbers, also where a batch holds only nulls: booleans are, too."""
    kinds = latest_kinds(store, project.name)
    return frozenset(
        column.name
        for column in input_columns(project)
        if column.role == "numeric" or kinds.get(column.name) in ("number", "boolean")
    )
