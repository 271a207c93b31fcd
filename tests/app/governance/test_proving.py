"""Second factors from the outside: added, shown, removed and reset, each only by whom it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyotp
import pytest

from headrace.access.passkeys import Site
from headrace.access.second_factors import PROOF_S
from headrace.app.composition import App, open_app
from headrace.app.governance import proving
from headrace.app.governance.proving import FRESH_SIGN_IN_S, Proved
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound, ProofNeeded
from headrace.core.identity import Principal, Session
from headrace.testing import FakeClock, make_settings
from tests.access.authenticator import Authenticator

HERE = Site.at("localhost:8000")


@dataclass(kw_only=True)
class Person:
    """Somebody at a browser, with a phone and a security key."""

    app: App
    clock: FakeClock
    name: str
    session: Session
    key: str = ""

    @property
    def me(self) -> Principal:
        """Who they are at this moment."""
        return replace(self.app.identities.resolve(self.name), session=self.session)

    def shown(self, proved: Proved) -> None:
        """What the session keeps of a proof."""
        self.session = replace(self.session, proved_until=proved.until, proof=proved.proof)

    def code(self) -> str:
        """The next code of the phone that is not used yet."""
        self.clock.advance(30)
        return pyotp.TOTP(self.key).at(self.clock.now())

    def add_app(self) -> None:
        proving.begin_app(self.app, self.me)
        waiting = proving.pending_app(self.app, self.me)
        assert waiting is not None
        self.key = waiting.key
        self.shown(proving.add_app(self.app, self.me, self.code()))

    def add_passkey(self, device: Authenticator) -> None:
        made = device.make(proving.offer_passkey(self.app, self.me, HERE))
        self.shown(proving.add_passkey(self.app, self.me, HERE, made, "stick"))


class House:
    """A home with its people."""

    def __init__(self, app: App, clock: FakeClock) -> None:
        self.app, self.clock = app, clock
        for name, roles in (("ada", ["admin"]), ("bea", ["admin"]), ("carol", ["validator"])):
            app.identities.add(name, roles, actor="ada")

    def person(self, name: str) -> Person:
        """``name``, who has just signed in."""
        session = Session(token=f"session-of-{name}", began_at=self.clock.now())
        return Person(app=self.app, clock=self.clock, name=name, session=session)

    def audited(self, action: str) -> list[str]:
        return [entry.actor for entry in self.app.store.audit.list() if entry.action == action]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    clock = FakeClock()
    with open_app(make_settings(tmp_path / "home"), clock) as app:
        yield House(app, clock)


def test_a_first_factor_is_added_freely_after_signing_in(house: House) -> None:
    carol = house.person("carol")
    carol.add_app()
    (factor,) = proving.own_factors(house.app, carol.me)
    assert (factor.kind, factor.owner, factor.label) == ("code", "carol", "Authenticator app")
    assert house.audited("factor.add") == ["carol"]
    assert proving.pending_app(house.app, carol.me) is None
    assert carol.key not in str(house.app.store.audit.list())


@pytest.mark.requirement("MCP-08")
def test_a_first_factor_needs_a_fresh_sign_in(house: House) -> None:
    carol = house.person("carol")
    house.clock.advance(FRESH_SIGN_IN_S + 1)
    for begin in (proving.begin_app, lambda app, me: proving.offer_passkey(app, me, HERE)):
        with pytest.raises(Denied, match="within ten minutes of signing in"):
            begin(house.app, carol.me)
    by_token = replace(carol.me, session=None)
    with pytest.raises(Denied, match="within ten minutes of signing in"):
        proving.begin_app(house.app, by_token)


@pytest.mark.requirement("MCP-08")
def test_further_factors_and_removal_need_a_proof(house: House) -> None:
    carol, device = house.person("carol"), Authenticator()
    carol.add_app()
    house.clock.advance(PROOF_S)
    (app,) = proving.own_factors(house.app, carol.me)
    with pytest.raises(ProofNeeded):
        proving.offer_passkey(house.app, carol.me, HERE)
    with pytest.raises(ProofNeeded):
        proving.remove_factor(house.app, carol.me, app.id)
    carol.shown(proving.prove_by_code(house.app, carol.me, carol.code()))
    carol.add_passkey(device)
    assert [one.kind for one in proving.own_factors(house.app, carol.me)] == ["code", "passkey"]
    proving.remove_factor(house.app, carol.me, app.id)
    assert [one.kind for one in proving.own_factors(house.app, carol.me)] == ["passkey"]
    assert house.audited("factor.remove") == ["carol"]
    with pytest.raises(NotFound):
        proving.remove_factor(house.app, carol.me, app.id)


@pytest.mark.requirement("IDN-09")
def test_a_code_does_not_take_a_passkey_away(house: House) -> None:
    carol = house.person("carol")
    carol.add_app()
    carol.add_passkey(Authenticator())
    carol.shown(proving.prove_by_code(house.app, carol.me, carol.code()))
    passkey = proving.own_factors(house.app, carol.me)[1]
    with pytest.raises(ProofNeeded, match="passkey"):
        proving.remove_factor(house.app, carol.me, passkey.id)


def test_a_passkey_proves_for_ten_minutes(house: House) -> None:
    carol, device = house.person("carol"), Authenticator()
    carol.add_passkey(device)
    house.clock.advance(PROOF_S)
    asked = proving.ask_passkey(house.app, carol.me, HERE)
    proved = proving.prove_by_passkey(house.app, carol.me, HERE, device.sign(asked))
    assert proved.proof == "passkey"
    assert (proved.until - house.clock.now()).total_seconds() == PROOF_S
    assert house.audited("proof.given") == ["carol"]


@pytest.mark.requirement("IDN-09")
def test_a_challenge_counts_once_for_one_purpose_in_one_session(house: House) -> None:
    carol, device = house.person("carol"), Authenticator()
    carol.add_passkey(device)
    asked = proving.ask_passkey(house.app, carol.me, HERE)
    answer = device.sign(asked)
    elsewhere = replace(carol.me, session=replace(carol.session, token="another"))
    with pytest.raises(Denied, match="answered already"):
        proving.prove_by_passkey(house.app, elsewhere, HERE, answer)
    proving.prove_by_passkey(house.app, carol.me, HERE, answer)
    with pytest.raises(Denied, match="answered already"):
        proving.prove_by_passkey(house.app, carol.me, HERE, answer)
    made = Authenticator(key_id=b"second-key-01234").make(proving.offer_passkey(house.app, carol.me, HERE))
    with pytest.raises(Denied, match="answered already"):
        proving.prove_by_passkey(house.app, carol.me, HERE, made)
    house.clock.advance(300)
    with pytest.raises(Denied, match="five minutes"):
        proving.add_passkey(house.app, carol.me, HERE, made, "late")


def test_a_wrong_proof_is_audited_and_uses_its_challenge_up(house: House) -> None:
    carol, device = house.person("carol"), Authenticator()
    carol.add_passkey(device)
    asked = proving.ask_passkey(house.app, carol.me, HERE)
    with pytest.raises(Denied):
        proving.prove_by_passkey(house.app, carol.me, HERE, device.sign(asked, origin="https://evil.example"))
    with pytest.raises(Denied, match="answered already"):
        proving.prove_by_passkey(house.app, carol.me, HERE, device.sign(asked))
    assert house.audited("proof.refused") == ["carol"]


def test_a_key_waits_for_its_first_code_for_a_while(house: House) -> None:
    carol = house.person("carol")
    proving.begin_app(house.app, carol.me)
    waiting = proving.pending_app(house.app, carol.me)
    assert waiting is not None
    carol.key = waiting.key
    with pytest.raises(InvalidInput, match="six digits"):
        proving.add_app(house.app, carol.me, "abc")
    assert proving.pending_app(house.app, carol.me) == waiting
    carol.shown(proving.add_app(house.app, carol.me, carol.code()))
    with pytest.raises(InvalidInput, match="No key waits"):
        proving.add_app(house.app, carol.me, carol.code())
    proving.begin_app(house.app, carol.me)
    second = proving.pending_app(house.app, carol.me)
    assert second is not None
    carol.key = second.key
    with pytest.raises(Conflict, match="has an authenticator app already"):
        proving.add_app(house.app, carol.me, carol.code())


@pytest.mark.requirement("MCP-08")
def test_an_administrator_resets_the_factors_of_somebody_else(house: House) -> None:
    carol, ada = house.person("carol"), house.person("ada")
    carol.add_app()
    assert house.app.gatekeeper.circumstance(carol.me).proved
    assert proving.reset_factors(house.app, ada.me, "carol") == 1
    assert proving.own_factors(house.app, carol.me) == []
    assert not house.app.gatekeeper.circumstance(carol.me).proved
    (incident,) = house.app.store.incidents.list(subject="carol")
    assert (incident.kind, incident.raised_by) == ("factor_reset", "ada")
    assert house.audited("factor.reset") == ["ada"]
    house.clock.advance(FRESH_SIGN_IN_S)
    with pytest.raises(Denied, match="signing in"):
        proving.begin_app(house.app, carol.me)


@pytest.mark.requirement("MCP-08")
def test_nobody_resets_without_right_proof_or_for_themselves(house: House) -> None:
    ada, carol = house.person("ada"), house.person("carol")
    with pytest.raises(Denied):
        proving.reset_factors(house.app, carol.me, "ada")
    with pytest.raises(Denied):
        proving.reset_factors(house.app, ada.me, "ada")
    ada.add_app()
    house.clock.advance(PROOF_S)
    with pytest.raises(ProofNeeded):
        proving.reset_factors(house.app, ada.me, "carol")
    with pytest.raises(ProofNeeded):
        house.app.gatekeeper.require(ada.me, "access.write", "principal:carol")
    ada.shown(proving.prove_by_code(house.app, ada.me, ada.code()))
    assert proving.reset_factors(house.app, ada.me, "carol") == 0


def test_who_may_look_at_rights_sees_factors_but_no_secret(house: House) -> None:
    carol, ada = house.person("carol"), house.person("ada")
    carol.add_app()
    carol.add_passkey(Authenticator())
    everybody = proving.factors_of(house.app, ada.me)
    assert everybody == proving.factors_of(house.app, ada.me, "carol")
    assert [one.kind for one in everybody] == ["code", "passkey"]
    sealed = house.app.access.factors.list("carol")[0].data["sealed"]
    assert sealed not in repr(everybody)
    with pytest.raises(Denied):
        proving.factors_of(house.app, carol.me, "ada")
    with pytest.raises(NotFound):
        proving.factors_of(house.app, ada.me, "nobody")
