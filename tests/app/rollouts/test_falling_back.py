"""A fallback is built, approved and kept ready, and answers when the live release cannot be trusted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.app.operations import decide, roll_back, watch_now
from headrace.app.rollouts.falling_back import fall_back, proposed
from headrace.cli.main import app as command_line
from headrace.core.errors import Conflict, Denied
from headrace.core.ids import new_id
from headrace.core.release import Release
from headrace.projects.charter import load_project
from headrace.store.records import encode_failure
from headrace.testing import make_failure
from tests.app.small import AUTHOR, VALIDATOR, Site, Small, cars, site

HARNESS = Path(__file__).with_name("killed_fallback.py")
OFF = ("do: automatic, min_labels: 50", "do: warn")


def declared(do: str, **more: object) -> tuple[str, str]:
    """The charter's last part, with a fallback before it."""
    said = "".join(f", {name}: {value}" for name, value in more.items())
    return "governance:", f"fallback: {{do: {do}{said}}}\ngovernance:"


def watched(project: Small) -> None:
    watch_now(project.app, project.work, project.me, project.name)


def with_fallback(project: Small) -> tuple[Release, Release]:
    """The live release, and the fallback that a round of watching has asked for."""
    live = project.released()
    assert live.state == "live"
    watched(project)
    for build_id in project.work.durable.unfinished("build"):
        project.work.durable.result(build_id)
    fallback = project.releases()[0]
    return live, project.delivered(fallback.id)


def failing(project: Small, release: Release, n_requests: int) -> None:
    """Requests that the model could not answer, just now."""
    now = project.app.clock.now()
    failures = [
        encode_failure(make_failure(id=new_id(now), project=project.name, release_id=release.id, at=now))
        for _ in range(n_requests)
    ]
    project.app.store.events.append(f"{project.name}/failures", failures)


def worse(n_rows: int, seed: int = 3) -> dict[str, list[object]]:
    """Cars whose list price says nothing any more."""
    rows = cars(n_rows, seed=seed)
    return rows | {"listed": [value + 40_000 for value in rows["listed"]]}


def look(project: Small) -> None:
    project.work.watching.falling_back.look(project.name)


def test_the_fallback_is_a_release_with_gates_that_stands_by(shared: Site) -> None:
    project = shared.project("ready", OFF, declared("automatic"))
    live, fallback = with_fallback(project)
    assert (fallback.state, fallback.manifest.stands_in) == ("standing_by", True)
    assert fallback.manifest.params["variant"] == "constant"
    assert "names the fallback 'constant'" in fallback.manifest.cause
    verdicts = project.verdicts(fallback)
    assert verdicts["data"].outcome == verdicts["package"].outcome == verdicts["artefact"].outcome == "passed"
    champion = verdicts["champion"]
    assert champion.outcome == "passed"
    assert champion.evidence["outcome of a candidate"] == "failed", "it is worse, and that is only reported"
    route = project.route()
    assert route is not None
    assert (route.live, route.stands_in) == (live.id, False)
    watched(project)
    assert len(project.releases()) == 2, "it is built once"


def test_a_model_that_raises_again_and_again_is_replaced_at_once(shared: Site) -> None:
    project = shared.project("raising", OFF, declared("automatic"))
    live, fallback = with_fallback(project)
    failing(project, live, 9)
    look(project)
    assert project.route().live == live.id, "9 of 10"  # type: ignore[union-attr]
    failing(project, live, 3)
    look(project)
    look(project)
    route = project.route()
    assert route is not None
    assert (route.live, route.arms) == (fallback.id, (("fallback", fallback.id),))
    states = {one.id: (one.state, one.reason) for one in project.releases()}
    assert states[fallback.id] == ("live", "cannot be trusted: 12 of 12 requests failed in the last minute")
    assert states[live.id][0] == "superseded"
    (finding,) = project.app.store.findings.list(project.name)
    assert (finding.kind, finding.release_id, finding.evidence["failed"]) == ("fallback", live.id, 12)
    (alert,) = project.app.store.findings.alerts(project.name)
    assert (alert.action, alert.state) == ("automatic", "closed")
    moves = [e for e in project.app.store.audit.list() if e.resource == f"release:{fallback.id}"]
    assert "12 of 12 requests failed" in str(moves[-1].detail)
    # The way back is a rollout like any other, against the fallback as the champion.
    better = project.write(OFF, declared("automatic")).build(cause="mended")["release_id"]
    canary = project.delivered(better)
    assert canary.state == "rolling_out"
    assert project.route().arms[0] == ("fallback", fallback.id)  # type: ignore[union-attr]
    assert project.promoted(canary).state == "live"
    assert project.route().arms == (("live", better),)  # type: ignore[union-attr]
    assert project.app.store.releases.get(fallback.id).state == "standing_by"
    failing(project, project.releases()[0], 20)
    look(project)
    assert project.route().live == fallback.id, "it stands in again"  # type: ignore[union-attr]
    assert roll_back(project.app, project.work, project.me, project.name).id == better
    assert project.app.store.releases.get(fallback.id).state == "standing_by"


def test_losses_beyond_the_declared_ratio_ask_for_it_unless_it_is_worse_still(shared: Site) -> None:
    project = shared.project("degraded", OFF, declared("automatic", loss_ratio=3))
    live, fallback = with_fallback(project)
    bad = worse(120)
    project.answered(bad, day=1, release=live.id)
    project.answered(cars(5, seed=8), day=9, release=live.id, labelled=False)
    watched(project)
    route = project.route()
    assert route is not None
    assert (route.live, route.stands_in) == (fallback.id, True)
    (finding,) = [one for one in project.app.store.findings.list(project.name) if one.kind == "fallback"]
    held = finding.evidence["held against"]
    assert (held["role"], held["n_rows"]) == ("fallback", 120)
    assert held["high"] < 0, "the mean price is nearer than 40,000 too much"


