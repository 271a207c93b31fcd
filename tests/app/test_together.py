"""A change and its audit entry are there together or not at all, wherever the process stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from headrace.access.incidents import Step
from headrace.app import credentials
from headrace.app.composition import App, open_app
from headrace.app.governance import grants, identities, linking, waivers
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.app.operations import decide, declare, roll_back
from headrace.core.errors import Conflict, NotFound
from headrace.core.identity import MAIN, Principal
from headrace.core.ids import new_id
from headrace.core.release import Approval, Release
from headrace.core.settings import Settings
from headrace.releases import delivery
from headrace.releases.rollout import Look
from headrace.store._sql.tables import metadata
from headrace.testing import (
    FakeClock,
    MemoryTracker,
    make_approval,
    make_project,
    make_release,
    make_settings,
)
from headrace.testing.models import EchoModel  # noqa: F401  keeps the testing package whole
from tests.app.small import CHARTER, CODE
from tests.databases import at_write, postgres_database
from tests.store.children import Child, running

_NUMBERS = count(1)
_LOGS = {"hr_audit", "hr_audit_head", "hr_audit_seals", "hr_executors", "hr_uses", "hr_schema"}
Act = Callable[[], object]


class KilledError(Exception):
    """Stands for the end of the process."""


class Silent:
    """Workflows that nobody runs: decisions are recorded, and nothing follows by itself."""

    def __init__(self) -> None:
        self.durable = self

    def send(self, *_message: Any) -> None:
        """Nobody listens."""

    def status(self, _workflow_id: str) -> str:
        return "finished"


class Home:
    """An app, its people and what is in its tables."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app = app
        self.folder = folder
        self._engine = sqlalchemy.create_engine(app.settings.database_url)
        for name, role in (("root", "admin"), ("dev", "developer"), ("val", "validator"), ("op", "operator")):
            app.identities.add(name, [role], actor="test")
        app.identities.add("other", ["admin", "validator"], actor="test")
        app.store.projects.save(make_project(name="cars"), "/nowhere", MAIN)
        app.store.epoch.advance()

    def __getitem__(self, name: str) -> Principal:
        return self.app.identities.resolve(name)

    def tables(self) -> dict[str, list[Any]]:
        """Everything that is kept but logs."""
        found = {}
        with self._engine.connect() as connection:
            for table in metadata.sorted_tables:
                if table.name not in _LOGS:
                    found[table.name] = [tuple(row) for row in connection.execute(sqlalchemy.select(table))]
        return found

    def n_entries(self) -> int:
        return self.app.store.audit.head().sequence

    def close(self) -> None:
        self._engine.dispose()

    def fresh(self, name: str) -> str:
        return f"{name}{next(_NUMBERS)}"

    def project(self) -> str:
        """A project of a test's own."""
        name = self.fresh("cars")
        self.app.store.projects.save(make_project(name=name), "/nowhere", MAIN)
        self.app.store.epoch.advance()
        return name

    def release(self, state: Any = "waiting", project: str = "cars") -> Release:
        release_id = new_id(self.app.clock.now())
        made = make_release(id=release_id, state=state, author="dev", project=project)
        return self.app.store.releases.add(made)

    def approved(self, project: str) -> Release:
        release = self.release(project=project)
        self.app.store.evidence.approve(make_approval(release, approver="val"))
        return delivery.move(self.app.store, release.id, "approve")

    def rolling(self, project: str) -> Release:
        """A release that gets its first traffic."""
        release, now = self.approved(project), self.app.clock.now()
        delivery.begin(self.app.store, make_project(name=project), release, now)
        delivery.start(self.app.store, release.id, now)
        return delivery.move(self.app.store, release.id, "start_rollout")

    def live(self, project: str) -> Release:
        """A release that has gone all the way."""
        release, store = self.rolling(project), self.app.store
        while store.rollouts.get(release.id).state == "canary":
            look = Look(outcome="passed", reason="fine", at=self.app.clock.now(), timed_out=False)
            delivery.apply(store, release.id, look)
        return delivery.finish(store, release.id)


def _added(home: Home) -> Act:
    name = home.fresh("new")
    return lambda: identities.add(home.app, home["root"], name, ["viewer"])


def _frozen(home: Home) -> Act:
    name = home.app.identities.add(home.fresh("cold"), ["viewer"], actor="test").name
    return lambda: identities.freeze(home.app, home["root"], name, "looks odd")


