"""No sequence of what people may do makes the author of anything the one who approves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from headrace.access.policy import DEFAULT
from headrace.app.compliance import waiver_for
from headrace.app.composition import App
from headrace.app.governance import controls, grants, identities, waivers
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.app.operations import decide
from headrace.core.errors import Denied, HeadraceError
from headrace.core.identity import ROLES, Principal, Role
from headrace.core.release import Release
from headrace.testing import make_release
from tests.app.team import Team, home, new_team

PEOPLE = ("ann", "bob", "root", "ci")
ANYTHING_GOES = '@id("anything-goes")\npermit (principal, action, resource);\n'
WHO = st.sampled_from(PEOPLE)
ROLE = st.sampled_from(ROLES)
DECISION = st.sampled_from(["approved", "rejected"])


class Delivered:
    """Stands for the workflows: a decision is carried out at once."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.durable = self

    def send(self, workflow_id: str, topic: str, decision: str, key: str) -> None:
        release_id = workflow_id.removeprefix("deliver:")
        to: Any = "live" if decision == "approved" else "rejected"
        with suppress(HeadraceError):
            self._app.store.releases.move(release_id, "waiting", to)

    def status(self, workflow_id: str) -> str:
        return "finished"


class Separation(RuleBasedStateMachine):
    """Everybody tries everything; refusals are fine."""

    app: App

    def __init__(self) -> None:
        super().__init__()
        self.team: Team = new_team(self.app)
        self.work: Any = Delivered(self.app)
        self.releases: list[Release] = []
        self.asked: list[str] = []
        self.waived: list[str] = []
        self.free: set[str] = set()
        self.answered: set[str] = {f"ann-{self.team.workspace}"}

    @initialize()
    def staff(self) -> None:
        """Everybody begins with a role, and ann answers for ci."""
        self.team.add("ann", "developer", "validator", "operator")
        self.team.add("bob", "validator", "admin")
        self.app.identities.add(
            f"ci-{self.team.workspace}",
            ["developer", "validator"],
            actor="test",
            kind="service",
            workspace=self.team.workspace,
            owner=f"ann-{self.team.workspace}",
            purpose="builds",
        )

    def _me(self, name: str) -> Principal:
        return self.team[name]

    @rule(who=WHO)
    def propose_release(self, who: str) -> None:
        """Somebody builds."""
        with refusals():
            me = self._me(who)
            self.app.gatekeeper.require(me, "project.run", f"project:{self.team.project}")
            made = make_release(project=self.team.project, author=me.name)
            self.releases.append(add_signed(self.app, made))

    @rule(who=WHO, decision=DECISION)
    def decide_release(self, who: str, decision: str) -> None:
        """Somebody decides about the newest."""
        if self.releases:
            with refusals():
                decide(self.app, self.work, self._me(who), self.releases[-1].id, decision, "")
                self._decided(who, self.releases[-1].author)

    @rule(by=WHO, owner=st.sampled_from(["ann", "bob", "root"]))
    def give_ci_away(self, by: str, owner: str) -> None:
        """Somebody lets somebody else answer for ci; whoever did before stays the maker of its work."""
        with refusals():
            name = f"{owner}-{self.team.workspace}"
            roles = ["developer", "validator"]
            identities.add(self.app, self._me(by), f"ci-{self.team.workspace}", roles, owner=name)
            self.answered.add(name)

    @rule(who=WHO)
    def ask_for_a_waiver(self, who: str) -> None:
        """Somebody wants to deviate."""
        with refusals():
            asked = waivers.ask(
                self.app, self._me(who), self.team.project, "gate:champion", reason="r", days=1, size="medium"
            )
            self.waived.append(asked.id)

    @rule(who=WHO, decision=DECISION)
    def decide_waiver(self, who: str, decision: Any) -> None:
        """Somebody decides about the newest waiver."""
        if self.waived:
            with refusals():
                done = waivers.decide(self.app, self._me(who), self.waived[-1], decision)
                self._decided(who, done.asked_by)

    @rule(by=WHO, role=ROLE)
    def ask_for_a_role_of_ci(self, by: str, role: Role) -> None:
        """Somebody wants a role for the service."""
        with refusals():
            on, name = f"workspace:{self.team.workspace}", f"ci-{self.team.workspace}"
            self.asked.append(grants.ask(self.app, self._me(by), role, on, "because", subject=name).id)

    @rule(who=WHO, number=st.integers(1, 5))
    def propose_controls(self, who: str, number: int) -> None:
        """Somebody wants other controls."""
        with refusals():
            text = controls.show(self.app, self._me(who)).text
            RULES.propose(self.app, self._me(who), f"{text}\n# {number}\n")

    @rule(who=WHO, version=st.integers(1, 3))
    def decide_controls(self, who: str, version: int) -> None:
        """Somebody decides about them."""
        with refusals():
            self._decided(who, RULES.decide(self.app, self._me(who), version, "approved").text.author)

    @rule(by=WHO, who=WHO, roles=st.sets(ROLE, min_size=1))
    def give_roles(self, by: str, who: str, roles: set[Role]) -> None:
        """Somebody changes somebody's roles."""
        with refusals():
            identities.add(self.app, self._me(by), self._me(who).name, sorted(roles))

    @rule(who=WHO, role=ROLE, emergency=st.booleans())
    def ask_for_a_role(self, who: str, role: Role, emergency: bool) -> None:
        """Somebody wants a role for a while."""
        ask = grants.break_glass if emergency else grants.ask
        with refusals():
            on = f"workspace:{self.team.workspace}"
            self.asked.append(ask(self.app, self._me(who), role, on, "because").id)

    @rule(who=WHO)
    def decide_grant(self, who: str) -> None:
        """Somebody decides about the newest grant."""
        if self.asked:
            with refusals():
                done = grants.decide(self.app, self._me(who), self.asked[-1], "approved")
                self._decided(who, done.asked_by, done.subject)

    @rule(who=WHO, text=st.sampled_from([DEFAULT, ANYTHING_GOES]))
    def propose_policy(self, who: str, text: str) -> None:
        """Somebody wants other rules."""
        with refusals():
            POLICY.propose(self.app, self._me(who), text)

    @rule(who=WHO, version=st.integers(1, 3))
    def decide_policy(self, who: str, version: int) -> None:
        """Somebody decides about them."""
        with refusals():
            self._decided(who, POLICY.decide(self.app, self._me(who), version, "approved").text.author)

    @invariant()
    def nobody_approved_their_own(self) -> None:
        """Releases, policies, controls, waivers and grants alike; one's own service counts as oneself."""
        store, workspace = self.app.store, self.team.workspace
        decided: list[tuple[str | None, str]] = []
        for release in self.releases[-1:]:
            decided += [(one.approver, release.author) for one in store.evidence.approvals(release.id)]
        decided += [(text.approver, text.author) for text in store.policies.list(workspace=workspace)]
        for grant in store.grants.list(workspace=workspace):
            decided += [(grant.decided_by, maker) for maker in (grant.subject, grant.asked_by)]
        for waiver in store.waivers.list(workspace=workspace):
            decided += [(one["by"], waiver.asked_by) for one in waiver.decisions]
        for approver, maker in [one for one in decided if one[0] is not None]:
            assert approver != maker
            assert approver != f"ci-{workspace}", "deciding is for people"
            if maker == f"ci-{workspace}":
                assert approver in self.free, "whoever takes it over later was free to decide"

    def _decided(self, who: str, *makers: str) -> None:
        """``who`` has decided about what ``makers`` made."""
        name = f"{who}-{self.team.workspace}"
        if f"ci-{self.team.workspace}" in makers:
            assert name not in self.answered, "one's own service is oneself, whoever answers for it by now"
            self.free.add(name)


