"""What every audit log promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from headrace.core.canonical import digest_of, plain
from headrace.core.errors import InternalError, InvalidInput
from headrace.core.identity import AuditEntry
from headrace.core.ports import AuditLog, Head


def _hash(entry: AuditEntry) -> str:
    content = plain(entry)
    del content["hash"]
    return digest_of(content)


class AuditLogSuite:
    """Fixture ``audit``: an empty log."""

    def test_an_entry_says_who_did_what(self, audit: AuditLog) -> None:
        audit.append("ada", "release.approve", "release:1", {"comment": "fine", "n": [1, 2.5, None]})
        (entry,) = audit.list()
        assert (entry.sequence, entry.actor, entry.action, entry.resource) == (
            1,
            "ada",
            "release.approve",
            "release:1",
        )
        assert entry.detail == {"comment": "fine", "n": [1, 2.5, None]}
        assert entry.at.utcoffset() == timedelta(0)

    def test_each_hash_covers_the_entry_before(self, audit: AuditLog) -> None:
        for n in range(5):
            audit.append("ada", "act", f"thing:{n}", {"n": n})
        entries = audit.list()
        assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
        assert [entry.previous for entry in entries] == ["", *(entry.hash for entry in entries[:-1])]
        assert all(entry.hash == _hash(entry) for entry in entries)
        assert audit.head() == (5, entries[-1].hash)

    def test_an_untouched_chain_verifies(self, audit: AuditLog) -> None:
        assert audit.verify() == audit.head() == (0, "")
        for n in range(3):
            audit.append("ada", "act", "thing", {"n": n, "text": "ü\x00\n", "float": 1.0})
        assert audit.verify() == audit.head()
        assert audit.head().sequence == 3

    def test_a_chain_verifies_against_what_is_known_of_it(self, audit: AuditLog) -> None:
        for n in range(4):
            audit.append("ada", "act", 'thing:"quoted"\\', {"hash": "not this one", "n": n})
        entries = audit.list()
        known = {entry.sequence: entry.hash for entry in entries}
        assert audit.verify(known) == audit.head()
        assert audit.verify(after=Head(2, known[2])) == audit.head()
        with pytest.raises(InternalError, match="entry 3 is not the one that was sealed"):
            audit.verify(known | {3: known[2]})
        with pytest.raises(InternalError, match="ends at entry 4, but entry 9 was sealed"):
            audit.verify({9: "9" * 64})
        with pytest.raises(InternalError, match="entry 3 does not follow from entry 2"):
            audit.verify(after=Head(2, known[1]))

    def test_what_is_written_together_is_there_together(self, audit: AuditLog) -> None:
        with audit.transaction():
            audit.append("ada", "act", "thing", {"n": 1})
            with audit.transaction():
                audit.append("ada", "act", "thing", {"n": 2})
        assert [entry.detail["n"] for entry in audit.list()] == [1, 2]
        assert audit.verify().sequence == 2

    def test_a_transaction_that_fails_leaves_no_entry(self, audit: AuditLog) -> None:
        def fail(n: int) -> None:
            with audit.transaction():
                audit.append("ada", "act", "thing", {"n": n})
                raise KeyError(n)

        with pytest.raises(KeyError):
            fail(1)
        assert audit.head().sequence == 0
        with audit.transaction():
            audit.append("ada", "act", "thing", {"n": 1})
            with pytest.raises(KeyError):
                fail(2)
        assert [entry.detail["n"] for entry in audit.list()] == [1]

    def test_the_list_is_paged_by_sequence(self, audit: AuditLog) -> None:
        for _ in range(5):
            audit.append("ada", "act", "thing", {})
        entries = audit.list()
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
        with pytest.raises(InvalidInput):
            audit.append("ada", "act", "thing", {"value": "\ud800"})
        assert audit.verify().sequence == 0

    def test_threads_make_one_chain(self, audit: AuditLog) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: audit.append("ada", "act", "t", {"n": n}), range(40)))
        assert sorted(entry.detail["n"] for entry in audit.list()) == list(range(40))
        assert audit.verify().sequence == 40
