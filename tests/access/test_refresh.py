from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.access.credentials import GrantRefused
from headrace.access.incidents import Incidents
from headrace.access.refresh import FAMILY_S, REPEAT_S, Refreshing, RefreshTokens
from headrace.access.revocations import Revocations
from headrace.core.errors import Unauthenticated
from headrace.core.identity import Credential, Incident, Principal
from headrace.testing import FakeClock, MemoryEpoch, MemoryRecords, make_principal
from tests.access.people import Door, MemoryAudit


@pytest.fixture
def ann(door: Door) -> Principal:
    door.enter("ann", "viewer")
    return door.principals.get("ann")


def _kinds(door: Door) -> list[str]:
    return [incident.kind for incident in door.store.incidents.list()]


def test_each_token_is_good_once_and_names_its_successor(door: Door, ann: Principal) -> None:
    used = first = door.access.refreshing.start(ann)
    for _ in range(5):
        door.clock.advance(600)
        following = door.access.refreshing.use(used.text)
        assert (following.name, following.family) == ("ann", first.family)
        assert following.text != used.text
        used = following


@pytest.mark.requirement("IDN-08")
def test_what_is_kept_is_no_token(door: Door, ann: Principal) -> None:
    first = door.access.refreshing.start(ann)
    second = door.access.refreshing.use(first.text)
    kept = str(door.store.credentials.list())
    assert first.text not in kept
    assert second.text not in kept
    assert len(first.text.removeprefix("hrr_")) == 43, "32 bytes"


@pytest.mark.requirement("MCP-04")
def test_a_token_that_comes_twice_ends_its_family_and_raises_an_incident(door: Door, ann: Principal) -> None:
    stolen = door.access.refreshing.start(ann)
    other = door.access.refreshing.start(ann)
    following = door.access.refreshing.use(stolen.text)
    access = door.tokens.issue(ann, family=stolen.family)
    unrelated = door.tokens.issue(ann, family=other.family)
    door.clock.advance(REPEAT_S + 1)
    with pytest.raises(GrantRefused, match="a second time"):
        door.access.refreshing.use(stolen.text)
    with pytest.raises(GrantRefused, match="has ended"):
        door.access.refreshing.use(following.text)
    with pytest.raises(Unauthenticated, match="revoked"):
        door.tokens.verify(access)
    (incident,) = door.store.incidents.list()
    assert (incident.kind, incident.subject) == ("token_reuse", "ann")
    assert incident.evidence["family"] == stolen.family
    assert stolen.text not in str(incident)
    assert door.tokens.verify(unrelated).name == "ann"
    assert door.access.refreshing.use(other.text).name == "ann"


def test_a_client_whose_answer_was_lost_may_ask_again(door: Door, ann: Principal) -> None:
    first = door.access.refreshing.start(ann)
    lost = door.access.refreshing.use(first.text)
    door.clock.advance(REPEAT_S)
    again = door.access.refreshing.use(first.text)
    assert _kinds(door) == []
    last = door.access.refreshing.use(again.text)
    with pytest.raises(GrantRefused, match="a second time"):
        door.access.refreshing.use(lost.text)
    assert _kinds(door) == ["token_reuse"]
    with pytest.raises(GrantRefused, match="has ended"):
        door.access.refreshing.use(last.text)


def test_nobody_repeats_a_token_whose_successor_was_used(door: Door, ann: Principal) -> None:
    first = door.access.refreshing.start(ann)
    door.access.refreshing.use(door.access.refreshing.use(first.text).text)
    with pytest.raises(GrantRefused, match="a second time"):
        door.access.refreshing.use(first.text)


@pytest.mark.requirement("MCP-03")
def test_a_family_lives_12_hours_however_often_it_is_used(door: Door, ann: Principal) -> None:
    token = door.access.refreshing.start(ann)
    for _ in range(11):
        door.clock.advance(3_600)
        token = door.access.refreshing.use(token.text)
    door.clock.advance(FAMILY_S - 11 * 3_600)
    with pytest.raises(GrantRefused, match="has ended"):
        door.access.refreshing.use(token.text)
    assert _kinds(door) == []


def test_somebody_elses_and_no_token_at_all_are_refused(door: Door, ann: Principal) -> None:
    token = door.access.refreshing.start(ann)
    with pytest.raises(GrantRefused):
        door.access.refreshing.use(token.text, "bob")
    secret = door.access.secrets.new(door.service("billing"))
    for text in ("", "hrr_", token.text[:-1], secret.text, secret.record.id, "\ud800"):
        with pytest.raises(GrantRefused):
            door.access.refreshing.use(text)
    assert door.access.refreshing.use(token.text, "ann").name == "ann"


