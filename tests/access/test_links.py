from __future__ import annotations

import pytest

from headrace.access.links import Links
from headrace.core.errors import Conflict, NotFound
from headrace.testing import make_principal
from tests.access.people import Door

ISSUER = "https://login.example"


def test_a_link_lets_one_person_in_until_it_ends(door: Door) -> None:
    links: Links = door.access.links
    ann = make_principal(name="ann")
    assert links.find(ISSUER, "00u1") is None
    links.add(ann, ISSUER, "00u1")
    links.add(ann, ISSUER, "00u1")
    assert links.find(ISSUER, "00u1") == "ann"
    assert links.find(f"{ISSUER}/", "00u1") is None
    assert links.find("https://other.example", "00u1") is None
    assert [one.data["subject"] for one in links.of("ann")] == ["00u1"]
    links.end("ann", ISSUER, "00u1")
    assert links.find(ISSUER, "00u1") is None
    links.add(ann, ISSUER, "00u1")
    assert links.find(ISSUER, "00u1") == "ann"


def test_a_link_never_changes_hands(door: Door) -> None:
    door.access.links.add(make_principal(name="ann"), ISSUER, "00u1")
    with pytest.raises(Conflict, match="never changes hands"):
        door.access.links.add(make_principal(name="bob"), ISSUER, "00u1")
    door.access.links.end("ann", ISSUER, "00u1")
    with pytest.raises(Conflict, match="never changes hands"):
        door.access.links.add(make_principal(name="bob"), ISSUER, "00u1")
    assert door.access.links.find(ISSUER, "00u1") is None


def test_what_is_not_linked_does_not_end(door: Door) -> None:
    door.access.links.add(make_principal(name="ann"), ISSUER, "00u1")
    for name, subject in (("bob", "00u1"), ("ann", "00u2")):
        with pytest.raises(NotFound):
            door.access.links.end(name, ISSUER, subject)
