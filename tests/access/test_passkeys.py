from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.access.passkeys import MAX_PASSKEYS, Passkeys, Site
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Credential
from headrace.testing import make_principal
from tests.access.authenticator import Authenticator, text
from tests.access.people import Door

HERE = Site.at("localhost:8000")
ANN = make_principal(name="ann")


class Holder:
    """Somebody with a passkey."""

    def __init__(self, door: Door, name: str = "ann", key_id: bytes = b"key-of-ann-01234") -> None:
        self.passkeys: Passkeys = door.access.factors.passkeys
        self.name = name
        self.device = Authenticator(key_id=key_id)
        owner = make_principal(name=name)
        offered = self.passkeys.offer(owner, HERE)
        made = self.device.make(offered.options)
        self.kept: Credential = self.passkeys.accept(owner, HERE, offered.challenge, made, " my  stick ")
        door.access.factors.keep(self.kept)

    def prove(self, **changes: Any) -> None:
        asked = self.passkeys.ask(self.name, HERE)
        self.passkeys.check(self.name, HERE, asked.challenge, self.device.sign(asked.options, **changes))


@pytest.fixture
def holder(door: Door) -> Holder:
    return Holder(door)


@pytest.mark.requirement("MCP-08", "IDN-09")
def test_a_passkey_proves_who_has_it(door: Door, holder: Holder) -> None:
    holder.prove()
    holder.prove()
    (kept,) = door.access.factors.list("ann")
    assert kept.data["label"] == "my stick"
    assert kept.data["count"] == 2
    assert kept.used_at == door.clock.now()


def test_what_the_browser_is_asked_for(holder: Holder) -> None:
    offered = holder.passkeys.offer(ANN, HERE).options
    assert offered["rp"]["id"] == "localhost"
    assert offered["authenticatorSelection"]["userVerification"] == "required"
    assert [one["id"] for one in offered["excludeCredentials"]] == [holder.kept.data["key_id"]]
    asked = holder.passkeys.ask("ann", HERE).options
    assert asked["userVerification"] == "required"
    assert [one["id"] for one in asked["allowCredentials"]] == [holder.kept.data["key_id"]]


@pytest.mark.requirement("IDN-09")
@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "http://localhost:8001"},
        {"origin": "https://headrace.example.evil"},
        {"site": "headrace.example.evil"},
        {"challenge": text(b"another challenge of some length")},
        {"type": "webauthn.create"},
    ],
    ids=str,
)
def test_a_page_elsewhere_gets_nothing_that_counts_here(holder: Holder, changes: dict[str, str]) -> None:
    with pytest.raises(Denied, match="proves nothing"):
        holder.prove(**changes)
    holder.prove()


def test_a_passkey_has_to_be_unlocked(door: Door, holder: Holder) -> None:
    holder.device.verifies = False
    with pytest.raises(Denied, match="proves nothing"):
        holder.prove()
    offered = holder.passkeys.offer(ANN, HERE)
    device = Authenticator(verifies=False, key_id=b"another-key-0123")
    with pytest.raises(Denied, match="cannot be added"):
        holder.passkeys.accept(ANN, HERE, offered.challenge, device.make(offered.options), "")


@pytest.mark.requirement("IDN-09")
def test_a_counter_that_goes_back_is_a_copy(door: Door, holder: Holder) -> None:
    holder.prove()
    holder.device.count = 0
    with pytest.raises(Denied, match="may be a copy"):
        holder.prove()
    (incident,) = door.store.incidents.list(subject="ann")
    assert incident.kind == "passkey_copied"
    assert incident.evidence["known"] == 1


def test_a_passkey_without_a_counter_is_fine(holder: Holder) -> None:
    for _ in range(2):
        holder.device.count = -1  # it says 0 every time, as passkeys that are synchronised do
        holder.prove()


