from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.access.credentials import NewSecret
from headrace.access.tries import TooManyTries
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from headrace.core.identity import Principal
from tests.access.people import Door


@pytest.fixture
def service(door: Door) -> Principal:
    return door.service("billing")


@pytest.fixture
def made(door: Door, service: Principal) -> NewSecret:
    return door.access.secrets.new(service)


def _refused(door: Door, name: str, text: str) -> bool:
    try:
        door.access.secrets.check(name, text)
    except Unauthenticated:
        return True
    return False


def test_a_secret_proves_its_service(door: Door, made: NewSecret) -> None:
    assert door.access.secrets.check("billing", made.text).id == made.record.id


@pytest.mark.requirement("IDN-08")
def test_a_secret_is_ours_long_and_kept_as_a_hash_only(door: Door, made: NewSecret) -> None:
    random = made.text.removeprefix(f"hrs_{made.record.id}_")
    assert len(random) == 43, "32 bytes"
    kept = str(door.store.credentials.list())
    assert random not in kept
    assert made.record.data["hash"].startswith("$argon2id$")


def test_nothing_but_the_secret_itself_is_accepted(door: Door, made: NewSecret) -> None:
    other = door.access.secrets.new(door.service("other")).text
    swapped = made.text[:41] + other[41:]
    for text in ("", "x", made.text[:-1], made.text + "x", made.text.upper(), other, swapped):
        assert _refused(door, "billing", text), text
    assert _refused(door, "other", made.text)
    assert _refused(door, "nobody", made.text)
    assert not _refused(door, "billing", made.text)


@pytest.mark.requirement("MCP-03")
def test_a_secret_ends_by_itself(door: Door, service: Principal) -> None:
    made = door.access.secrets.new(service, days=2)
    door.clock.advance(2 * 86_400 - 1)
    assert not _refused(door, "billing", made.text)
    door.clock.advance(1)
    assert _refused(door, "billing", made.text)


@pytest.mark.requirement("MCP-03")
@pytest.mark.parametrize("days", [-1, 0, 366, 100_000])
def test_none_lives_longer_than_a_year(door: Door, service: Principal, days: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 365"):
        door.access.secrets.new(service, days=days)


@pytest.mark.requirement("MCP-03")
def test_two_take_turns_and_a_third_has_to_wait(door: Door, service: Principal, made: NewSecret) -> None:
    second = door.access.secrets.new(service)
    assert not _refused(door, "billing", made.text)
    assert not _refused(door, "billing", second.text)
    with pytest.raises(Conflict, match=f"secret revoke billing {made.record.id}"):
        door.access.secrets.new(service)
    door.access.secrets.revoke("billing", made.record.id)
    assert _refused(door, "billing", made.text)
    assert not _refused(door, "billing", second.text)
    door.access.secrets.new(service)


def test_only_services_have_secrets(door: Door) -> None:
    door.enter("ann", "admin")
    for principal in (door.principals.get("ann"), door.agent("scout")):
        with pytest.raises(InvalidInput, match="Expected a service"):
            door.access.secrets.new(principal)


@pytest.mark.requirement("MCP-04")
def test_a_revoked_secret_ends_its_tokens(door: Door, service: Principal, made: NewSecret) -> None:
    token = door.tokens.issue(service, family=made.record.id)
    other = door.tokens.issue(service, family="another")
    door.tokens.verify(token)
    for _ in range(2):
        assert door.access.secrets.revoke("billing", made.record.id).state == "revoked"
    with pytest.raises(Unauthenticated, match="revoked"):
        door.tokens.verify(token)
    assert door.tokens.verify(other).name == "billing"


def test_one_service_cannot_name_anothers_secret(door: Door, made: NewSecret) -> None:
    door.service("other")
    for name, credential_id in (("other", made.record.id), ("billing", "nothing")):
        with pytest.raises(NotFound, match="secret ls"):
            door.access.secrets.revoke(name, credential_id)


@pytest.mark.requirement("MCP-04")
def test_guessing_is_stopped_and_raises_an_incident(door: Door, made: NewSecret) -> None:
    for _ in range(10):
        assert _refused(door, "billing", "hrs_guess")
    with pytest.raises(TooManyTries, match="Too many wrong secrets"):
        door.access.secrets.check("billing", made.text)
    (incident,) = door.store.incidents.list()
    assert (incident.kind, incident.subject, incident.workspace) == ("secret_guessing", "billing", "main")
    door.clock.advance(301)
    assert not _refused(door, "billing", made.text)


def test_invented_names_are_stopped_but_raise_nothing(door: Door) -> None:
    for name in ("nobody", "no\0body"):
        for _ in range(10):
            assert _refused(door, name, "hrs_guess")
        with pytest.raises(TooManyTries):
            door.access.secrets.check(name, "hrs_guess")
    assert door.store.incidents.list() == []


@pytest.mark.requirement("MCP-04")
def test_a_secret_that_nobody_uses_is_not_needed(door: Door, service: Principal, made: NewSecret) -> None:
    used = door.access.secrets.new(service)
    door.clock.advance(timedelta(days=20).total_seconds())
    door.access.secrets.check("billing", used.text)
    assert door.access.secrets.unneeded() == []
    door.clock.advance(timedelta(days=10).total_seconds())
    assert [record.id for record in door.access.secrets.unneeded()] == [made.record.id]
    door.clock.advance(timedelta(days=20).total_seconds())
    assert len(door.access.secrets.unneeded()) == 2


def test_of_many_uses_one_an_hour_is_noted(door: Door, made: NewSecret) -> None:
    first = door.access.secrets.check("billing", made.text)
    door.clock.advance(3_599)
    assert door.access.secrets.check("billing", made.text) == first
    door.clock.advance(1)
    assert door.access.secrets.check("billing", made.text).used_at == door.clock.now()
