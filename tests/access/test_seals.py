from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.access.key_ring import KeyRing
from headrace.access.seals import LONGEST, MOST_ENTRIES, Seals
from headrace.core.canonical import canonical_json, digest_of, encode_plain, plain
from headrace.core.errors import InternalError, Unavailable
from headrace.core.identity import Seal
from headrace.store import Store, open_store
from headrace.store.seal_file import SealFile, read_seals
from headrace.testing import FakeClock, make_settings

Entry = dict[str, Any]


@dataclass(kw_only=True)
class Log:
    """A sealed log, and the hands of somebody who writes to its database past Headrace."""

    home: Path
    store: Store
    clock: FakeClock
    seals: Seals

    @property
    def file(self) -> Path:
        return self.home / "audit" / "seals.jsonl"

    def act(self, times: int = 1) -> None:
        for _ in range(times):
            n = self.store.audit.head().sequence
            self.store.audit.append("ada", "act", f"thing:{n}", {"n": n})

    def entries(self) -> list[Entry]:
        return [plain(entry) for entry in self.store.audit.list(limit=10_000)]

    def execute(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.home / "headrace.sqlite")) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def overwrite(self, entries: list[Entry]) -> None:
        """Make these the log, and its head fit."""
        rows = [
            (number, entry["hash"], encode_plain(entry).decode()) for number, entry in enumerate(entries, 1)
        ]
        with closing(sqlite3.connect(self.home / "headrace.sqlite")) as connection, connection:
            connection.execute("DELETE FROM hr_audit")
            connection.executemany(
                "INSERT INTO hr_audit (sequence, hash, schema_version, document) VALUES (?, ?, 1, ?)", rows
            )
            connection.execute("UPDATE hr_audit_head SET sequence = ?, hash = ?", rows[-1][:2])


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = open_log(tmp_path / "home")
    yield opened
    opened.store.close()


def open_log(home: Path) -> Log:
    clock = FakeClock()
    store = open_store(make_settings(home), clock)
    return Log(home=home, store=store, clock=clock, seals=seals_of(store, home, clock))


def seals_of(store: Store, home: Path, clock: FakeClock) -> Seals:
    file, ring = SealFile(home / "audit"), KeyRing(home / "keys", "seals")
    return Seals(store.audit, store.seals, file, ring, clock)


def rechained(entries: list[Entry]) -> list[Entry]:
    """What somebody computes who knows how the chain is made."""
    made: list[Entry] = []
    for number, entry in enumerate(entries, 1):
        content = entry | {"sequence": number, "previous": made[-1]["hash"] if made else ""}
        del content["hash"]
        made.append(content | {"hash": digest_of(content)})
    return made


def signed(seal: Seal, ring: KeyRing) -> Seal:
    said = {name: value for name, value in plain(seal).items() if name != "signature"}
    return replace(seal, signature=ring.sign(canonical_json(said | {"signed": "headrace audit seal 1"})))


def test_a_seal_covers_everything_before_it(log: Log) -> None:
    assert log.seals.seal() is None
    log.act(3)
    first = log.seals.seal()
    assert first is not None
    assert (first.number, first.sequence, first.hash) == (1, *log.store.audit.head())
    assert log.seals.seal() == first, "nothing has come since"
    log.act()
    second = log.seals.seal()
    assert second is not None
    assert (second.number, second.previous) == (2, digest_of(first))
    checked = log.seals.check()
    assert (checked.head.sequence, list(checked.seals)) == (4, [first, second])
    assert checked.key == log.seals.public_keys()[0].name


def test_the_file_is_its_owners_and_holds_the_same_seals(log: Log) -> None:
    for _ in range(3):
        log.act()
        log.seals.seal()
    assert log.file.stat().st_mode & 0o777 == 0o600
    assert read_seals(log.file) == log.store.seals.list()


def test_a_seal_is_due_after_many_entries_or_some_time(log: Log) -> None:
    assert log.seals.due() is None
    log.act()
    assert log.seals.due() is not None, "what was never sealed does not wait"
    log.act()
    assert log.seals.due() is None
    log.clock.advance(LONGEST.total_seconds())
    assert log.seals.due() is not None
    log.clock.advance(LONGEST.total_seconds())
    assert log.seals.due() is None, "nothing has come since"
    log.act(MOST_ENTRIES)
    assert log.seals.due() is not None