@contextmanager
def refusals() -> Iterator[None]:
    """A refusal is an answer too."""
    with suppress(HeadraceError):
        yield


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with home(tmp_path_factory.mktemp("separation")) as opened:
        yield opened


def add_signed(app: App, release: Release) -> Release:
    """A release as a build leaves it: with its package, and signed."""
    app.store.artifacts.put(b"package", release.manifest.subject.package.media_type)
    signed = replace(release, signature=app.access.signatures.sign(release))
    return app.store.releases.add(signed)


@pytest.mark.requirement("GOV-02")
def test_no_sequence_of_calls_makes_author_and_approver_the_same(app: App) -> None:
    Separation.app = app
    run_state_machine_as_test(
        Separation, settings=settings(max_examples=15, stateful_step_count=20, deadline=None)
    )


def test_the_same_calls_do_approve_what_somebody_else_made(app: App) -> None:
    team = new_team(app)
    release = add_signed(app, make_release(project=team.project, author=team["dev"].name))
    work: Any = Delivered(app)
    with pytest.raises(Denied):
        decide(app, work, team["dev"], release.id, "approved", "")
    assert decide(app, work, team["val"], release.id, "approved", "").state == "live"


@pytest.mark.requirement("GOV-02")
def test_the_work_of_ones_own_service_is_ones_own_work(app: App) -> None:
    team = new_team(app)
    owner = team.add("owner", "validator", "admin")
    service = app.identities.add(
        f"ci-{team.workspace}",
        ["developer"],
        actor="test",
        kind="service",
        workspace=team.workspace,
        owner=owner.name,
        purpose="builds",
    )
    release = add_signed(app, make_release(project=team.project, author=service.name))
    work: Any = Delivered(app)
    with pytest.raises(Denied, match="Nobody can decide on their own work"):
        decide(app, work, owner, release.id, "approved", "")
    assert decide(app, work, team["val"], release.id, "approved", "").state == "live"


