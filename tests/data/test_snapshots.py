from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from headrace.core.data import Artifact, Snapshot
from headrace.core.errors import Conflict, InternalError, InvalidInput
from headrace.core.project import PrivacySpec
from headrace.data.frames import content_digest, kinds, n_rows
from headrace.data.snapshots import (
    archive,
    archive_columns,
    load_snapshot,
    rebuild_from_raw,
    take_snapshot,
)
from headrace.data.sources import read_file
from headrace.store.artifacts import FolderArtifacts
from headrace.store.tables import DeltaTables
from headrace.testing import FakeClock
from tests.data.strategies import tables as any_table

Table = dict[str, NDArray[Any]]


NOT_PERSONAL = PrivacySpec(basis="not_personal")


class MemorySnapshots:
    """Implements ``SnapshotStore``."""

    def __init__(self) -> None:
        self.kept: dict[str, Snapshot] = {}

    def add(self, snapshot: Snapshot) -> Snapshot:
        return self.kept.setdefault(snapshot.id, snapshot)

    def erase(self, snapshot: Snapshot) -> None:
        self.kept[snapshot.id] = snapshot

    def get(self, snapshot_id: str) -> Snapshot:
        return self.kept[snapshot_id]

    def find(self, project: str, digest: str) -> Snapshot | None:
        return next((s for s in self.kept.values() if (s.project, s.digest) == (project, digest)), None)

    def list(self, project: str) -> list[Snapshot]:
        return [s for s in self.kept.values() if s.project == project]


