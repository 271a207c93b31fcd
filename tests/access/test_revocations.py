from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.access.credentials import GrantRefused
from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.access.revocations import Revocations
from headrace.access.tokens import Verified
from headrace.core.errors import Unauthenticated
from headrace.core.identity import Credential, Principal
from headrace.core.ids import derived_id
from headrace.store import open_store
from headrace.testing import START, FakeClock, MemoryEpoch, make_settings
from tests.access.people import Door


class Worker:
    """Another worker of the same home: a store and memories of its own, nothing shared but files."""

    def __init__(self, home: Path, clock: FakeClock) -> None:
        self._store = open_store(make_settings(home), clock)
        self._tokens = open_access(self._store, home / "keys", clock, CedarPolicy()).tokens

    def verify(self, token: str) -> Verified:
        """Whom ``token`` speaks for."""
        return self._tokens.verify(token)

    def refuses(self, token: str) -> bool:
        """Whether it says that the token has been revoked."""
        try:
            self.verify(token)
        except Unauthenticated as error:
            return "revoked" in str(error)
        return False

    def close(self) -> None:
        """Release the store's files."""
        self._store.close()


@pytest.fixture
def worker(door: Door, tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path / "home", door.clock)
    yield worker
    worker.close()


def _ann(door: Door) -> Principal:
    door.enter("ann", "viewer")
    return door.principals.get("ann")


@pytest.mark.requirement("MCP-04")
def test_a_revoked_token_is_refused_by_every_worker_at_its_next_request(door: Door, worker: Worker) -> None:
    ann = _ann(door)
    lost, kept = door.tokens.issue(ann), door.tokens.issue(ann)
    jti = worker.verify(lost).session.token
    door.access.revocations.end(ann, "token", jti)
    assert worker.refuses(lost), "no time has passed: what the worker remembered must not count"
    assert worker.verify(kept).name == "ann"
    with pytest.raises(Unauthenticated, match="revoked"):
        door.tokens.verify(lost)


@pytest.mark.parametrize("what", ["family", "run"])
def test_a_family_and_a_run_end_as_a_whole(door: Door, worker: Worker, what: str) -> None:
    ann = _ann(door)
    first, second = (door.tokens.issue(ann, family="f1", run="f1") for _ in range(2))
    other = door.tokens.issue(ann, family="f2", run="f2")
    assert worker.verify(first) != worker.verify(second)
    door.access.revocations.end(ann, "family" if what == "family" else "run", "f1")
    assert worker.refuses(first)
    assert worker.refuses(second)
    assert worker.verify(other).name == "ann"


def test_all_tokens_so_far_end_and_later_ones_do_not(door: Door, worker: Worker) -> None:
    ann = _ann(door)
    header = door.enter("bob", "viewer")
    before = door.tokens.issue(ann)
    worker.verify(before)
    door.access.revocations.end_all(ann)
    assert worker.refuses(before)
    door.clock.advance(0.001)
    assert worker.verify(door.tokens.issue(ann)).name == "ann"
    assert worker.verify(header.removeprefix("Bearer ")).name == "bob"


def test_a_clock_that_was_put_back_saves_no_token_and_ends_none_that_comes_later(
    door: Door, worker: Worker
) -> None:
    ann = _ann(door)
    refreshing, revocations = door.access.refreshing, door.access.revocations
    early, begun = door.tokens.issue(ann), refreshing.use(refreshing.start(ann).text)
    worker.verify(early)
    door.clock.set(START - timedelta(hours=1))
    revocations.end_all(ann)
    assert worker.refuses(early), "it says that it was issued an hour after everything was ended"
    with pytest.raises(Unauthenticated, match="revoked"):
        door.tokens.verify(early)
    with pytest.raises(GrantRefused, match="has ended"):
        refreshing.use(begun.text)
    door.clock.set(START - timedelta(hours=2))
    later = door.tokens.issue(ann)
    assert worker.verify(later).name == "ann", "it was issued afterwards, whatever the clock says"
    assert refreshing.use(refreshing.start(ann).text).name == "ann"
    revocations.end_all(ann)
    assert worker.refuses(later)