def test_a_fallback_that_is_worse_than_the_degraded_model_does_not_stand_in(shared: Site) -> None:
    project = shared.project("still-better", OFF, declared("automatic", loss_ratio=1.5))
    live, _ = with_fallback(project)
    rows = cars(150, seed=4)
    project.answered(rows | {"listed": [v + 700 for v in rows["listed"]]}, day=1, release=live.id)
    project.answered(cars(5, seed=8), day=9, release=live.id, labelled=False)
    watched(project)
    kinds = {one.kind: one.size for one in project.app.store.findings.list(project.name)}
    assert kinds["performance"] > 1.5
    assert "fallback" not in kinds
    assert project.route().live == live.id  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's own client
def test_what_is_proposed_waits_for_a_person_who_may(shared: Site) -> None:
    project = shared.project("proposed", OFF, declared("review"))
    live, fallback = with_fallback(project)
    failing(project, live, 30)
    look(project)
    assert project.route().live == live.id  # type: ignore[union-attr]
    asked = proposed(project.app, project.name)
    assert asked is not None
    assert asked.title == "cannot be trusted: 30 of 30 requests failed in the last minute"
    nobody = project.app.identities.resolve(VALIDATOR)
    with pytest.raises(Denied):
        fall_back(project.app, nobody, project.name)
    home = {"HEADRACE_HOME": str(project.app.settings.home), "HEADRACE_USER": AUTHOR}
    done = CliRunner(env=home).invoke(command_line, ["release", "fallback", project.name])
    assert done.exit_code == 0, done.output
    assert "stands in" in done.output
    assert project.app.store.releases.get(fallback.id).reason.endswith("in the last minute (by ada)")
    assert proposed(project.app, project.name) is None


def test_a_warning_moves_nothing(shared: Site) -> None:
    project = shared.project("warned", OFF, declared("warn"))
    live, _ = with_fallback(project)
    failing(project, live, 30)
    look(project)
    (alert,) = project.app.store.findings.alerts(project.name)
    assert (alert.action, alert.state) == ("warn", "closed")
    assert project.route().live == live.id  # type: ignore[union-attr]


def test_a_fallback_that_nobody_has_approved_stands_in_once_somebody_does(shared: Site) -> None:
    manual = ("approval: automatic", "approval: manual")
    project = shared.project("unapproved", OFF, manual, declared("automatic"))
    grace = project.app.identities.resolve(VALIDATOR)
    made = project.released()
    live = decide(project.app, project.work, grace, made.id, "approved", "read it")
    watched(project)
    (build_id,) = [one for one in project.work.durable.unfinished("build") if project.name in one]
    project.work.durable.result(build_id)
    waiting = project.delivered(project.releases()[0].id)
    assert (waiting.state, waiting.manifest.stands_in) == ("waiting", True)
    failing(project, live, 30)
    look(project)
    assert project.route().live == live.id  # type: ignore[union-attr]
    with pytest.raises(Conflict, match="No fallback of 'unapproved' stands by"):
        fall_back(project.app, project.me, project.name)
    assert decide(project.app, project.work, grace, waiting.id, "approved", "plain").state == "standing_by"
    look(project)
    assert project.route().live == waiting.id  # type: ignore[union-attr]


def test_an_earlier_version_can_be_the_fallback(shared: Site) -> None:
    project = shared.project("earlier", OFF)
    first = project.released()
    project.write(OFF, ("trainer: listed", "trainer: linear"), declared("automatic", to="earlier@1")).build()
    second = project.promoted(project.delivered(project.releases()[0].id))
    assert second.state == "live"
    failing(project, second, 30)
    look(project)
    assert project.route().arms == (("fallback", first.id),)  # type: ignore[union-attr]


@pytest.mark.parametrize("do", ["automatic"])
def test_a_process_that_is_killed_anywhere_moves_the_traffic_once(
    tmp_path: Path, do: str, subtests: pytest.Subtests
) -> None:
    with site(tmp_path) as made:
        project = made.project("killed", OFF, declared(do))
        live, fallback = with_fallback(project)
    for at in range(1, 12, 2):
        with subtests.test(killed_at=at):
            ended = subprocess.run(
                [sys.executable, str(HARNESS), str(tmp_path), project.name, live.id, str(at)],
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert ended.returncode == -9 or (at > 7 and ended.returncode == 0), ended.stderr.decode()
        if ended.returncode == 0:
            break
    with site(tmp_path) as made:
        look(Small(app=made.app, work=made.work, folder=project.folder, name=project.name))
        store = made.app.store
        route = store.rollouts.route(project.name)
        assert route is not None
        assert (route.live, route.stands_in) == (fallback.id, True)
        assert {one.id: one.state for one in store.releases.list(project.name)} == {
            live.id: "superseded",
            fallback.id: "live",
        }
        assert [one.state for one in store.findings.alerts(project.name)] == ["closed"]
        moves = [e for e in store.audit.list() if e.action == "rollout.move" and fallback.id in e.resource]
        assert len(moves) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{to: nothing}",
            "'nothing' is nothing to fall back to (known: baseline, better, constant, a version",
        ),
        ("{to: vans@1}", "'vans@1' is nothing to fall back to"),
        ("{loss_ratio: 0.5}", "loss_ratio"),
        ("{failures: 1}", "failures"),
    ],
)
def test_a_fallback_that_means_nothing_is_refused(shared: Site, text: str, said: str) -> None:
    project = shared.project("meaning", ("governance:", f"fallback: {text}\ngovernance:"))
    with pytest.raises(Exception, match="(?s)headrace.yaml") as caught:
        load_project(project.folder)
    assert said in str(caught.value)
