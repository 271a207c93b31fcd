"""What is kept about people is encrypted wherever it lies, and stays readable for those who may read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from headrace.app.composition import App, open_app
from headrace.app.health import examine
from headrace.app.privacy.encrypting import encrypt, rotate, table_keys
from headrace.core.errors import Conflict, Denied, NotFound, Unavailable
from headrace.core.project import Column, DataSpec, PrivacySpec
from headrace.monitoring.ingest import ingest
from headrace.store import open_store
from headrace.store.records import (
    decode_prediction,
    encode_failure,
    encode_feedback,
    encode_outcome,
    encode_prediction,
)
from headrace.testing import (
    FakeClock,
    make_failure,
    make_feedback,
    make_outcome,
    make_prediction,
    make_project,
    make_settings,
)

CANARY = "grace-7f3a@example.net"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path), FakeClock()) as app:
        app.me()
        declare(app)
        yield app


def declare(app: App, **privacy: Any) -> None:
    columns = (Column(name="age", role="numeric"), Column(name="to", role="categorical"))
    spec = PrivacySpec(**{"basis": "consent", "fields": {"to": "keep", "key": "keep"}, **privacy})
    project = make_project(
        name="people", data=DataSpec(source="p.csv", target="bought", columns=columns), privacy=spec
    )
    app.store.projects.save(project, str(app.settings.home))
    app.store.epoch.advance()


def fill(app: App, n: int = 2) -> None:
    """Answers, labels and a failure that all hold the canary; the first two are in the tables as well."""
    for _ in range(n):
        asked = make_prediction(
            n_rows=1, keys=[CANARY], columns={"age": [41.5], "to": [CANARY]}, outputs={"predict": [1.0]}
        )
        app.store.events.append("people/predictions", [encode_prediction(asked)])
        said = make_outcome(project="people", subject=CANARY, value=CANARY, kind="rating")
        app.store.events.append("people/outcomes", [encode_outcome(said)])
        did = make_feedback(project="people", subject=CANARY, text=CANARY)
        app.store.events.append("people/feedback", [encode_feedback(did)])
        failed = replace(make_failure(project="people"), error=CANARY)
        app.store.events.append("people/failures", [encode_failure(failed)])
        ingest("people", app.store.events, app.store.tables, numeric=frozenset({"age"}))


def in_clear(home: Path) -> list[str]:
    """Every file of the home that holds the canary."""
    return [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]


def subjects(app: App) -> list[str]:
    return list(app.store.tables.query("SELECT subject FROM t", {"t": ("people/outcomes", None)})["subject"])


@pytest.mark.requirement("PRV-02")
def test_no_file_of_the_home_holds_what_was_asked_answered_or_told(app: App, tmp_path: Path) -> None:
    fill(app)
    assert in_clear(tmp_path) == []
    assert subjects(app) == [CANARY] * 2
    (segment,) = app.store.events.segments("people/predictions")
    records, _ = app.store.events.read("people/predictions", segment.name, 0, 10)
    assert [decode_prediction(record).columns["to"] for record in records] == [[CANARY]] * 2
    declare(app, encrypt=False)
    fill(app, 1)
    assert len(in_clear(tmp_path)) >= 4, "the test would see it"


@pytest.mark.requirement("PRV-02")
def test_what_was_kept_in_clear_is_encrypted_on_request_and_back(app: App, tmp_path: Path) -> None:
    declare(app, encrypt=False)
    fill(app)
    assert in_clear(tmp_path)
    declare(app)
    done = encrypt(app, app.me(), "people")
    assert done.key == app.access.data_keys.current("people/outcomes")
    assert in_clear(tmp_path) == []
    before = len(subjects(app))
    ingest("people", app.store.events, app.store.tables, numeric=frozenset({"age"}))
    assert len(subjects(app)) == before == 2, "positions stay: nothing comes twice"
    assert app.store.audit.list()[-1].action == "data.encrypt"
    declare(app, encrypt=False)
    assert encrypt(app, app.me(), "people").key is None
    assert in_clear(tmp_path)
    assert len(subjects(app)) == 2


@pytest.mark.requirement("PRV-02")
def test_after_a_rotation_the_old_key_can_be_done_without(app: App, tmp_path: Path) -> None:
    fill(app, 1)
    old = app.access.data_keys.current("people/outcomes")
    done = rotate(app, app.me(), "people")
    assert done.key not in {None, old}
    fill(app, 1)
    assert len(subjects(app)) == 2
    encrypt(app, app.me(), "people")
    path = tmp_path / "keys" / "data-people.key"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(str(old))))
    with open_app(make_settings(tmp_path), FakeClock()) as later:
        assert subjects(later) == [CANARY] * 2
        assert all(finding.healthy for finding in examine(later) if finding.name == "encryption")


@pytest.mark.requirement("PRV-02")
def test_a_lost_key_is_named_by_whoever_needs_it_and_by_the_doctor(app: App, tmp_path: Path) -> None:
    fill(app, 1)
    (tmp_path / "keys" / "data-people.key").unlink()
    with open_app(make_settings(tmp_path), FakeClock()) as later:
        with pytest.raises(Unavailable, match="data-people.key is not there.*Put the file back"):
            subjects(later)
        (found,) = [finding for finding in examine(later) if finding.name == "encryption"]
        assert not found.healthy
        assert re.match("people: .*data-people.key is not there", found.detail)
        with pytest.raises(Unavailable, match="data-people.key is not there"):
            fill(later, 1)
        with pytest.raises(Unavailable, match="--lost"):
            rotate(later, later.me(), "people")
        assert not (tmp_path / "keys" / "data-people.key").exists()
        rotate(later, later.me(), "people", lost=True)
        entries = [(one.action, one.detail) for one in later.store.audit.list()[-2:]]
        assert [action for action, _ in entries] == ["data.lose", "data.rotate"]
        assert len(entries[0][1]["keys"]) == 1
        later.store.events.append("people/failures", [encode_failure(make_failure(project="people"))])
        with pytest.raises(Unavailable, match="cannot be read again"):
            subjects(later)
        with pytest.raises(Conflict, match="No key of 'people' is lost"):
            rotate(later, later.me(), "people", lost=True)


@pytest.mark.requirement("PRV-02")
def test_a_store_without_keys_reads_nothing_that_is_encrypted(app: App, tmp_path: Path) -> None:
    fill(app, 1)
    store = open_store(make_settings(tmp_path), FakeClock())
    with pytest.raises(Exception, match="opened without keys"):
        store.tables.query("SELECT * FROM t", {"t": ("people/outcomes", None)})
    store.close()


@pytest.mark.requirement("PRV-02")
def test_who_may_gets_the_key_for_other_tools(app: App, tmp_path: Path) -> None:
    fill(app, 1)
    (found,) = table_keys(app, app.me(), "people/outcomes")
    (file,) = DeltaTable(tmp_path / "tables" / "people" / "outcomes").file_uris()
    with duckdb.connect() as engine:
        encoded = engine.execute("SELECT to_base64(from_hex(?))", [found.key]).fetchall()[0][0]
        engine.execute(f"PRAGMA add_parquet_key('k', '{encoded}')")
        rows = engine.execute(
            f"SELECT subject FROM read_parquet('{file}', encryption_config = {{footer_key: 'k'}})"
        )
        assert rows.fetchall() == [(CANARY,)]
    entry = app.store.audit.list()[-1]
    assert (entry.action, entry.detail) == ("data.key", {"table": "people/outcomes"})
    assert found.key not in str(app.store.audit.list())
    with pytest.raises(NotFound, match="no encrypted table 'people/nothing'"):
        table_keys(app, app.me(), "people/nothing")


@pytest.mark.requirement("PRV-02")
def test_others_get_no_key_and_change_nothing(app: App) -> None:
    dev = app.identities.add("dev", ["developer", "operator"], actor="ada")
    auditor = app.identities.add("aud", ["auditor"], actor="ada")
    for somebody in (dev, auditor):
        for use in (encrypt, rotate):
            with pytest.raises(Denied, match="data.erase"):
                use(app, somebody, "people")
        with pytest.raises(Denied):
            table_keys(app, somebody, "people/outcomes")
    declare(app, encrypt=False)
    with pytest.raises(Conflict, match="'people' is not encrypted"):
        rotate(app, app.me(), "people")
