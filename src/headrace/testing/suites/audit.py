"""What every audit log promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from headrace.core.canonical import digest_of, plain
from headrace.core.errors import InvalidInput
from headrace.core.identity import AuditEntry
from headrace.core.ports import AuditLog


def _hash(entry: AuditEntry) -> str:
    content = plain(entry)
    del content["hash"]
    return digest_of(content)


class AuditLogSuite:
    """Fixture ``audit``: an empty log."""

    def test_an_entry_says_who_did_what(self, audit: AuditLog) -> None:
        entry = audit.append("ada", "release.approve", "release:1", {"comment": "fine", "n": [1, 2.5, None]})
        assert (entry.sequence, entry.actor, entry.action, entry.resource) == (
            1,
            "ada",
            "release.approve",
            "release:1",
        )
        assert entry.detail == {"comment": "fine", "n": [1, 2.5, None]}
        assert entry.at.utcoffset() == timedelta(0)
        assert audit.list() == [entry]

    def test_each_hash_covers_the_entry_before(self, audit: AuditLog) -> None:
        entries = [audit.append("ada", "act", f"thing:{n}", {"n": n}) for n in range(5)]
        assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
        assert [entry.previous for entry in entries] == ["", *(entry.hash for entry in entries[:-1])]
        assert all(entry.hash == _hash(entry) for entry in entries)

    def test_an_untouched_chain_verifies(self, audit: AuditLog) -> None:
        assert audit.verify() == 0
        for n in range(3):
            audit.append("ada", "act", "thing", {"n": n, "text": "ü\x00\n", "float": 1.0})
        assert audit.verify() == 3

    def test_the_list_is_paged_by_sequence(self, audit: AuditLog) -> None:
        entries = [audit.append("ada", "act", "thing", {}) for _ in range(5)]
        assert audit.list(limit=2) == entries[:2]
        assert audit.list(after=2, limit=2) == entries[2:4]
        assert audit.list(after=5) == []

    def test_a_search_finds_text_anywhere_newest_first(self, audit: AuditLog) -> None:
        audit.append("ada", "release.approve", "release:1", {"comment": 'said "fine"\n100 %'})
        audit.append("bob", "access.write", "principal:ada", {})
        audit.append("bob", "access.write", "principal:eve", {"x_y": 1})
        assert [entry.sequence for entry in audit.search()] == [3, 2, 1]
        assert [entry.sequence for entry in audit.search("ADA")] == [2, 1]
        assert [entry.sequence for entry in audit.search("bob", limit=1)] == [3]
        assert [entry.sequence for entry in audit.search("bob", before=3)] == [2]
        assert [entry.sequence for entry in audit.search('said "fine"\n100 %')] == [1]
        assert audit.search("x%y") == audit.search("nobody") == []

    def test_a_detail_without_json_form_is_refused(self, audit: AuditLog) -> None:
        with pytest.raises(InvalidInput):
            audit.append("ada", "act", "thing", {"value": float("nan")})
        with pytest.raises(InvalidInput):
            audit.append("ada", "act", "thing", {"value": object()})
        assert audit.verify() == 0

    def test_threads_make_one_chain(self, audit: AuditLog) -> None:
        with ThreadPoolExecutor(8) as threads:
            entries = list(threads.map(lambda n: audit.append("ada", "act", "t", {"n": n}), range(40)))
        assert sorted(entry.sequence for entry in entries) == list(range(1, 41))
        assert audit.verify() == 40