ATTACKS = st.sampled_from(["edit", "delete", "swap", "insert", "cut"])
FIELDS = st.sampled_from(["actor", "action", "resource", "detail", "at", "previous", "hash"])


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Log, list[Entry]]]:
    """A log of twelve entries, sealed after four, eight and ten, and what it was."""
    opened = open_log(tmp_path_factory.mktemp("sealed") / "home")
    for times in (4, 4, 2):
        opened.act(times)
        opened.seals.seal()
    opened.act(2)
    yield opened, opened.entries()
    opened.store.close()


def attacked(entries: list[Entry], attack: str, at: int, other: int, field: str) -> list[Entry]:
    """The log after one attack at entry ``at``, counted from 0."""
    log = [dict(entry) for entry in entries]
    match attack:
        case "edit":
            log[at][field] = {"n": "edited"} if field == "detail" else "0" * 64
        case "delete":
            del log[at]
        case "swap":
            log[at], log[other] = log[other], log[at]
        case "insert":
            log.insert(at, dict(log[other]))
        case "cut":
            del log[at:]
    return log


@pytest.mark.requirement("GOV-01")
@settings(max_examples=150)
@given(attack=ATTACKS, at=st.integers(0, 9), other=st.integers(0, 11), field=FIELDS, chained=st.booleans())
def test_whatever_is_done_to_a_sealed_entry_is_found(
    sealed: tuple[Log, list[Entry]], attack: str, at: int, other: int, field: str, chained: bool
) -> None:
    log, entries = sealed
    made = attacked(entries, attack, at, other, field)
    if chained:
        made = rechained(made)
    if not made or made[:10] == entries[:10]:
        return  # what is sealed is as it was
    try:
        log.overwrite(made)
        with pytest.raises(InternalError, match="tampered"):
            log.seals.check()
    finally:
        log.overwrite(entries)
    assert log.seals.check().head.sequence == 12


def test_a_chain_computed_anew_verifies_by_itself_and_not_by_its_seals(log: Log) -> None:
    log.act(5)
    log.seals.seal()
    entries = log.entries()
    entries[2]["actor"] = "eve"
    log.overwrite(rechained(entries))
    assert log.store.audit.verify().sequence == 5, "which is why there are seals"
    with pytest.raises(InternalError, match="entry 5 is not the one that was sealed"):
        log.seals.check()
    log.act()
    with pytest.raises(InternalError, match="entry 6 does not follow from entry 5"):
        log.seals.seal()


def three_seals(log: Log) -> list[Seal]:
    for _ in range(3):
        log.act(2)
        log.seals.seal()
    return log.store.seals.list()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_seal_taken_out_of_both_places_is_found(log: Log, number: int) -> None:
    kept = [seal for seal in three_seals(log) if seal.number != number]
    copy = read_seals(log.file)
    log.execute(f"DELETE FROM hr_audit_seals WHERE number = {number}")
    log.file.write_bytes(b"".join(canonical_json(seal) + b"\n" for seal in kept))
    with pytest.raises(InternalError, match=f"seal {number}.*removed" if number < 3 else "seal 3.*gone"):
        log.seals.check()
    with pytest.raises(InternalError, match=f"seal {number}"):
        log.seals.check(copy)


def test_a_chain_computed_anew_is_not_sealed_once_all_seals_were_taken_away(log: Log) -> None:
    """Without the key nobody can make what the key remembers, so nobody begins the series again."""
    three_seals(log)
    forged = log.entries()
    forged[1] |= {"actor": "eve"}
    log.overwrite(rechained(forged))
    log.execute("DELETE FROM hr_audit_seals")
    log.file.unlink()
    for verify in (log.seals.seal, log.seals.check, log.seals.due):
        with pytest.raises(InternalError, match="seal 3.*is gone from database and file"):
            verify()


def test_a_seal_made_and_not_yet_remembered_beside_the_key_is_no_difference(log: Log) -> None:
    three_seals(log)
    remembered = log.home / "keys" / "seals" / "last.json"
    second = log.store.seals.list()[1]
    remembered.write_bytes(canonical_json(second))
    assert log.seals.check().head.sequence == 6
    log.act()
    made = log.seals.seal()
    assert made is not None
    assert json.loads(remembered.read_bytes())["number"] == made.number == 4


