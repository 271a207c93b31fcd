"""Notebook, command line, API and pages: whichever route is taken, the same is seen and the same is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.app.workspace import Workspace, workspace
from headrace.cli.main import app as command_line
from headrace.core.canonical import plain
from headrace.releases.looks import NAME as LOOK
from headrace.testing import make_measurement
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import AUDITOR, VIEWER

RULE, REASON = "control:canary", "traffic of one caller only"
LOOKED = "errors by month, and whom they fell on"


def typed(site: Site, *arguments: str, by: str) -> Any:
    """What a command prints as JSON, in the home that is being served."""
    environment = {"HEADRACE_HOME": str(site.app.settings.home), "HEADRACE_USER": "ada"}
    ended = CliRunner().invoke(command_line, [*arguments, "--as", by, "--json"], env=environment)
    return json.JSONDecoder().raw_decode(ended.stdout)[0]


def in_python(site: Site, act: Callable[[Workspace], Any], *, by: str) -> Any:
    with workspace(replace(site.app.settings, user="ada"), as_name=by) as here:
        return act(here)


@pytest.mark.requirement("UI-04")
def test_a_waiver_asked_for_by_any_route_is_the_same_record(own_site: Site) -> None:
    site = own_site
    asked = {"rule": RULE, "reason": REASON, "days": 30, "size": "medium"}
    in_python(site, lambda here: here.ask_waiver("cars", RULE, reason=REASON), by=AUTHOR)
    typed(site, "project", "waive", "cars", "--rule", RULE, "--reason", REASON, by=AUTHOR)
    assert site.post("/api/v1/projects/cars/waivers", json=asked, by=AUTHOR).is_success
    form = {name: str(value) for name, value in asked.items()} | {"project": "cars"}
    assert site.post("/policy/waivers", data=form, by=AUTHOR).status_code == 303
    kept = [one for one in site.app.store.waivers.list(subject="cars") if one.reason == REASON]
    assert len(kept) == 4
    differing = {"id", "asked_at", "at", "ends_at", "asked_on"}
    same = {json.dumps({k: v for k, v in plain(one).items() if k not in differing}) for one in kept}
    assert len(same) == 1, same
    entries = [e for e in site.app.store.audit.list() if e.action == "waiver.ask" and e.actor == AUTHOR]
    assert len(entries) == 4
    assert len({json.dumps(sorted(e.detail)) for e in entries}) == 1


@pytest.mark.requirement("UI-04")
def test_a_review_by_any_route_is_the_same_record(own_site: Site) -> None:
    site, live = own_site, own_site.seeded.cars_live
    said = {"outcome": "fit", "looked_at": LOOKED}
    in_python(site, lambda here: here.review(live, outcome="fit", looked_at=LOOKED), by=VALIDATOR)
    typed(site, "release", "review", live, "--outcome", "fit", "--looked-at", LOOKED, by=VALIDATOR)
    assert site.post(f"/api/v1/releases/{live}/reviews", json=said, by=VALIDATOR).status_code == 201
    form = said | {"release": live}
    assert site.post("/projects/cars/review", data=form, by=VALIDATOR).status_code == 303
    listed = site.get("/api/v1/projects/cars/reviews", by=VALIDATOR).json()
    kept = [one for one in listed if one["looked_at"] == LOOKED]
    assert len(kept) == 4
    assert len({(one["release_id"], one["state"], one["looked_at"]) for one in kept}) == 1


@pytest.mark.requirement("UI-04")
@pytest.mark.parametrize(
    ("command", "path", "python"),
    [
        (("project", "goals", "cars"), "projects/cars/goals", lambda here, _: here.goals("cars")),
        (("project", "lifecycle", "cars"), "projects/cars/lifecycle", lambda here, _: here.lifecycle("cars")),
        (("project", "assets"), "assets", lambda here, _: here.assets()),
        (("release", "looks", "CANARY"), "releases/CANARY/looks", None),
        (("release", "examples", "CANARY"), "releases/CANARY/examples", None),
        (
            ("release", "ls", "flight-delay"),
            "releases?project=flight-delay",
            lambda here, _: here.releases("flight-delay"),
        ),
    ],
)
def test_what_is_read_by_any_route_is_the_same(
    own_site: Site, command: tuple[str, ...], path: str, python: Callable[[Workspace, str], Any] | None
) -> None:
    site, names = own_site, {"CANARY": own_site.seeded.canary, "LIVE": own_site.seeded.cars_live}
    look = {"look": 1, "outcome": "passed", "step": 0, "share_percent": 10, "answered": 60, "failed": 0}
    site.app.store.evidence.measure(
        [make_measurement(project="cars", name=LOOK, release_id=names["CANARY"], detail=look)]
    )
    said = typed(site, *(names.get(word, word) for word in command), by=VALIDATOR)
    for word, name in names.items():
        path = path.replace(word, name)
    answered = site.get(f"/api/v1/{path}", by=VALIDATOR).json()
    assert _within(_with_z(said), _with_z(answered))
    assert said, "there is something to compare"
    if python is not None:
        found = in_python(site, lambda here: python(here, names["LIVE"]), by=VALIDATOR)
        assert _with_z(plain(found)) == _with_z(said)


def _within(part: Any, whole: Any) -> bool:
    """Whether they are the same, but for defaults that the command line leaves out."""
    if isinstance(part, dict):
        return whole.keys() >= part.keys() and all(_within(part[name], whole[name]) for name in part)
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(_within, part, whole))
    return bool(part == whole)


def _with_z(found: Any) -> Any:
    """As JSON; UTC is written in one of its two ways."""
    return json.loads(json.dumps(found).replace("+00:00", "Z"))


@pytest.mark.requirement("UI-02")
def test_every_role_sees_the_same_line_with_everybodys_work(own_site: Site) -> None:
    """Whoever may see the project: developer, validator, operator, auditor and viewer alike."""
    site = own_site
    site.app.identities.add("olga", ["operator"], actor=AUTHOR)
    lines = {
        role: site.get("/api/v1/projects/flight-delay/lifecycle", by=role).json()
        for role in (AUTHOR, VALIDATOR, "olga", AUDITOR, VIEWER)
    }
    assert len({json.dumps(line) for line in lines.values()}) == 1
    line = {one["name"]: one for one in lines[VIEWER]}
    assert list(line) == ["declare", "build", "prove", "approve", "roll out", "answer", "watch", "decide"]
    assert all(one["people"] for one in line.values()), "each stage says whose it is"
    approvers = {one.approver for release in site.app.store.releases.list("flight-delay")
                 for one in site.app.store.evidence.approvals(release.id)}  # fmt: skip
    newest = site.app.store.releases.list("flight-delay")[0]
    assert newest.author in line["build"]["people"] + line["prove"]["people"]
    for role in lines:
        page = site.page("/projects/flight-delay", by=role).text
        for stage in line.values():
            assert ", ".join(stage["people"]) in page, (role, stage)
    assert approvers, "somebody has approved something here"
