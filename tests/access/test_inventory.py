from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.access.abnormal import ACTIVE
from headrace.access.inventory import concerns, unused_roles, why_over
from headrace.access.policy import ACTIONS, CedarPolicy
from headrace.core.identity import ROLES, Credential, Principal, Resource, Use
from headrace.testing import START, make_principal

ANN = make_principal(name="ann", roles=("developer",), review_by=START + timedelta(days=400))
BOT = make_principal(
    name="bot", kind="agent", roles=("viewer", "operator"), owner="ann", purpose="labels",
    expires_at=START + timedelta(days=400), review_by=START + timedelta(days=400),
)  # fmt: skip
_POLICY = CedarPolicy()


def _used(days_ago: float = 1, action: str = "project.read", principal: str = "bot") -> Use:
    at = START - timedelta(days=days_ago)
    return Use(principal=principal, action=action, resource="project:cars", count=1, first_at=at, last_at=at)


def _secret(days_old: float = 1, days_left: float | None = 30, **changes: object) -> Credential:
    ends = None if days_left is None else START + timedelta(days=days_left)
    secret = Credential(
        id="s", workspace="main", subject="bot", kind="secret",
        created_at=START - timedelta(days=days_old), expires_at=ends,
    )  # fmt: skip
    return replace(secret, **changes)  # type: ignore[arg-type]


def _allowed(principal: Principal, action: str, resource: str) -> bool:
    return _POLICY.decide(principal, action, Resource.parse(resource)).allowed


def test_nothing_is_wrong_with_what_is_looked_after() -> None:
    assert concerns(BOT, ANN, [_secret()], [_used()], START) == ()
    assert concerns(ANN, None, [], [_used()], START) == ()


@pytest.mark.requirement("IDN-08")
@pytest.mark.parametrize(
    ("principal", "owner", "live", "uses", "kinds"),
    [
        (BOT, None, [], [_used()], ["orphaned"]),
        (BOT, replace(ANN, expires_at=START), [], [_used()], ["orphaned"]),
        (BOT, replace(ANN, kind="service"), [], [_used()], ["orphaned"]),
        (BOT, replace(ANN, workspace="lab"), [], [_used()], ["orphaned"]),
        (replace(BOT, expires_at=START), ANN, [], [_used()], ["expired"]),
        (replace(BOT, review_by=START), ANN, [], [_used()], ["review_overdue"]),
        (replace(BOT, review_by=None), ANN, [], [_used()], ["review_overdue"]),
        (replace(BOT, created_at=START - timedelta(days=90)), ANN, [], [], ["unused"]),
        (replace(BOT, created_at=START - timedelta(days=99)), ANN, [], [_used(90)], ["unused"]),
        (BOT, ANN, [_secret(91)], [_used()], ["old_secret"]),
        (BOT, ANN, [_secret(91, kind="external")], [_used()], []),
        (BOT, ANN, [_secret(days_left=None)], [_used()], ["endless_secret"]),
        (replace(ANN, roles=("validator",)), None, [], [_used()], ["no_second_factor"]),
        (replace(ANN, roles=("admin",)), None, [_secret(kind="passkey")], [_used()], []),
        (replace(ANN, roles=("admin",)), None, [_secret(kind="totp")], [_used()], []),
    ],
)
def test_what_is_wrong_is_found_with_what_to_do(
    principal: Principal, owner: Principal | None, live: list[Credential], uses: list[Use], kinds: list[str]
) -> None:
    found = concerns(principal, owner, live, uses, START)
    assert [one.kind for one in found] == kinds
    assert all(one.title and one.remedy for one in found)


@pytest.mark.requirement("IDN-08")
def test_a_shared_secret_is_known_from_what_was_noticed() -> None:
    (found,) = concerns(BOT, ANN, [_secret()], [_used()], START, shared=True)
    assert found.kind == "shared_secret"


@pytest.mark.requirement("IDN-03")
def test_a_role_that_nothing_needed_is_named_with_the_change_that_removes_it() -> None:
    bot = replace(BOT, created_at=START - timedelta(days=200))
    (found,) = unused_roles(bot, [_used(action="project.read"), _used(100, "predict")], _allowed, START)
    assert (found.role, found.principal) == ("operator", "bot")
    assert found.title == "nothing that only operator permits was used in 90 days"
    assert found.remedy == "headrace access user remove-role bot --role operator"
    assert unused_roles(bot, [_used(action="predict")], _allowed, START)[0].role == "viewer"


def test_young_roles_and_the_last_one_stay() -> None:
    old = START - timedelta(days=200)
    bot = replace(BOT, created_at=old)
    assert unused_roles(replace(bot, roles_since=START - timedelta(days=89)), [], _allowed, START) == []
    assert unused_roles(replace(BOT, created_at=START - timedelta(days=89)), [], _allowed, START) == []
    alone = replace(bot, roles=("operator",))
    assert unused_roles(alone, [], _allowed, START) == []
    assert [one.role for one in unused_roles(bot, [_used(1, ACTIVE)], _allowed, START)] == ["operator"]


@pytest.mark.requirement("IDN-03")
@given(
    st.lists(st.sampled_from(ROLES), min_size=1, unique=True),
    st.lists(st.sampled_from(ACTIONS), max_size=6),
)
@settings(max_examples=60)
def test_without_the_roles_named_everything_done_stays_permitted(roles: list[str], done: list[str]) -> None:
    held = tuple(role for role in ROLES if role in roles)
    somebody = replace(ANN, roles=held, created_at=START - timedelta(days=365))
    uses = [_used(action=action, principal="ann") for action in done]
    found = {one.role for one in unused_roles(somebody, uses, _allowed, START)}
    left = replace(somebody, roles=tuple(role for role in held if role not in found))
    assert left.roles
    for action in done:
        assert _allowed(left, action, "project:cars") == _allowed(somebody, action, "project:cars")
    for role in left.roles:  # and no other role can go
        fewer = replace(left, roles=tuple(other for other in left.roles if other != role))
        assert not fewer.roles or any(
            _allowed(left, a, "project:cars") and not _allowed(fewer, a, "project:cars") for a in done
        )


@pytest.mark.requirement("MCP-04")
def test_what_is_over_is_to_be_ended() -> None:
    assert why_over(_secret(), BOT, START) == ""
    assert why_over(_secret(days_left=0), BOT, START) == "it has expired"
    assert why_over(_secret(), replace(BOT, expires_at=START), START) == "its identity has expired"
    for kind in ("token", "passkey", "totp"):
        assert why_over(_secret(100, days_left=0, kind=kind), BOT, START) == ""
