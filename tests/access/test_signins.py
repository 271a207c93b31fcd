from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.oidc import Attempt
from headrace.access.signins import WAIT_S, SignIns
from headrace.access.vault import Vault
from headrace.core.errors import Unauthenticated
from headrace.testing import FakeClock, MemoryExpiring

ATTEMPT = Attempt("the-state", "the-nonce", "the-verifier", "https://headrace.example/back")


class Shared:
    """What two processes have in common."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.expiring = MemoryExpiring(self.clock)
        self._folder = folder

    def signins(self) -> SignIns:
        """As a process opens them."""
        return SignIns(self.expiring, Vault(self._folder), self.clock)


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(tmp_path)


@pytest.mark.requirement("MCP-03")
def test_a_sign_in_begun_at_one_process_is_finished_once_at_another(shared: Shared) -> None:
    one, other = shared.signins(), shared.signins()
    cookie = one.begin(ATTEMPT, "/security")
    assert shared.expiring._kept == {}, "whoever begins thousands of them fills nothing"
    begun = other.finish(cookie, ATTEMPT.state)
    assert (begun.attempt, begun.target) == (ATTEMPT, "/security")
    for signins in (one, other):
        with pytest.raises(Unauthenticated, match="finished already"):
            signins.finish(cookie, ATTEMPT.state)


def test_of_many_answers_at_the_same_instant_one_is_heard(shared: Shared) -> None:
    cookie = shared.signins().begin(ATTEMPT, "/")

    def finish(_: int) -> bool:
        try:
            shared.signins().finish(cookie, ATTEMPT.state)
        except Unauthenticated:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(finish, range(16))) == 1


def test_a_sign_in_waits_ten_minutes(shared: Shared) -> None:
    signins = shared.signins()
    cookie = signins.begin(ATTEMPT, "/")
    shared.clock.advance(WAIT_S)
    with pytest.raises(Unauthenticated, match="ten minutes"):
        signins.finish(cookie, ATTEMPT.state)


def test_a_cookie_says_nothing_and_fits_one(shared: Shared) -> None:
    cookie = shared.signins().begin(ATTEMPT, "/" + "x" * 199)
    assert not any(part in cookie for part in ATTEMPT)
    assert len(cookie) < 2_000
    assert all(c.isalnum() or c in "-_" for c in cookie)


def test_another_state_and_another_homes_cookie_let_nobody_in(shared: Shared, tmp_path: Path) -> None:
    signins = shared.signins()
    cookie = signins.begin(ATTEMPT, "/")
    stranger = Shared(tmp_path / "other").signins().begin(ATTEMPT, "/")
    for sent, state in (
        (cookie, "another"),
        (cookie, ""),
        (stranger, ATTEMPT.state),
        (cookie[:-2], ATTEMPT.state),
    ):
        with pytest.raises(Unauthenticated):
            signins.finish(sent, state)


@given(st.text(max_size=80))
def test_no_other_text_is_a_sign_in(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    signins = Shared(tmp_path_factory.getbasetemp() / "keys").signins()
    with pytest.raises(Unauthenticated):
        signins.finish(text, ATTEMPT.state)