def _ci(team: Team, owner: Principal) -> Principal:
    """A service of the team that ``owner`` answers for."""
    return team.app.identities.add(
        f"ci-{team.workspace}",
        ["developer"],
        actor="test",
        kind="service",
        workspace=team.workspace,
        owner=owner.name,
        purpose="builds",
    )


@pytest.mark.requirement("GOV-02")
def test_nobody_decides_what_their_own_service_asked_for(app: App) -> None:
    """A waiver, a role for a while, a policy and the controls: refused to the owner, and to who it was."""
    team = new_team(app)
    owner = team.add("owner", "validator", "admin")
    ci = _ci(team, owner)
    heir, free = team.add("heir", "validator"), team.add("free", "validator", "admin")
    ask = waivers.ask(app, ci, team.project, "gate:champion", reason="r", days=1, size="medium")
    grant = grants.ask(app, team["root"], "operator", f"project:{team.project}", "r", subject=ci.name)
    policy = POLICY.propose(app, ci, DEFAULT + "// another\n")
    rules = RULES.propose(app, ci, f"{controls.show(app, team['val']).text}\n# another\n")

    def decisions(me: Principal) -> list[Callable[[], object]]:
        return [
            lambda: waivers.decide(app, me, ask.id, "approved"),
            lambda: grants.decide(app, me, grant.id, "approved"),
            lambda: POLICY.decide(app, me, policy.version, "approved"),
            lambda: RULES.decide(app, me, rules.version, "approved"),
        ]

    for attempt in decisions(owner):
        with pytest.raises(Denied, match="Nobody can decide on their own work"):
            attempt()
    app.identities.add(ci.name, ci.roles, actor="test", owner=heir.name)
    for former in (owner, heir):
        for attempt in decisions(former):
            with pytest.raises(Denied, match="Nobody can decide on their own work"):
                attempt()
    for attempt in decisions(free):
        attempt()


@pytest.mark.requirement("GOV-02")
def test_leave_that_an_owner_gave_does_not_hold_for_their_own_service(app: App) -> None:
    team = new_team(app)
    owner, other = team.add("owner", "validator"), team.add("other", "validator")
    ci = _ci(team, owner)
    ask = waivers.ask(app, team["dev"], team.project, "gate:champion", reason="r", days=1, size="medium")
    for who in (owner, other):
        waivers.decide(app, who, ask.id, "approved")
    assert waiver_for(app, team.project, "gate:champion", team["dev"].name) is not None
    assert waiver_for(app, team.project, "gate:champion", ci.name) is None


@pytest.mark.requirement("ORG-18")
def test_roles_of_one_person_are_split_over_a_team_without_migration(app: App) -> None:
    """One person holds every role; later others take them over, and what was done stays as it was."""
    team = new_team(app)
    solo = team.add("solo", *ROLES)
    on = f"project:{team.project}"
    release = add_signed(app, make_release(project=team.project, author="trigger:drift"))
    work: Any = Delivered(app)
    for action in ("project.run", "release.rollback", "audit.read", "access.write"):
        assert app.gatekeeper.allows(solo, action, on)
    assert decide(app, work, solo, release.id, "approved", "").state == "live"
    own = add_signed(app, make_release(project=team.project, author=solo.name))
    with pytest.raises(Denied):
        decide(app, work, solo, own.id, "approved", "")
    identities.add(app, team["root"], solo.name, ["developer"])
    split = app.identities.resolve(solo.name)
    assert not app.gatekeeper.allows(split, "release.rollback", on)
    assert decide(app, work, team["val"], own.id, "approved", "").state == "live"
    assert [a.approver for a in app.store.evidence.approvals(release.id)] == [solo.name]
