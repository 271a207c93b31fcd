"""What is decided about calls is followed, and costs nothing while nothing is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headrace.core.errors import Denied, Unauthenticated
from headrace.core.identity import Principal
from headrace.gateway.llm.declared import Declared
from headrace.gateway.llm.endpoints import FILE, Target, read_providers
from headrace.gateway.llm.permits import Permits, Refusal, Standing
from headrace.gateway.llm.uses import read_uses
from headrace.testing import FakeClock, MemoryEpoch
from headrace.testing.factories import make_principal, make_project

NOBODY = read_uses("allow: []\n")
WANTED = [Target("local", "small")]


@dataclass
class Decided:
    """What is decided, and how often it is read."""

    lists: tuple[object, ...] = ()
    edition: int = 0
    is_away: bool = False
    read: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    looked: list[str] = field(default_factory=list)

    def lasting(self, me: Principal, _project: str) -> Callable[[], None]:
        def go_on() -> None:
            self.looked.append(me.name)
            if me.name in self.ended:
                raise Unauthenticated(f"{me.name} is frozen")

        return go_on

    def standing(self, team: str) -> Standing:
        if self.is_away:
            raise OSError("the database is away")
        self.read.append(team)
        return Standing(lists=self.lists)  # type: ignore[arg-type]


@pytest.fixture
def decided() -> Decided:
    return Decided()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def permits(tmp_path: Path, decided: Decided, clock: FakeClock) -> Permits:
    (tmp_path / FILE).write_text(
        "providers: {local: {url: http://127.0.0.1:9/v1, terms: {self_hosted: true}}}"
    )
    providers = read_providers(tmp_path / FILE)
    refused: list[Refusal] = []
    return Permits(
        read=decided.standing,
        edition=lambda: decided.edition,
        providers=providers,
        declared=Declared(providers, closed=False),
        refused=refused.append,
        instead=lambda _me: [],
        lasting=decided.lasting,
        epoch=MemoryEpoch(),
        clock=clock,
    )


@pytest.mark.requirement("LGW-13")
def test_nothing_is_read_again_for_any_number_of_teams_while_nothing_is_decided(
    permits: Permits, decided: Decided, clock: FakeClock
) -> None:
    project = make_project(name="support", task="text_generation")
    teams = [f"team-{number}" for number in range(300)]
    for team in teams:
        assert permits.require(make_principal(workspace=team), project, WANTED) == tuple(WANTED)
    permits.refresh()
    decided.read.clear()
    for _ in range(10):
        clock.advance(2)
        permits.refresh()
        for team in teams:
            assert permits.find(make_principal(workspace=team), project, WANTED)
    assert decided.read == []


def test_what_is_decided_elsewhere_holds_a_second_later(
    permits: Permits, decided: Decided, clock: FakeClock
) -> None:
    me, project = make_principal(workspace="team"), make_project(name="support", task="text_generation")
    permits.require(me, project, WANTED)
    permits.refresh()
    decided.lists, decided.edition = (NOBODY,), 1
    clock.advance(1.1)
    permits.refresh()
    assert permits.find(me, project, WANTED) is None
    with pytest.raises(Denied, match="may not use local/small"):
        permits.require(me, project, WANTED)


def test_a_team_that_could_not_be_read_is_read_again(
    permits: Permits, decided: Decided, clock: FakeClock
) -> None:
    me, project = make_principal(workspace="team"), make_project(name="support", task="text_generation")
    permits.require(me, project, WANTED)
    permits.refresh()
    decided.edition, decided.is_away = 1, True
    clock.advance(1.1)
    with pytest.raises(OSError, match="away"):
        permits.refresh()
    decided.lists, decided.is_away = (NOBODY,), False
    clock.advance(1.1)
    permits.refresh()
    assert permits.find(me, project, WANTED) is None


def test_an_answer_ends_with_its_callers_rights_and_no_piece_of_it_looks_anything_up(
    permits: Permits, decided: Decided, clock: FakeClock
) -> None:
    names = ("ann", "bob")
    anns, bobs = (permits.begin(make_principal(name=name), "support") for name in names)
    decided.ended.add("ann")
    for _ in range(100):
        anns()
        bobs()
    assert decided.looked == []
    permits.refresh()
    assert sorted(decided.looked) == ["ann", "bob"]
    with pytest.raises(Unauthenticated, match="ann is frozen"):
        anns()
    bobs()
    del anns
    clock.advance(2)
    permits.refresh()
    assert decided.looked[2:] == ["bob"], "an answer that is over is forgotten"
