"""What a second factor opens, and for how long."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyotp
import pytest

from headrace.access.policy import CedarPolicy
from headrace.access.second_factors import PROOF_S
from headrace.core.errors import Denied, NotFound, ProofNeeded
from headrace.core.identity import Circumstance, Principal, Proof, Resource, Session
from headrace.testing import make_principal
from tests.access.authenticator import Authenticator
from tests.access.people import Door
from tests.access.test_passkeys import HERE

RISKY = Resource(kind="release", name="r1", risk="high", authors=("bob",))
PLAIN = Resource(kind="release", name="r2", risk="low", authors=("bob",))
CAROL = make_principal(name="carol", roles=("validator",))
ADMIN = make_principal(name="ada", roles=("admin",))


def app_of(door: Door, name: str) -> None:
    codes = door.access.factors.codes
    key = codes.new_key()
    code = pyotp.TOTP(key).at(door.clock.now())
    door.access.factors.keep(codes.accept(make_principal(name=name), key, code))
    door.store.epoch.advance()


def passkey_of(door: Door, name: str) -> None:
    passkeys, owner = door.access.factors.passkeys, make_principal(name=name)
    offered = passkeys.offer(owner, HERE)
    made = passkeys.accept(owner, HERE, offered.challenge, Authenticator().make(offered.options), "")
    door.access.factors.keep(made)
    door.store.epoch.advance()


def proved(door: Door, principal: Principal, proof: Proof | None) -> Principal:
    until = door.clock.now() + timedelta(seconds=PROOF_S)
    return make_principal(
        name=principal.name,
        roles=principal.roles,
        session=Session(token="t", proved_until=until, proof=proof),
    )


@pytest.mark.requirement("GOV-02", "IDN-09")
def test_a_high_risk_is_approved_only_with_a_fresh_second_factor(door: Door) -> None:
    with pytest.raises(ProofNeeded, match=r"A high risk needs a fresh second factor.*/security/prove"):
        door.gatekeeper.require(CAROL, "release.approve", RISKY)
    app_of(door, "carol")
    with pytest.raises(ProofNeeded):
        door.gatekeeper.require(CAROL, "release.approve", RISKY)
    fresh = proved(door, CAROL, "code")
    door.gatekeeper.require(fresh, "release.approve", RISKY)
    door.clock.advance(PROOF_S)
    with pytest.raises(ProofNeeded):
        door.gatekeeper.require(fresh, "release.approve", RISKY)


@pytest.mark.requirement("IDN-09")
def test_whoever_has_a_passkey_uses_it_where_the_risk_is_high(door: Door) -> None:
    app_of(door, "carol")
    passkey_of(door, "carol")
    with pytest.raises(ProofNeeded, match="your passkey is needed"):
        door.gatekeeper.require(proved(door, CAROL, "code"), "release.approve", RISKY)
    door.gatekeeper.require(proved(door, CAROL, "code"), "release.approve", PLAIN)
    door.gatekeeper.require(proved(door, CAROL, "passkey"), "release.approve", RISKY)


@pytest.mark.requirement("MCP-08")
@pytest.mark.parametrize("action", ["access.write", "grant.decide", "policy.decide", "workspace.write"])
def test_whoever_has_a_second_factor_shows_it_before_they_administer(door: Door, action: str) -> None:
    on = "principal:bob"
    door.gatekeeper.require(ADMIN, action, on)
    app_of(door, "ada")
    with pytest.raises(ProofNeeded, match="shows it before deciding or administering"):
        door.gatekeeper.require(ADMIN, action, on)
    assert door.gatekeeper.lacks_proof(ADMIN, action, on)
    door.gatekeeper.require(proved(door, ADMIN, "code"), action, on)
    door.gatekeeper.require(ADMIN, "project.read", "project:cars")


@pytest.mark.requirement("MCP-08")
def test_whoever_has_a_second_factor_shows_it_before_they_approve(door: Door) -> None:
    door.gatekeeper.require(CAROL, "release.approve", PLAIN)
    app_of(door, "carol")
    with pytest.raises(ProofNeeded):
        door.gatekeeper.require(CAROL, "release.approve", PLAIN)
    door.gatekeeper.require(CAROL, "release.reject", PLAIN)
    door.gatekeeper.require(proved(door, CAROL, "code"), "release.approve", PLAIN)


def test_a_proof_ends_with_the_factor_that_gave_it(door: Door) -> None:
    app_of(door, "carol")
    fresh = proved(door, CAROL, "code")
    door.gatekeeper.require(fresh, "release.approve", RISKY)
    (factor,) = door.access.factors.list("carol")
    door.access.factors.end(factor)
    door.store.epoch.advance()
    with pytest.raises(ProofNeeded):
        door.gatekeeper.require(fresh, "release.approve", RISKY)


def test_a_proof_adds_no_right(door: Door) -> None:
    author = proved(door, make_principal(name="bob", roles=("validator",)), "passkey")
    with pytest.raises(Denied, match="own work") as refused:
        door.gatekeeper.require(author, "release.approve", RISKY)
    assert not isinstance(refused.value, ProofNeeded)
    viewer = make_principal(name="vera", roles=("viewer",))
    with pytest.raises(Denied) as refused:
        door.gatekeeper.require(viewer, "release.approve", RISKY)
    assert not isinstance(refused.value, ProofNeeded)
    service = make_principal(name="ci", kind="service", roles=("validator",))
    with pytest.raises(Denied) as refused:
        door.gatekeeper.require(service, "release.approve", RISKY)
    assert not isinstance(refused.value, ProofNeeded)


def test_everybody_looks_after_their_own_factors_only(door: Door) -> None:
    door.identities.add("carol", ["viewer"], actor="root")
    carol = door.identities.resolve("carol")
    door.gatekeeper.require(carol, "factor.write", "principal:carol")
    with pytest.raises(Denied):
        door.gatekeeper.require(carol, "factor.write", "principal:ada")
    app_of(door, "carol")
    with pytest.raises(ProofNeeded):
        door.gatekeeper.require(carol, "factor.write", "principal:carol")
    door.gatekeeper.require(proved(door, carol, "code"), "factor.write", "principal:carol")
    passkey_of(door, "carol")
    with pytest.raises(ProofNeeded, match="passkey"):
        door.gatekeeper.require(proved(door, carol, "code"), "factor.write", "principal:carol")


def test_nobody_resets_their_own_factors(door: Door) -> None:
    door.gatekeeper.require(ADMIN, "factor.reset", "principal:carol")
    with pytest.raises(Denied):
        door.gatekeeper.require(ADMIN, "factor.reset", "principal:ada")
    with pytest.raises(Denied):
        door.gatekeeper.require(CAROL, "factor.reset", "principal:bob")


def test_a_factor_is_found_by_its_owner(door: Door) -> None:
    app_of(door, "carol")
    (factor,) = door.access.factors.list("carol")
    assert door.access.factors.get("carol", factor.id) == factor
    assert door.access.factors.enrolled("carol") == ("code",)
    assert door.access.factors.enrolled("bob") == ()
    with pytest.raises(NotFound):
        door.access.factors.get("bob", factor.id)


@pytest.mark.requirement("MCP-08")
@pytest.mark.parametrize("action", ["release.approve", "access.write", "policy.decide"])
def test_a_policy_may_ask_it_of_everybody(action: str, project_root: Path) -> None:
    page = (project_root / "docs/how-to/require-a-second-factor.md").read_text(encoding="utf-8")
    rule = page.partition("```text\n")[2].partition("```")[0]
    policy = CedarPolicy(f"permit (principal, action, resource);{rule}")
    assert not policy.decide(CAROL, action, PLAIN).allowed
    assert policy.decide(CAROL, action, PLAIN, Circumstance(proved=True)).allowed
    assert policy.decide(CAROL, "release.reject", PLAIN).allowed
