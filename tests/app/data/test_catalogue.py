"""The catalogue: every source is found and read by whoever may, and by nobody else."""

from __future__ import annotations

import pytest

from headrace.app.data.catalogue import catalogue, read_rows, source
from headrace.app.operations import declare
from headrace.core.errors import Denied, InvalidInput, NotFound
from tests.app.small import AUTHOR, Site, Small
from tests.app.test_compliance import person


@pytest.fixture(scope="module")
def built(shared: Site) -> Small:
    """A source with a snapshot, and one without."""
    declared = shared.project("trucks", ("documentation: made up", "documentation: Lorries at auction"))
    declare(shared.app, declared.me, declared.folder)
    project = shared.project("saloons", ("name: Ada,", "name: Bea,"))
    project.released()
    return project


@pytest.mark.requirement("DAT-02")
def test_a_source_is_discovered_with_all_that_a_reader_needs(shared: Site, built: Small) -> None:
    dev = person(shared, "dev", "developer")
    assert [one.name for one in catalogue(shared.app, dev)] == ["saloons", "trucks"]
    found = source(shared.app, dev, "saloons")
    assert (found.owner, found.contact, found.basis) == ("Bea", "ada@example.org", "not_personal")
    assert (found.n_rows, found.n_snapshots, found.location) == (200, 1, "saloons/snapshots@0")
    assert found.fresh_at is not None
    assert found.raw is not None
    uses = {one.name: (one.use, one.kind, one.why) for one in found.fields}
    assert uses["price"] == ("target", "number", "")
    assert uses["car"] == ("key", "number", "names the row")
    assert uses["diesel"][:2] == ("input", "boolean")
    empty = source(shared.app, dev, "trucks")
    assert (empty.n_rows, empty.fresh_at, empty.location) == (0, None, None)


@pytest.mark.requirement("DAT-02")
@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("AUCTION lorries", ["trucks"]),
        ("bea", ["saloons"]),
        ("mileage", ["saloons", "trucks"]),
        ("mileage bea", ["saloons"]),
        ("nowhere", []),
    ],
)
def test_every_word_of_a_search_has_to_occur(
    shared: Site, built: Small, search: str, names: list[str]
) -> None:
    assert [one.name for one in catalogue(shared.app, built.me, search)] == names


@pytest.mark.requirement("DAT-02")
@pytest.mark.requirement("GOV-01")
def test_rows_are_read_by_whoever_may_and_the_log_says_so_first(shared: Site, built: Small) -> None:
    dev = person(shared, "dev", "developer")
    rows = read_rows(shared.app, dev, "saloons", 3)
    assert (len(rows.rows), rows.n_rows) == (3, 200)
    first = dict(zip(rows.columns, rows.rows[0], strict=True))
    assert first["car"] == 0
    assert isinstance(first["diesel"], bool)
    entry = shared.app.store.audit.list()[-1]
    assert (entry.actor, entry.action, entry.resource) == ("dev", "data.read", "project:saloons")
    assert entry.detail == {"snapshot": rows.snapshot, "rows": 3}


@pytest.mark.requirement("DAT-02")
def test_who_may_not_read_data_does_not_find_it_either(shared: Site, built: Small) -> None:
    for role in ("viewer", "operator", "auditor"):
        somebody = person(shared, f"some-{role}", role)
        assert catalogue(shared.app, somebody) == []
        for reading in (source, read_rows):
            with pytest.raises(Denied, match=r"data\.read"):
                reading(shared.app, somebody, "saloons")
    elsewhere = shared.app.identities.add("eve", ["developer"], actor=AUTHOR, workspace="elsewhere")
    assert catalogue(shared.app, elsewhere) == []
    with pytest.raises(Denied, match="another workspace"):
        read_rows(shared.app, elsewhere, "saloons")


def test_what_cannot_be_read_says_why(shared: Site, built: Small) -> None:
    with pytest.raises(NotFound, match="Build it with 'headrace run'"):
        read_rows(shared.app, built.me, "trucks")
    for limit in (0, 1001):
        with pytest.raises(InvalidInput, match="Expected 1 to 1000"):
            read_rows(shared.app, built.me, "saloons", limit)
    with pytest.raises(InvalidInput, match="at most 20 words"):
        catalogue(shared.app, built.me, "a " * 21)
