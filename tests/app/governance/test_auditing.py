from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.app.composition import App, open_app
from headrace.app.governance import auditing
from headrace.core.errors import Denied
from headrace.core.identity import Principal
from headrace.testing import make_project, make_settings

ROOT = "ada"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Two workspaces, each with a project, an auditor and a few entries."""
    with open_app(make_settings(tmp_path_factory.mktemp("auditing") / "home")) as app:
        for workspace, auditor in (("main", "otto"), ("north", "nora")):
            app.store.projects.save(make_project(name=f"{workspace}-cars"), "/nowhere", workspace)
            person = Principal(
                name=auditor,
                kind="person",
                roles=("auditor",),
                created_at=app.clock.now(),
                workspace=workspace,
            )
            app.store.principals.save(person)
            for number in range(3):
                app.store.audit.append(ROOT, "build.start", f"project:{workspace}-cars", {"n": number})
        app.store.epoch.advance()
        yield app


def _me(app: App, name: str) -> Principal:
    return app.identities.resolve(name)


@pytest.mark.requirement("GOV-01")
def test_an_auditor_reads_their_own_workspace_only(app: App) -> None:
    for name, workspace in (("otto", "main"), ("nora", "north")):
        for shown in (
            auditing.search(app, _me(app, name)).entries,
            auditing.entries(app, _me(app, name)),
        ):
            resources = {entry.resource for entry in shown if entry.action == "build.start"}
            assert resources == {f"project:{workspace}-cars"}


@given(limit=st.integers(1, 7), text=st.sampled_from(["", "build", "cars", "nothing like it"]))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_follow_each_other_without_gap_or_repeat(app: App, limit: int, text: str) -> None:
    me = _me(app, "otto")
    paged, before = [], None
    while True:
        found = auditing.search(app, me, text, before=before, limit=limit)
        paged += found.entries
        if found.older is None:
            break
        before = found.older
    assert paged == auditing.search(app, me, text, limit=1000).entries
    assert [entry.sequence for entry in paged] == sorted((e.sequence for e in paged), reverse=True)


def test_a_broken_chain_is_a_finding_not_an_error(app: App) -> None:
    verified = auditing.verify(app, _me(app, "otto"))
    assert verified.problem is None
    assert verified.n_entries == len(app.store.audit.list(limit=100_000))


def test_what_verifies_is_sealed_and_says_how_far(app: App) -> None:
    me = _me(app, "otto")
    app.store.audit.append(ROOT, "act", "thing:1", {})
    assert auditing.sealing(app, me).n_unsealed > 0
    verified = auditing.verify(app, me)
    assert verified.seal is not None
    assert (verified.seal.sequence, verified.n_seals) == (verified.n_entries, verified.seal.number)
    assert auditing.sealing(app, me) == auditing.Sealing(seal=verified.seal, n_unsealed=0)
    assert verified.key in [key.name for key in auditing.seal_keys(app, me) if key.signs]


def test_a_copy_of_the_seals_kept_elsewhere_is_compared(app: App) -> None:
    me = _me(app, "otto")
    assert auditing.seal_now(app, me).seal is not None
    copy = app.store.seals.list()
    assert auditing.verify(app, me, copy).problem is None
    told = auditing.verify(app, me, [replace(copy[0], hash="0" * 64)]).problem
    assert told is not None
    assert "seal 1 is not the one in the copy" in told


def test_the_key_is_changed_by_an_administrator_of_main_and_that_is_written_down(app: App) -> None:
    with pytest.raises(Denied):
        auditing.rotate_seal_key(app, _me(app, "otto"))
    root = app.identities.add("root", ["admin"], actor=ROOT)
    before = auditing.verify(app, _me(app, "otto")).key
    after = auditing.rotate_seal_key(app, root)
    (entry,) = auditing.search(app, root, "audit.key.rotate").entries
    assert (entry.actor, entry.detail["before"]) == ("root", before)
    assert auditing.verify(app, _me(app, "otto")).key == after != before


def test_the_log_is_for_those_who_may_read_it(app: App) -> None:
    somebody = Principal(name="vera", kind="person", roles=("viewer",), created_at=app.clock.now())
    reads = (auditing.entries, auditing.search, auditing.verify, auditing.sealing, auditing.seal_now)
    for read in reads:
        with pytest.raises(Denied):
            read(app, somebody)


def test_what_belongs_to_the_home_or_to_nobody_is_for_the_main_workspace(app: App) -> None:
    for resource in ("keys:tokens", "artefact:abc", "principal:never-heard-of", "incident:gone"):
        app.store.audit.append(ROOT, "odd", resource, {})
    main, north = (
        {entry.resource for entry in auditing.search(app, _me(app, name), "odd").entries}
        for name in ("otto", "nora")
    )
    assert north == set()
    assert len(main) == 4
