"""No sequence of what people may do makes the author of anything the one who approves it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from headrace.access.policy import DEFAULT
from headrace.app import grants, identities
from headrace.app.composition import App
from headrace.app.operations import decide
from headrace.app.policies import POLICY
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
                grants.decide(self.app, self._me(who), self.asked[-1], "approved")

    @rule(who=WHO, text=st.sampled_from([DEFAULT, ANYTHING_GOES]))
    def propose_policy(self, who: str, text: str) -> None:
        """Somebody wants other rules."""
        with refusals():
            POLICY.propose(self.app, self._me(who), text)

    @rule(who=WHO, version=st.integers(1, 3))
    def decide_policy(self, who: str, version: int) -> None:
        """Somebody decides about them."""
        with refusals():
            POLICY.decide(self.app, self._me(who), version, "approved")

    @invariant()
    def nobody_approved_their_own(self) -> None:
        """Releases, policies and grants alike; one's own service counts as oneself."""
        ann, ci = f"ann-{self.team.workspace}", f"ci-{self.team.workspace}"
        for release in self.releases[-1:]:
            for approval in self.app.store.evidence.approvals(release.id):
                assert approval.approver != release.author
                assert (approval.approver, release.author) != (ann, ci)
                assert approval.approver != ci, "deciding is for people"
        for text in self.app.store.policies.list(workspace=self.team.workspace):
            assert text.approver != text.author
        for grant in self.app.store.grants.list(workspace=self.team.workspace):
            assert grant.decided_by not in (grant.subject, grant.asked_by)


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
