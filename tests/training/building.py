"""Stores, snapshots and builds in a temporary folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.core.data import Artifact, Snapshot
from headrace.core.project import PrivacySpec, Project
from headrace.core.settings import read_settings
from headrace.data.snapshots import archive_columns, take_snapshot
from headrace.store import Store, open_store
from headrace.testing.clock import FakeClock
from headrace.training.lock import archive_code, environment_lock
from headrace.training.pipeline import Build
from headrace.training.training_set import make_training_set
from tests.training.examples import PROJECT, write_project


def home(folder: Path) -> Store:
    return open_store(read_settings({}, home=folder), FakeClock())


def snapshot_of(store: Store, columns: dict[str, Any], name: str = "cars") -> Snapshot:
    return take_snapshot(
        project=name,
        columns=columns,
        raw=archive_columns(columns, store.artifacts),
        privacy=PrivacySpec(basis="not_personal"),
        source="test",
        tables=store.tables,
        snapshots=store.snapshots,
        clock=FakeClock(),
    )


def training_set_of(store: Store, declared: Project, columns: dict[str, Any]) -> Artifact:
    return make_training_set(store, declared, snapshot_of(store, columns, declared.name))


def build_of(
    store: Store,
    folder: Path,
    declared: Project,
    columns: dict[str, Any],
    *,
    code: str = PROJECT,
    build_id: str = "build-1",
    timeout_s: float = 120.0,
    modules: Mapping[str, str] | None = None,
) -> Build:
    written = write_project(folder / "code" / build_id, code)
    for name, text in (modules or {}).items():
        (written / name).write_text(text, encoding="utf-8")
    return Build(
        id=build_id,
        project=declared,
        training_set=training_set_of(store, declared, columns),
        code=archive_code(written, store.artifacts),
        environment=environment_lock(store.artifacts),
        author="ann",
        cause="manual",
        scratch=folder / "scratch",
        timeout_s=timeout_s,
    )
