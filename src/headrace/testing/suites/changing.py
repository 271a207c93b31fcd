"""What every store of records that change by revision promises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from headrace.core.errors import Conflict, NotFound
from headrace.core.ports import RecordStore


class RecordStoreSuite:
    """Fixtures ``records``: an empty store, and ``make_record``: makes one of its records at revision 0
    from ``id``, ``workspace`` and ``subject``."""

    def test_a_record_comes_back(self, records: RecordStore[Any], make_record: Callable[..., Any]) -> None:
        record = records.add(make_record(id="r1"))
        assert records.get("r1") == records.find("r1") == record

    def test_the_first_record_under_an_id_stands(
        self, records: RecordStore[Any], make_record: Callable[..., Any]
    ) -> None:
        first = records.add(make_record(id="r1", subject="ann"))
        assert records.add(make_record(id="r1", subject="bob")) == first
        assert records.list() == [first]

    def test_records_are_found_by_workspace_subject_and_state(
        self, records: RecordStore[Any], make_record: Callable[..., Any]
    ) -> None:
        kept = [
            records.add(make_record(id=f"{workspace}-{subject}", workspace=workspace, subject=subject))
            for workspace in ("main", "other")
            for subject in ("ann", "bob")
        ]
        assert records.list() == kept
        assert records.list(workspace="other") == kept[2:]
        assert records.list(subject="bob") == [kept[1], kept[3]]
        assert records.list(workspace="main", subject="ann", state=kept[0].state) == kept[:1]
        assert records.list(state="no such state") == []

    def test_the_edition_tells_whether_anything_has_changed(
        self, records: RecordStore[Any], make_record: Callable[..., Any]
    ) -> None:
        empty = records.edition()
        assert records.edition() == empty
        record = records.add(make_record(id="r1"))
        added = records.edition()
        assert added != empty
        assert records.add(record) == record
        assert records.edition() == added
        records.change(replace(record, revision=1))
        assert records.edition() not in (added, empty)

    def test_a_change_names_the_revision_that_it_saw(
        self, records: RecordStore[Any], make_record: Callable[..., Any]
    ) -> None:
        first = records.add(make_record(id="r1"))
        second = records.change(replace(first, revision=1))
        assert records.get("r1") == second
        assert records.change(second) == second, "a repeat is no error"
        with pytest.raises(Conflict, match="r1 has changed meanwhile"):
            records.change(replace(first, revision=3))
        with pytest.raises(Conflict, match="r1 has changed meanwhile"):
            records.change(replace(first, revision=1, workspace="elsewhere"))

    def test_of_two_changes_at_once_one_is_made(
        self, records: RecordStore[Any], make_record: Callable[..., Any]
    ) -> None:
        first = records.add(make_record(id="r1", subject="s"))

        def change(number: int) -> bool:
            try:
                records.change(replace(first, revision=1, workspace=f"w{number}"))
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(change, range(4))) == 1

    def test_an_absent_record_is_not_found(
        self, records: RecordStore[Any], make_record: Callable[..., Any]
    ) -> None:
        assert records.find("absent") is None
        with pytest.raises(NotFound, match="absent"):
            records.get("absent")
        with pytest.raises(NotFound, match="absent"):
            records.change(make_record(id="absent"))