def _asked(home: Home) -> Act:
    return lambda: grants.ask(home.app, home["dev"], "operator", "project:cars", "a rollback")


def _granted(home: Home) -> Act:
    grant = grants.ask(home.app, home["dev"], "operator", "project:cars", "a rollback")
    return lambda: grants.decide(home.app, home["other"], grant.id, "approved")


def _ended(home: Home) -> Act:
    grant = grants.ask(home.app, home["dev"], "operator", "project:cars", "a rollback")
    grants.decide(home.app, home["other"], grant.id, "approved")
    return lambda: grants.end(home.app, home["dev"], grant.id)


def _broken_glass(home: Home) -> Act:
    return lambda: grants.break_glass(home.app, home["op"], "developer", "project:cars", "all is down")


def _waiver_asked(home: Home) -> Act:
    return lambda: waivers.ask(
        home.app, home["dev"], "cars", "gate:model", reason="a holiday", days=3, size="medium"
    )


def _waived(home: Home) -> Act:
    made = waivers.ask(home.app, home["dev"], "cars", "gate:model", reason="a holiday", days=3, size="medium")
    return lambda: waivers.decide(home.app, home["val"], made.id, "approved")


def _policy_proposed(home: Home) -> Act:
    text = home.app.policies.in_force(MAIN).policy.text + f"\n// {home.fresh('note')}\n"
    return lambda: POLICY.propose(home.app, home["dev"], text)


def _policy_decided(home: Home) -> Act:
    text = home.app.policies.in_force(MAIN).policy.text + f"\n// {home.fresh('note')}\n"
    version = POLICY.propose(home.app, home["dev"], text).version
    return lambda: POLICY.decide(home.app, home["other"], version, "approved")


def _controls_decided(home: Home) -> Act:
    version = RULES.propose(home.app, home["dev"], f"forbidden_inputs: [{home.fresh('x')}]\n").version
    return lambda: RULES.decide(home.app, home["val"], version, "approved")


def _incident_raised(home: Home) -> Act:
    kind = home.fresh("kind")
    return lambda: home.app.access.incidents.open(kind, "dev", MAIN, title="Odd")


def _incident_taken(home: Home) -> Act:
    raised = home.app.access.incidents.open(home.fresh("kind"), "dev", MAIN, title="Odd")
    step = Step(kind="take", by="root", at=home.app.clock.now())
    return lambda: home.app.access.incidents.step(raised.id, step)


def _service(home: Home) -> str:
    name = home.fresh("bot")
    home.app.identities.add(name, ["developer"], actor="test", kind="service", owner="root", purpose="tests")
    return name


def _secret(home: Home) -> Act:
    name = _service(home)
    return lambda: credentials.new_secret(home.app, home["root"], name)


def _secret_revoked(home: Home) -> Act:
    name = _service(home)
    made = credentials.new_secret(home.app, home["root"], name)
    return lambda: credentials.revoke_credential(home.app, home["root"], name, made.record.id)


def _trusted(home: Home) -> Act:
    name = _service(home)
    return lambda: credentials.trust(
        home.app, home["root"], name, issuer="https://ci.example", audience="headrace", subject=name
    )


def _tokens_revoked(home: Home) -> Act:
    name = home.app.identities.add(home.fresh("gone"), ["viewer"], actor="test").name
    return lambda: credentials.revoke_tokens(home.app, home["root"], name)


def _linked(home: Home) -> Act:
    name = home.app.identities.add(home.fresh("person"), ["viewer"], actor="test").name
    return lambda: linking.link(home.app, home["root"], name, "https://login.example", name)


def _unlinked(home: Home) -> Act:
    name = home.app.identities.add(home.fresh("person"), ["viewer"], actor="test").name
    linking.link(home.app, home["root"], name, "https://login.example", name)
    return lambda: linking.unlink(home.app, home["root"], name, "https://login.example", name)


def _declared(home: Home) -> Act:
    name = home.fresh("project")
    folder = home.folder / name
    folder.mkdir()
    (folder / "headrace.yaml").write_text(CHARTER.replace("NAME", name))
    (folder / "project.py").write_text(CODE)
    return lambda: declare(home.app, home["dev"], folder)


def _rejected(home: Home) -> Act:
    release, work = home.release(), Silent()
    return lambda: decide(home.app, work, home["val"], release.id, "rejected", "no")  # type: ignore[arg-type]


def _moved(home: Home) -> Act:
    release = home.release("proposed")
    return lambda: delivery.move(home.app.store, release.id, "gates_passed")