def test_what_was_ended_by_the_clock_before_it_was_counted_stays_ended(door: Door, worker: Worker) -> None:
    ann = _ann(door)
    early = door.tokens.issue(ann)
    # As an earlier Headrace wrote it: a time, and no generation.
    door.store.credentials.add(
        Credential(
            id=derived_id("revocation", "ann", str(START.timestamp())),
            workspace=ann.workspace,
            subject="ann",
            kind="token",
            created_at=START,
            expires_at=START + timedelta(hours=12),
            state="revoked",
            data={"before": str(START.timestamp())},
        )
    )
    door.store.epoch.advance()
    assert worker.refuses(early)
    door.clock.advance(0.001)
    assert worker.verify(door.tokens.issue(ann)).name == "ann"


def test_who_ends_all_at_the_same_instant_is_no_error(door: Door, worker: Worker) -> None:
    ann = _ann(door)
    early = door.tokens.issue(ann)
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda _: door.access.revocations.end_all(ann), range(4)))
    assert worker.refuses(early)
    assert worker.verify(door.tokens.issue(ann)).name == "ann"


def test_ending_again_is_no_error(door: Door) -> None:
    ann = _ann(door)
    token = door.tokens.issue(ann)
    for _ in range(2):
        door.access.revocations.end(ann, "token", door.tokens.issue(ann)[:8])
    assert door.tokens.verify(token).name == "ann"
    assert len(door.store.credentials.list(subject="ann")) == 1


def test_another_machine_notices_within_a_second(door: Door) -> None:
    ann = _ann(door)
    token = door.tokens.issue(ann)
    jti = door.tokens.verify(token).session.token
    # A machine with a home of its own shares the database, but not the epoch.
    Revocations(door.store.credentials, MemoryEpoch(), door.clock).end(ann, "token", jti)
    door.clock.advance(1.0)
    with pytest.raises(Unauthenticated, match="revoked"):
        door.tokens.verify(token)


def test_another_machine_is_not_believed_for_longer_whenever_it_is_asked(door: Door) -> None:
    ann = _ann(door)
    token = door.tokens.issue(ann)
    door.tokens.verify(token)
    door.clock.advance(5)
    door.tokens.verify(token)
    door.clock.advance(0.3)
    another = door.tokens.issue(ann)  # has the count of what was ended remembered
    door.tokens.verify(another)
    door.clock.advance(0.1)
    Revocations(door.store.credentials, MemoryEpoch(), door.clock).end_all(ann)
    for _ in range(7):  # looks in between, each of which may rest on what is half a second old
        door.clock.advance(0.2)
        for one in (token, another):
            with suppress(Unauthenticated):
                door.tokens.verify(one)
    for one in (token, another):
        with pytest.raises(Unauthenticated, match="revoked"):
            door.tokens.verify(one)


def test_what_is_over_is_set_aside_and_nothing_comes_back(door: Door) -> None:
    ann = _ann(door)
    revocations, refreshing = door.access.revocations, door.access.refreshing
    for number in range(5):
        revocations.end(ann, "token", f"t{number}")
    begun = refreshing.start(ann)
    refreshing.use(begun.text)
    token = door.tokens.mint(ann)
    revocations.end(ann, "token", token.id)
    door.clock.advance(899)
    assert revocations.set_aside() == 0
    with pytest.raises(Unauthenticated, match="revoked"):
        door.tokens.verify(token.text)
    door.clock.advance(42_301 - 1)
    assert revocations.set_aside() == 0, "a browser session may have begun with it"
    door.clock.advance(1)
    assert revocations.set_aside() == 7, "and the refresh token that was never used"
    assert door.store.credentials.list(state="revoked") == []
    with pytest.raises(Unauthenticated, match="expired"):
        door.tokens.verify(token.text)
    with pytest.raises(Unauthenticated, match="has ended"):
        refreshing.use(begun.text)
    assert door.store.incidents.list() == []


def test_a_sign_in_that_was_ended_stays_so_as_long_as_it_could_live(door: Door) -> None:
    ann = _ann(door)
    begun = door.access.refreshing.start(ann)
    door.access.revocations.end_all(ann)
    door.clock.advance(43_199)
    assert door.access.revocations.set_aside() == 0
    with pytest.raises(Unauthenticated, match="has ended"):
        door.access.refreshing.use(begun.text)