@pytest.mark.parametrize("part", ["origin", "site", "challenge", "type"])
def test_a_passkey_made_elsewhere_is_not_added(door: Door, part: str) -> None:
    passkeys = door.access.factors.passkeys
    offered = passkeys.offer(ANN, HERE)
    wrong = {"challenge": text(b"another challenge of some length")}.get(part, "https://evil.example")
    with pytest.raises(Denied, match="cannot be added"):
        passkeys.accept(
            ANN, HERE, offered.challenge, Authenticator().make(offered.options, **{part: wrong}), ""
        )
    assert door.access.factors.list("ann") == []


def test_nobody_proves_with_somebody_elses_passkey(door: Door, holder: Holder) -> None:
    other = Holder(door, "bob", b"key-of-bob-01234")
    asked = holder.passkeys.ask("ann", HERE)
    with pytest.raises(Denied, match="none of your passkeys"):
        holder.passkeys.check("ann", HERE, asked.challenge, other.device.sign(asked.options))


def test_nobody_adds_somebody_elses_passkey(door: Door, holder: Holder) -> None:
    bob = make_principal(name="bob")
    offered = holder.passkeys.offer(bob, HERE)
    taken = Authenticator(key_id=holder.device.key_id)
    made = holder.passkeys.accept(bob, HERE, offered.challenge, taken.make(offered.options), "")
    with pytest.raises(Conflict, match="added before"):
        door.access.factors.keep(made)


def test_one_that_was_removed_proves_nothing(door: Door, holder: Holder) -> None:
    asked = holder.passkeys.ask("ann", HERE)
    door.access.factors.end(holder.kept)
    with pytest.raises(Denied, match="none of your passkeys"):
        holder.passkeys.check("ann", HERE, asked.challenge, holder.device.sign(asked.options))
    with pytest.raises(InvalidInput, match="no passkey for localhost"):
        holder.passkeys.ask("ann", HERE)


def test_a_passkey_is_for_one_site(holder: Holder) -> None:
    with pytest.raises(InvalidInput, match="no passkey for headrace.example"):
        holder.passkeys.ask("ann", Site.at("headrace.example"))


def test_there_are_ten_at_most(door: Door) -> None:
    for number in range(MAX_PASSKEYS):
        Holder(door, key_id=f"key-of-ann-{number:05}".encode())
    with pytest.raises(Conflict, match="10 passkeys"):
        door.access.factors.passkeys.offer(ANN, HERE)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(_ANYTHING, st.sampled_from(["response", "clientDataJSON", "authenticatorData", "signature", "type"]))
def test_nonsense_is_refused(holder: Holder, nonsense: Any, part: str) -> None:
    asked = holder.passkeys.ask("ann", HERE)
    answer = holder.device.sign(asked.options)
    (answer if part in answer else answer["response"])[part] = nonsense
    with pytest.raises(Denied):
        holder.passkeys.check("ann", HERE, asked.challenge, answer)
    made = {"id": "x", "rawId": "x", "type": "public-key", "response": nonsense}
    with pytest.raises(Denied):
        holder.passkeys.accept(ANN, HERE, asked.challenge, made, "")


@pytest.mark.parametrize(
    ("host", "name", "origins"),
    [
        ("localhost:8000", "localhost", ("https://localhost:8000", "http://localhost:8000")),
        ("headrace.example", "headrace.example", ("https://headrace.example",)),
        ("headrace.example:8443", "headrace.example", ("https://headrace.example:8443",)),
        ("a.localhost", "a.localhost", ("https://a.localhost", "http://a.localhost")),
    ],
)
def test_a_site_goes_by_its_name(host: str, name: str, origins: tuple[str, ...]) -> None:
    assert Site.at(host) == (name, origins)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.0.0.1", "[::1]:8000", "[::1]", "10.0.0.1"])
def test_a_number_is_no_site(host: str) -> None:
    with pytest.raises(InvalidInput, match="is a number"):
        Site.at(host)