class Room:
    """Real files below a folder, and what a test wants to do with them."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = FolderArtifacts(folder / "artifacts")
        self.tables = DeltaTables(folder / "tables")
        self.snapshots = MemorySnapshots()
        self.raw = self.artifacts.put(b"a\n1\n", "text/csv")

    def take(
        self, columns: Table, raw: Artifact | None = None, privacy: PrivacySpec = NOT_PERSONAL
    ) -> Snapshot:
        return take_snapshot(
            project="cars",
            columns=columns,
            raw=raw or self.raw,
            privacy=privacy,
            source="data/cars.csv",
            tables=self.tables,
            snapshots=self.snapshots,
            clock=FakeClock(),
        )


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


CARS_CSV = b"\xef\xbb\xbfmodel,price,sold,new\r\n Fiesta,12000,2019-01-02,true\r\nFocus,,2019-02-03,false\r\n"


@pytest.mark.requirement("DAT-01")
def test_raw_bytes_are_kept_as_they_came(room: Room, tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_bytes(CARS_CSV)
    kept = archive(path, room.artifacts)
    assert kept.digest == hashlib.sha256(CARS_CSV).hexdigest()
    assert (kept.size_bytes, kept.media_type) == (len(CARS_CSV), "text/csv")
    assert room.artifacts.get(kept.digest) == CARS_CSV
    assert archive(CARS_CSV, room.artifacts, "text/csv") == kept
    with pytest.raises(InvalidInput, match="media type"):
        archive(CARS_CSV, room.artifacts)


@pytest.mark.requirement("DAT-01")
def test_a_file_that_changes_meanwhile_is_refused(room: Room, tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_bytes(CARS_CSV)

    class Meddling(FolderArtifacts):
        def put_file(self, path: Path, media_type: str) -> Artifact:
            path.write_bytes(CARS_CSV + b"Ka,1,2019-01-01,true\r\n")
            return super().put_file(path, media_type)

    with pytest.raises(Conflict, match="changed while it was archived"):
        archive(path, Meddling(tmp_path / "other"))


@pytest.mark.requirement("PRV-08")
def test_a_dataset_without_a_basis_is_not_registered(room: Room) -> None:
    columns: Table = {"a": np.array([1.0])}
    with pytest.raises(InvalidInput, match=r"Add to headrace.yaml:\n  privacy:\n    basis: not_personal"):
        room.take(columns, privacy=PrivacySpec(purpose="prices"))
    assert room.snapshots.kept == {}
    assert room.tables.version("cars/snapshots") is None
    taken = room.take(columns, privacy=PrivacySpec(basis="contract", purpose="prices"))
    assert (taken.basis, taken.purpose) == ("contract", "prices")


@pytest.mark.requirement("DAT-01")
def test_a_table_is_rebuilt_from_its_original(room: Room, tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_bytes(CARS_CSV)
    raw = archive(path, room.artifacts)
    snapshot = room.take(read_file(path), raw)
    path.unlink()
    rebuilt = rebuild_from_raw(snapshot, room.artifacts)
    assert content_digest(rebuilt) == snapshot.digest
    assert rebuilt["model"].tolist() == ["Fiesta", "Focus"]


@pytest.mark.requirement("DAT-01")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(any_table(min_rows=1))
def test_a_table_without_a_file_is_rebuilt_too(room: Room, table: Table) -> None:
    snapshot = room.take(table, archive_columns(table, room.artifacts))
    rebuilt = rebuild_from_raw(snapshot, room.artifacts)
    assert list(rebuilt) == list(table)
    assert content_digest(rebuilt) == snapshot.digest


@pytest.mark.requirement("DAT-01")
@pytest.mark.parametrize("name", ["used_cars_audi.csv", "used_cars_ford.csv", "tsa_passengers.csv"])
def test_real_tables_are_rebuilt(room: Room, shared_data: Path, name: str) -> None:
    raw = archive(shared_data / name, room.artifacts)
    snapshot = room.take(read_file(shared_data / name), raw)
    assert content_digest(rebuild_from_raw(snapshot, room.artifacts)) == snapshot.digest
    assert content_digest(load_snapshot(snapshot, room.tables)) == snapshot.digest


@pytest.mark.requirement("DAT-01")
def test_another_original_is_noticed(room: Room) -> None:
    snapshot = room.take({"a": np.array([2.0])})
    with pytest.raises(InternalError, match="read from its raw original"):
        rebuild_from_raw(snapshot, room.artifacts)


@pytest.mark.requirement("DAT-05")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(any_table(min_rows=1), any_table(min_rows=1))
def test_a_snapshot_is_restored_after_later_ones(room: Room, first: Table, second: Table) -> None:
    before = room.take(first)
    after = room.take(second)
    for snapshot, table in ((before, first), (after, second)):
        restored = load_snapshot(snapshot, room.tables)
        assert list(restored) == list(table)
        assert kinds(restored) == kinds(table)
        assert content_digest(restored) == content_digest(table)
        assert snapshot.n_rows == n_rows(table)


@pytest.mark.requirement("DAT-05")
def test_rows_keep_their_order(room: Room) -> None:
    order = np.random.default_rng(0).permutation(5000).astype(float)
    snapshot = room.take({"x": order})
    assert load_snapshot(snapshot, room.tables)["x"].tolist() == order.tolist()


@pytest.mark.requirement("DAT-05")
def test_rows_that_were_tampered_with_are_noticed(room: Room) -> None:
    snapshot = room.take({"a": np.array([1.0])})
    version = room.tables.replace("cars/snapshots", {"a": np.array([2.0]), "_row": np.array([0])})
    forged = Snapshot(**{**vars(snapshot), "table_version": version})
    with pytest.raises(InternalError, match="read from its table"):
        load_snapshot(forged, room.tables)


def test_the_same_content_is_the_same_snapshot(room: Room) -> None:
    table: Table = {"a": np.array([1.0, np.nan]), "b": np.array(["x", None], dtype=object)}
    first = room.take(table)
    again = room.take({name: table[name] for name in ("b", "a")})
    assert again is first
    assert room.tables.version("cars/snapshots") == first.table_version
    assert len(room.snapshots.kept) == 1


def test_names_that_a_warehouse_would_refuse(room: Room) -> None:
    table = {"price, net (€)": np.array([1.0]), 'say "hi"\n': np.array([2.0]), "select": np.array([3.0])}
    assert list(load_snapshot(room.take(table), room.tables)) == list(table)


def test_what_cannot_be_a_snapshot(room: Room) -> None:
    with pytest.raises(InvalidInput, match="'_row' has a name"):
        room.take({"_row": np.array([1.0])})
    with pytest.raises(InvalidInput, match="no rows"):
        room.take({"a": np.array([])})