def _approved_by_policy(home: Home) -> Act:
    release = home.release()
    return lambda: delivery.approve_by_policy(home.app.store, release, home.app.clock.now())


def _begun(home: Home) -> Act:
    project = home.project()
    release = home.approved(project)

    def begin() -> None:
        delivery.begin(home.app.store, make_project(name=project), release, home.app.clock.now())
        delivery.start(home.app.store, release.id, home.app.clock.now())
        delivery.move(home.app.store, release.id, "start_rollout")

    return begin


def _stopped(home: Home) -> Act:
    project, work = home.project(), Silent()
    home.live(project)
    home.rolling(project)
    return lambda: roll_back(home.app, work, home["op"], project)  # type: ignore[arg-type]


def _promoted(home: Home) -> Act:
    project = home.project()
    home.live(project)
    release, store = home.rolling(project), home.app.store

    def promote() -> None:
        while store.rollouts.get(release.id).state == "canary":
            look = Look(outcome="passed", reason="fine", at=home.app.clock.now(), timed_out=False)
            delivery.apply(store, release.id, look)
        delivery.finish(store, release.id)

    return promote


def _rolled_back(home: Home) -> Act:
    project, work = home.project(), Silent()
    home.live(project)
    home.live(project)
    return lambda: roll_back(home.app, work, home["op"], project)  # type: ignore[arg-type]


ACTS = [value for name, value in list(globals().items()) if name.startswith("_") and callable(value)]
ACTS = [act for act in ACTS if getattr(act, "__annotations__", {}).get("return") == "Act"]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home on each database, with people and one project."""
    folder = tmp_path_factory.mktemp("together")
    if request.param == "sqlite":
        yield from _opened(make_settings(folder / "home"), folder)
        return
    with postgres_database(request.getfixturevalue("postgres_role"), folder / "prepared") as url:
        yield from _opened(make_settings(folder / "home", database_url=url), folder)


def _opened(settings: Settings, folder: Path) -> Iterator[Home]:
    with open_app(settings, FakeClock()) as app:
        home = Home(replace(app, tracker=MemoryTracker()), folder)
        yield home
        home.close()


@pytest.mark.requirement("GOV-01")
@pytest.mark.parametrize("prepare", ACTS, ids=lambda act: act.__name__.strip("_"))
def test_a_change_and_its_entry_are_both_there_or_both_absent(
    home: Home, prepare: Callable[[Home], Act]
) -> None:
    assert isinstance(home.app.clock, FakeClock)
    home.app.clock.advance(1)
    act = prepare(home)

    def stop() -> None:
        raise KilledError

    done = False
    for number in range(1, 100):
        before, n_before = home.tables(), home.n_entries()
        try:
            with at_write(number, stop):
                act()
        except KilledError:
            changed = home.tables() != before
            assert changed == (home.n_entries() > n_before), f"stopped at write {number}"
            done |= changed
        except (Conflict, NotFound):
            assert done, "only what has been done can be in the way"
            break
        else:
            assert number > 2, "a change and its entry are at least two statements"
            assert done or (home.n_entries() > n_before and home.tables() != before)
            break
    assert home.app.store.audit.verify().sequence == home.n_entries()


def decide_and_die(sender: Connection, settings: Settings, release_id: str, number: int) -> None:
    """Reject a release, and end by SIGKILL at the ``number``-th write."""
    with open_app(settings, FakeClock()) as app:
        me, work = app.identities.resolve("val"), Silent()
        with at_write(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            decide(app, work, me, release_id, "rejected", "no")  # type: ignore[arg-type]
    sender.send("decided")


@pytest.mark.requirement("GOV-01")
def test_kill_9_between_a_decision_and_its_entry_leaves_neither(home: Home) -> None:
    release = home.release()
    store = home.app.store

    def known() -> tuple[list[Approval], list[str]]:
        entries = store.audit.search(release.id)
        actions = [entry.action for entry in entries if entry.action == "release.reject"]
        return store.evidence.approvals(release.id), actions

    kills = 0
    for number in range(1, 20):
        child = Child(decide_and_die, home.app.settings, release.id, number)
        with running(child):
            ended = list(child.messages())
        if known() != ([], []):
            break
        assert not ended
        kills += 1
    assert kills >= 3
    approvals, entries = known()
    assert [approval.decision for approval in approvals] == ["rejected"]
    assert entries == ["release.reject"]
    assert store.audit.verify().sequence == home.n_entries()
