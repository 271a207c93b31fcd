"""Reviewed texts of both kinds, by everything that people can do to them and in every order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from threading import Barrier

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headrace.access.policy import DEFAULT
from headrace.app.composition import App
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.app.governance.reviewed_texts import ReviewedTexts
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.identity import PolicyText
from tests.app.team import Team, home, new_team

KINDS = {"policy": POLICY, "rules": RULES}


def text_of(kind: ReviewedTexts, number: int) -> str:
    """A text that can come into force, another for each number."""
    return f"{DEFAULT}\n// {number}\n" if kind is POLICY else f"forbidden_inputs: [c{number}]\n"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with home(tmp_path_factory.mktemp("texts")) as opened:
        yield opened


@pytest.fixture
def team(app: App) -> Team:
    return new_team(app)


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> ReviewedTexts:
    return KINDS[request.param]


def test_a_text_comes_into_force_and_the_one_before_it_comes_back(team: Team, kind: ReviewedTexts) -> None:
    app, dev, val = team.app, team["dev"], team["val"]
    assert kind.show(app, dev).version == 0
    for number in (1, 2):
        made = kind.propose(app, dev, text_of(kind, number))
        assert kind.show(app, dev).version == number - 1, "what waits changes nothing"
        assert kind.decide(app, val, made.version, "approved").text.state == "live"
        assert kind.show(app, dev).text == text_of(kind, number)
    back = kind.revert(app, dev)
    assert (back.text, back.comment) == (text_of(kind, 1), "back to version 1")
    assert [text.state for text in kind.versions(app, dev)] == ["superseded", "live", "waiting"]
    assert kind.show(app, dev, 0).state == "superseded"
    assert "-" in kind.difference(app, dev, 1)


@pytest.mark.requirement("GOV-16")
@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\x1b[2K", "\u200b"])
def test_a_text_holds_nothing_that_a_reviewer_does_not_see(
    team: Team, kind: ReviewedTexts, hidden: str
) -> None:
    mark = "//" if kind is POLICY else "#"
    with pytest.raises(InvalidInput, match="not seen as they are|special characters"):
        kind.propose(team.app, team["dev"], f"{text_of(kind, 1)}{mark} a{hidden}b\n")
    seen = text_of(kind, 1).replace("\n", "\r\n") + f"{mark} für\talle\n"
    assert kind.propose(team.app, team["dev"], seen).version == 1


@pytest.mark.requirement("DEP-17")
@pytest.mark.requirement("GOV-02", "GOV-16")
def test_nobody_decides_about_their_own_text_whatever_their_roles(team: Team, kind: ReviewedTexts) -> None:
    every = team.add("every", "viewer", "developer", "validator", "operator", "auditor", "admin")
    kind.propose(team.app, every, text_of(kind, 1))
    for decision in ("approved", "rejected"):
        with pytest.raises(Denied, match="Nobody can decide on their own work"):
            kind.decide(team.app, every, 1, decision)
    assert kind.decide(team.app, team["val"], 1, "approved").text.state == "live"


def test_what_a_service_proposes_is_not_decided_by_whoever_answers_for_it(
    team: Team, kind: ReviewedTexts
) -> None:
    service = team.add("ci", "developer", kind="service")
    kind.propose(team.app, service, text_of(kind, 1))
    with pytest.raises(Denied, match="Nobody can decide on their own work"):
        kind.decide(team.app, team["root"], 1, "approved")


def test_a_text_older_than_the_one_in_force_is_not_approved_any_more(team: Team, kind: ReviewedTexts) -> None:
    for number in (1, 2):
        kind.propose(team.app, team["dev"], text_of(kind, number))
    kind.decide(team.app, team["val"], 2, "approved")
    with pytest.raises(Conflict, match=rf"Version 2 came into force after version 1.*{kind.command} show 1"):
        kind.decide(team.app, team["val"], 1, "approved")
    assert kind.decide(team.app, team["val"], 1, "rejected").text.state == "refused"


def test_a_text_is_decided_once(team: Team, kind: ReviewedTexts) -> None:
    kind.propose(team.app, team["dev"], text_of(kind, 1))
    kind.decide(team.app, team["val"], 1, "rejected")
    with pytest.raises(Conflict, match=rf"of the {kind.name} is refused.*{kind.command} ls"):
        kind.decide(team.app, team["val"], 1, "approved")
    with pytest.raises(NotFound, match=f"{kind.command} ls"):
        kind.decide(team.app, team["val"], 9, "approved")


def test_the_text_in_force_is_not_proposed_again(team: Team, kind: ReviewedTexts) -> None:
    with pytest.raises(Conflict, match="in force already"):
        kind.propose(team.app, team["dev"], kind.default())
    with pytest.raises(NotFound, match="none before it"):
        kind.revert(team.app, team["dev"])


def at_once(*asks: Callable[[], str]) -> list[str]:
    """What became of each, begun at the same instant; a conflict is ``too late``."""
    ready = Barrier(len(asks))

    def begin(ask: Callable[[], str]) -> str:
        ready.wait()
        try:
            return ask()
        except Conflict:
            return "too late"

    with ThreadPoolExecutor(len(asks)) as threads:
        return list(threads.map(begin, asks))


@pytest.mark.requirement("GOV-16")
def test_of_two_decisions_at_the_same_instant_one_is_made(team: Team, kind: ReviewedTexts) -> None:
    deciders = [team.add(f"val{number}", "validator") for number in range(4)]
    kind.propose(team.app, team["dev"], text_of(kind, 1))

    def asking(number: int) -> Callable[[], str]:
        decision = "approved" if number % 2 else "rejected"
        return lambda: kind.decide(team.app, deciders[number], 1, decision).text.approver or ""  # type: ignore[arg-type]

    ended = at_once(*(asking(number) for number in range(4)))
    assert ended.count("too late") == 3
    (kept,) = kind.versions(team.app, team["dev"])
    assert kept.approver in ended


def test_of_two_texts_approved_at_the_same_instant_the_newer_one_holds_and_alone(
    team: Team, kind: ReviewedTexts
) -> None:
    for number in (1, 2):
        kind.propose(team.app, team["dev"], text_of(kind, number))
    vals = [team.add(f"val{number}", "validator") for number in (1, 2)]

    def asking(number: int) -> Callable[[], str]:
        return lambda: kind.decide(team.app, vals[number - 1], number, "approved").text.state

    at_once(asking(1), asking(2))
    assert kind.show(team.app, team["dev"]).version == 2
    states = [text.state for text in kind.versions(team.app, team["dev"])]
    assert states[1] == "live"
    assert states[0] in ("superseded", "waiting"), "it was overtaken, or came too late"


def test_two_proposals_at_the_same_instant_get_two_numbers(team: Team, kind: ReviewedTexts) -> None:
    def propose(number: int) -> PolicyText:
        return kind.propose(team.app, team["dev"], text_of(kind, number))

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(propose, range(4)))
    assert sorted(text.version for text in made) == [1, 2, 3, 4]


@pytest.mark.requirement("GOV-16", "MCP-13")
def test_no_order_of_steps_lets_a_text_hold_that_nobody_else_approved(app: App, kind: ReviewedTexts) -> None:
    """The state machine, in a workspace of its own each time."""
    numbers = count(1)

    class Life(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.team = new_team(app)
            self.people = [self.team.add(name, "developer", "validator") for name in ("ann", "ben", "cas")]
            self.proposed: list[str] = []
            self.held = [0]

        @rule(who=st.integers(0, 2))
        def propose(self, who: int) -> None:
            text = text_of(kind, next(numbers))
            made = kind.propose(app, self.people[who], text)
            self.proposed.append(text)
            assert made.version == len(self.proposed)

        @rule(who=st.integers(0, 2))
        def revert(self, who: int) -> None:
            with suppress(NotFound, Conflict):
                self.proposed.append(kind.revert(app, self.people[who]).text)

        @precondition(lambda self: self.proposed)
        @rule(who=st.integers(0, 2), which=st.integers(0, 30), approves=st.booleans())
        def decide(self, who: int, which: int, approves: bool) -> None:
            version, me = 1 + which % len(self.proposed), self.people[who]
            text = kind.versions(app, me)[version - 1]
            try:
                done = kind.decide(app, me, version, "approved" if approves else "rejected").text
            except Denied:
                assert text.author == me.name
            except Conflict:
                assert text.state != "waiting" or version < self.held[-1]
            else:
                assert text.state == "waiting"
                assert done.approver == me.name != text.author
                if approves:
                    self.held.append(version)

        @invariant()
        def one_holds_and_it_is_the_newest_that_was_approved(self) -> None:
            me = self.people[0]
            shown, versions = kind.show(app, me), kind.versions(app, me)
            assert shown.version == self.held[-1] == max(self.held)
            assert [text.text for text in versions] == self.proposed
            assert [text.version for text in versions if text.state == "live"] == [
                version for version in self.held[-1:] if version
            ]
            assert all(text.approver != text.author for text in versions)

    run_state_machine_as_test(Life, settings=settings(max_examples=5, stateful_step_count=10, deadline=None))