def test_seals_taken_out_of_the_database_are_found(log: Log) -> None:
    three_seals(log)
    log.execute("DELETE FROM hr_audit_seals WHERE number > 1")
    with pytest.raises(InternalError, match="seal 2 was removed from the database"):
        log.seals.check()
    with pytest.raises(InternalError, match="seal 2 was removed from the database"):
        log.seals.seal()


def test_seals_taken_out_of_the_file_are_found(log: Log) -> None:
    three_seals(log)
    lines = log.file.read_bytes().splitlines(keepends=True)
    log.file.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(InternalError, match="ends before seal 3"):
        log.seals.check()
    log.file.unlink()
    with pytest.raises(InternalError, match="ends before seal 1"):
        log.seals.check()


def test_a_line_that_was_edited_is_found(log: Log) -> None:
    seals = three_seals(log)
    lines = [canonical_json(seal) + b"\n" for seal in seals]
    log.file.write_bytes(b"".join([lines[0], lines[1].replace(b'"number":2', b'"number":two'), lines[2]]))
    with pytest.raises(InternalError, match="is no seal: it was edited"):
        log.seals.check()
    log.file.write_bytes(b"".join([lines[0], lines[2]]))
    with pytest.raises(InternalError, match="seal 2 is not the same"):
        log.seals.check()


@pytest.mark.parametrize("own_key", [False, True])
def test_a_forged_seal_for_a_forged_chain_is_found(log: Log, tmp_path: Path, own_key: bool) -> None:
    (first, *_) = three_seals(log)
    entries = rechained([entry | {"actor": "eve"} for entry in log.entries()])
    log.overwrite(entries)
    made = replace(first, sequence=len(entries), hash=entries[-1]["hash"])
    if own_key:
        made = signed(made, KeyRing(tmp_path / "theirs", "seals"))
    log.execute("DELETE FROM hr_audit_seals")
    log.file.write_bytes(canonical_json(made) + b"\n")
    # Alone in the file it looks like one that a killed process has left.
    with pytest.raises(InternalError, match="seal 1 .* was forged"):
        log.seals.check()
    log.store.seals.add(made)
    with pytest.raises(InternalError, match="seal 1 was forged"):
        log.seals.check()


def test_a_seal_that_a_killed_process_left_in_the_file_alone_is_completed(log: Log) -> None:
    three_seals(log)
    log.execute("DELETE FROM hr_audit_seals WHERE number = 3")
    assert [seal.number for seal in log.seals.check().seals] == [1, 2, 3]
    log.act()
    sealed = log.seals.seal()
    assert sealed is not None
    assert sealed.number == 4
    assert log.seals.check().seals[-1] == sealed


def test_half_a_line_that_a_killed_process_left_is_no_seal(log: Log) -> None:
    three_seals(log)
    with log.file.open("ab") as file:
        file.write(b'{"at":"2026-01-01T00:0')
    assert len(log.seals.check().seals) == 3
    log.act()
    log.seals.seal()
    assert len(log.seals.check().seals) == 4


def test_after_a_rotation_the_new_key_seals_and_earlier_seals_stay(log: Log) -> None:
    three_seals(log)
    old = log.seals.check().key
    log.act()
    new = log.seals.rotate()
    checked = log.seals.check()
    assert (checked.key, len(checked.seals)) == (new, 4)
    assert [(key.name, key.signs) for key in log.seals.public_keys()] == [(new, True), (old, False)]


def test_processes_that_seal_at_once_make_one_series(log: Log) -> None:
    other = seals_of(log.store, log.home, log.clock)
    for seals in (log.seals, other, log.seals, other):
        log.act()
        seals.seal()
    assert [seal.number for seal in other.check().seals] == [1, 2, 3, 4]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_takes_no_file_is_told(log: Log) -> None:
    log.act()
    log.file.parent.mkdir(mode=0o500)
    with pytest.raises(Unavailable, match="write the seal"):
        log.seals.seal()
    assert log.store.seals.last() is None


def test_a_log_that_was_restored_from_before_the_last_seal_is_told(log: Log) -> None:
    log.act(6)
    log.seals.seal()
    log.overwrite(log.entries()[:4])
    with pytest.raises(InternalError, match="ends at entry 4, but entry 6 was sealed"):
        log.seals.check()


def test_a_line_is_json_with_the_public_names(log: Log) -> None:
    log.act()
    log.seals.seal()
    (line,) = log.file.read_text().splitlines()
    assert set(json.loads(line)) == {"at", "hash", "number", "previous", "sequence", "signature"}
