from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.composition import App, open_app
from headrace.app.governance.incidents import incidents, notice
from headrace.core.errors import InvalidInput, Unauthenticated
from headrace.core.identity import Session
from headrace.testing import FakeClock, make_settings

A, B = "93.184.0.0/16", "151.101.0.0/16"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """Ada administers; bob develops; grace audits."""
    with open_app(make_settings(tmp_path / "home"), FakeClock()) as opened:
        opened.me()
        opened.identities.add("bob", ["developer"], actor="ada")
        opened.identities.add("grace", ["auditor"], actor="ada")
        yield opened


def _act(app: App, name: str, network: str) -> None:
    me = replace(app.identities.resolve(name), session=Session(token="t1", network=network))
    app.gatekeeper.require(me, "project.read", "principal:all")
    app.clock.sleep(60)


def _freezing(app: App, *kinds: str) -> App:
    return replace(app, settings=replace(app.settings, freeze_on=frozenset(kinds)))


@pytest.mark.requirement("IDN-07")
@pytest.mark.requirement("MCP-04")
def test_a_token_from_two_networks_raises_one_incident_that_an_auditor_sees(app: App) -> None:
    for network in (A, B):
        _act(app, "bob", network)
    assert [one.kind for one in notice(app)] == ["token_reuse"]
    app.clock.sleep(7_200)
    for network in (A, B):
        _act(app, "bob", network)
    notice(app)
    (seen,) = incidents(app, app.identities.resolve("grace"))
    assert (seen.subject, seen.kind, seen.state) == ("bob", "token_reuse", "open")
    assert seen.evidence == {"networks": [A, B], "token": "t1"}
    assert app.identities.resolve("bob").frozen is None, "unless told otherwise it only alerts"


@pytest.mark.requirement("IDN-07")
def test_it_freezes_when_the_settings_say_so_and_a_person_unfreezes(app: App) -> None:
    for network in (A, B):
        _act(app, "bob", network)
    (raised,) = notice(_freezing(app, "token_reuse"))
    with pytest.raises(Unauthenticated, match=f"token_reuse, incident {raised.id}"):
        app.identities.resolve("bob")
    (note,) = app.store.incidents.get(raised.id).notes
    assert note["text"] == "frozen, because HEADRACE_FREEZE_ON names token_reuse"
    app.identities.unfreeze("bob", actor="ada")
    assert app.identities.resolve("bob").name == "bob"


def test_the_last_admin_is_not_frozen_by_a_rule(app: App) -> None:
    for network in (A, B):
        _act(app, "ada", network)
    (raised,) = notice(_freezing(app, "token_reuse"))
    assert app.identities.resolve("ada").frozen is None
    assert app.store.incidents.get(raised.id).notes[0]["text"].startswith("not frozen: 'ada' is the only")


def test_a_rule_that_is_none_cannot_freeze(tmp_path: Path) -> None:
    settings = replace(make_settings(tmp_path / "home"), freeze_on=frozenset({"sneezing"}))
    with pytest.raises(InvalidInput, match="HEADRACE_FREEZE_ON names sneezing. Expected some of impossible"):
        open_app(settings)