def test_ending_all_of_somebodys_tokens_ends_the_sign_ins_too(door: Door, ann: Principal) -> None:
    token = door.access.refreshing.start(ann)
    door.access.revocations.end_all(ann)
    with pytest.raises(GrantRefused, match="has ended"):
        door.access.refreshing.use(token.text)
    door.clock.advance(0.001)
    assert door.access.refreshing.use(door.access.refreshing.start(ann).text).name == "ann"


def test_a_sign_in_ends_with_what_it_rested_on(door: Door) -> None:
    service = door.service("billing")
    secret = door.access.secrets.new(service)
    token = door.access.refreshing.start(service, secret.record)
    token = door.access.refreshing.use(token.text)
    door.access.secrets.revoke("billing", secret.record.id)
    with pytest.raises(GrantRefused, match="rested on"):
        door.access.refreshing.use(token.text)


class Theft(RuleBasedStateMachine):
    """An honest client, whose line sometimes breaks, and a thief, who copies its token once."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, epoch = FakeClock(), MemoryEpoch()
        self.records = MemoryRecords[Credential]()
        self.revocations = Revocations(self.records, epoch, self.clock)
        incidents = Incidents(MemoryRecords[Incident](), MemoryAudit(), self.clock)
        self.tokens = RefreshTokens(self.records, incidents, self.revocations, self.clock)
        first = self.tokens.start(make_principal(name="ann"))
        self.family = first.family
        self.honest = first.text
        self.thief: str | None = None

    def _use(self, text: str) -> Refreshing | None:
        try:
            return self.tokens.use(text)
        except GrantRefused:
            return None

    def _is_over(self) -> bool:
        return self.revocations.reaches("ann", self.clock.now().timestamp(), 0, family=self.family)

    @rule()
    def refresh(self) -> None:
        """The honest client uses its token and gets the answer."""
        answer = self._use(self.honest)
        if answer is not None:
            self.honest = answer.text

    @rule()
    def lose_the_answer(self) -> None:
        """The honest client uses its token, gets no answer, and asks again in time."""
        self._use(self.honest)
        self.clock.advance(REPEAT_S / 2)
        self.refresh()

    @precondition(lambda self: self.thief is None)
    @rule()
    def steal(self) -> None:
        self.thief = self.honest

    @precondition(lambda self: self.thief is not None)
    @rule()
    def misuse(self) -> None:
        """The thief uses what it has."""
        answer = self._use(self.thief or "")
        if answer is not None:
            self.thief = answer.text

    @rule()
    def wait(self) -> None:
        self.clock.advance(REPEAT_S + 1)

    @invariant()
    def one_token_of_a_family_is_good_at_most(self) -> None:
        live = [one for one in self.records.list(state="live") if one.kind == "refresh"]
        assert len(live) == (0 if self._is_over() else 1)

    @invariant()
    def without_a_theft_nobody_is_locked_out(self) -> None:
        if self.thief is None:
            assert not self._is_over()

    def teardown(self) -> None:
        """Once both have gone on with the same token, the next word of each ends the family."""
        if self.thief is not None:
            self._use(self.thief)
            self._use(self.honest)
            self.clock.advance(REPEAT_S + 1)
            self._use(self.thief)
            self._use(self.honest)
            assert self._is_over()
            assert self._use(self.thief) is None
            assert self._use(self.honest) is None


TestTheft = pytest.mark.requirement("MCP-04")(Theft.TestCase)
TestTheft.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


class Dying(MemoryRecords[Credential]):
    """Dies before the write with this number, like a process that is killed there."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def _write(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        if self.left is not None:
            self.left -= 1

    def add(self, record: Credential) -> Credential:
        self._write()
        return super().add(record)

    def change(self, record: Credential) -> Credential:
        self._write()
        return super().change(record)


@pytest.mark.parametrize("repeated", [False, True], ids=["first use", "repeat"])
@pytest.mark.parametrize("n_written", range(4))
def test_wherever_it_is_killed_the_client_goes_on(n_written: int, repeated: bool) -> None:
    clock, epoch, records = FakeClock(), MemoryEpoch(), Dying()
    revocations = Revocations(records, epoch, clock)
    incidents = Incidents(MemoryRecords[Incident](), MemoryAudit(), clock)
    tokens = RefreshTokens(records, incidents, revocations, clock)
    held = tokens.start(make_principal(name="ann")).text
    if repeated:
        tokens.use(held)  # and the answer is lost
    records.left = n_written
    try:
        tokens.use(held)  # also when nothing kills it: the answer is lost
    except KeyboardInterrupt:
        assert n_written < (3 if repeated else 2)
    records.left = None
    clock.advance(REPEAT_S)
    if repeated and n_written == 2:
        # Two lost answers, the second killed between its last two writes: taken for a theft, to be safe.
        with pytest.raises(GrantRefused, match="a second time"):
            tokens.use(held)
        return
    for _ in range(3):
        held = tokens.use(held).text
