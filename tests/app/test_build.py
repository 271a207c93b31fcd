"""A build from raw bytes to a judged release, in process: what passes, what stops it, what is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.app.operations import decide
from headrace.app.overviews import reading
from headrace.core.errors import Conflict, Denied, GateFailed, UserCodeError
from tests.app.small import AUTHOR, BROKEN_LINE, CODE, NEED, VALIDATOR, Site, Small, cars

MANUAL = ("approval: automatic", "approval: manual")


@pytest.fixture(scope="module")
def live(shared: Site) -> Small:
    """A project that is live; the tests that share it change nothing."""
    made = shared.project("live-cars")
    assert made.released().state == "live"
    return made


@pytest.mark.requirement("GAT-06")
def test_with_the_automatic_policy_a_release_goes_live_with_no_human(live: Small) -> None:
    (release,) = live.releases()
    report = reading.release_report(live.app, live.me, release.id)
    assert release.state == "live"
    assert {v.outcome for v in report.verdicts} == {"passed"}
    assert [(a.approver, a.decision) for a in report.approvals] == [("policy:automatic", "approved")]
    assert report.approvals[0].digest == release.digest
    entries = [e for e in live.app.store.audit.list() if e.resource == f"release:{release.id}"]
    assert {e.action for e in entries if e.actor in (AUTHOR, VALIDATOR)} == {"release.propose"}
    route = live.route()
    assert route is not None
    assert (route.live, route.canary) == (release.id, None)


@pytest.mark.requirement("GAT-14")
def test_every_gate_leaves_a_verdict_with_evidence(live: Small) -> None:
    (release,) = live.releases()
    verdicts = live.app.store.evidence.verdicts(release.id)
    gates = [
        "data",
        "data_bias",
        "tests",
        "model",
        "baseline",
        "champion",
        "artefact",
        "package",
        "flight_check",
        "compliance",
    ]
    gates += ["training", "explanations", "robustness", "ingredients", "contract"]
    assert [v.gate for v in verdicts] == gates
    assert all(v.evidence for v in verdicts if v.gate != "champion")
    assert all(v.reason for v in verdicts)
    assert live.verdicts(release)["baseline"].evidence["against"] == "variant 'baseline'"


def test_scratch_files_are_gone_when_a_build_has_ended(live: Small) -> None:
    scratch = live.app.settings.home / "scratch"
    assert not scratch.exists() or not any(path.name.startswith(live.name) for path in scratch.iterdir())


def test_what_is_equal_is_recognised_and_not_trained_again(shared: Site) -> None:
    project = shared.project("again")
    first = project.released()
    second = project.released()
    assert second.manifest.parent == first.id
    assert second.manifest.subject.package == first.manifest.subject.package
    assert len(shared.app.store.snapshots.list("again")) == 1
    assert project.promoted(second).state == "live"
    assert {r.id: r.state for r in project.releases()} == {first.id: "superseded", second.id: "live"}


@pytest.mark.requirement("GAT-07")
def test_with_the_manual_policy_a_person_decides_who_is_not_the_author(shared: Site) -> None:
    project = shared.project("manual", MANUAL)
    grace = shared.app.identities.resolve(VALIDATOR)
    rejected = project.released()
    assert (rejected.state, project.route()) == ("waiting", None)
    report = reading.release_report(shared.app, grace, rejected.id)
    assert len(report.verdicts) == 15, "who decides sees the results"
    rejected = decide(shared.app, shared.work, grace, rejected.id, "rejected", "the margin is too thin")
    assert (rejected.state, rejected.reason) == ("rejected", "grace: the margin is too thin")
    assert project.route() is None
    release = project.released()
    with pytest.raises(Denied, match="Nobody can decide on their own work"):
        decide(shared.app, shared.work, project.me, release.id, "approved", "mine")
    assert shared.app.store.releases.get(release.id).state == "waiting"
    assert decide(shared.app, shared.work, grace, release.id, "approved", "read it").state == "live"
    (approval,) = shared.app.store.evidence.approvals(release.id)
    assert (approval.approver, approval.author, approval.comment) == (VALIDATOR, AUTHOR, "read it")
    with pytest.raises(Conflict, match="already approved"):
        decide(shared.app, shared.work, grace, release.id, "rejected", "too late")


@pytest.mark.requirement("GAT-01")
def test_too_little_data_is_not_trained_on(shared: Site) -> None:
    project = shared.project("few", ("min_rows: 50", "min_rows: 500"))
    result = project.build()
    assert result["release_id"] is None
    assert result["reason"] == "data gate: 200 good rows are fewer than 500"
    assert [(v["gate"], v["outcome"]) for v in result["verdicts"]] == [("data", "failed")]
    assert (project.runs(), project.releases()) == ({}, [])
    assert len(shared.app.store.snapshots.list("few")) == 1, "what was refused is kept"


def test_a_trainer_that_raises_is_a_failed_run_with_its_line(shared: Site) -> None:
    better = "{name: better, trainer: listed}"
    broken = "{name: better, trainer: broken}\n  - {name: odd, trainer: unheard}"
    project = shared.project("half-broken", (better, broken))
    release = project.released()
    runs = project.runs()
    assert runs["baseline"] == "finished", "one does not take the others with it"
    assert runs["better"] == f"project.py:{BROKEN_LINE} in broken: IndexError: list index out of range"
    assert "has no trainer 'unheard'" in runs["odd"]
    assert release.state == "refused", "the simplest model is no improvement on itself"
    assert "the simplest model is the best one" in release.reason


def test_when_every_variant_fails_there_is_no_release_and_a_reason(shared: Site) -> None:
    only = "  - {name: better, trainer: listed}\n"
    project = shared.project("broken", (only, ""), ("trainer: baseline", "trainer: broken"))
    result = project.build()
    assert result["release_id"] is None
    assert f"project.py:{BROKEN_LINE} in broken: IndexError" in result["reason"]
    assert list(project.runs()) == ["baseline"], "it stays listed"


@pytest.mark.requirement("PRV-08")
def test_a_project_that_does_not_say_why_its_data_may_be_used_is_not_built(shared: Site) -> None:
    project = shared.project("no-basis", ("privacy: {basis: not_personal}\n", ""))
    with pytest.raises(GateFailed, match=r"lawful-basis: .* \(next: state privacy.basis\)"):
        project.build()
    assert project.runs() == {}


@pytest.mark.parametrize(
    ("name", "before", "after", "reason"),
    [
        ("no-file", "source: cars.csv", "source: gone.csv", "data.source names 'gone.csv', which is not in"),
        ("no-target", "target: price", "target: cost", "has no column 'cost'"),
        ("no-input", "name: mileage", "name: miles", "has no column 'miles'"),
    ],
)
def test_what_a_project_lacks_ends_the_build_with_a_reason(
    shared: Site, name: str, before: str, after: str, reason: str
) -> None:
    # A low risk: a graver one without a basis is refused by its controls before it is built.
    project = shared.project(name, (before, after), ("approval: automatic", "approval: automatic\nrisk: low"))
    result = project.build()
    assert result["release_id"] is None
    assert reason in result["reason"]
    assert project.runs() == {}


def test_code_that_does_not_parse_is_named_with_its_line(shared: Site) -> None:
    project = shared.project("unparsed", code=CODE + "\ndef (:\n")
    with pytest.raises(UserCodeError, match=rf"project.py:{CODE.count(chr(10)) + 2}: SyntaxError"):
        project.build()


@pytest.mark.requirement("ORG-03")
def test_nothing_is_trained_before_the_project_says_what_it_is_worth(shared: Site) -> None:
    project = shared.project("unsaid", ("hypothesis: fair prices sell", "hypothesis: to be filled"))
    with pytest.raises(GateFailed, match=r"value.hypothesis: not answered. Next: write"):
        project.build()
    assert shared.app.store.runs.list("unsaid") == []


@pytest.mark.requirement("GAT-02", "GAT-15")
def test_a_loss_beyond_its_limit_or_a_missing_value_refuses_the_release(shared: Site) -> None:
    project = shared.project(
        "refused",
        ("metric: mae}", "metric: mae, max_loss: 1.0}"),
        ("triggers:\n  - {when: drift, do: automatic, min_labels: 50}\n", "triggers: []\n"),
    )
    release = project.released()
    assert release.state == "refused"
    verdicts = project.verdicts(release)
    assert {gate for gate, v in verdicts.items() if v.outcome == "failed"} == {"model", "flight_check"}
    assert "exceeds the limit 1" in verdicts["model"].reason
    assert (
        verdicts["flight_check"].reason
        == "trigger: declare at least one trigger, such as {when: drift, do: warn}"
    )
    assert all(verdicts[gate].reason in release.reason for gate in ("model", "flight_check"))
    assert shared.app.store.evidence.approvals(release.id) == []
    assert project.route() is None


@pytest.mark.requirement("UI-07")
def test_the_projects_own_tests_decide_too(shared: Site) -> None:
    project = shared.project("tested")
    tests = project.folder / "tests"
    tests.mkdir()
    (tests / "test_rows.py").write_text(
        "from pathlib import Path\n\n\ndef test_cars_have_prices():\n"
        "    assert 'price' in (Path(__file__).parents[1] / 'cars.csv').read_text()\n"
    )
    judged = project.verdicts(project.released())["tests"]
    assert (judged.outcome, judged.evidence["counts"]["passed"]) == ("passed", 1)
    (tests / "test_more.py").write_text("def test_more():\n    assert 1 == 2\n")
    release = project.released()
    assert release.state == "refused"
    failed = project.verdicts(release)["tests"]
    assert failed.reason == "1 of 2 tests failed: tests/test_more.py::test_more: assert 1 == 2"
    assert failed.reason in release.reason


@pytest.mark.requirement("GAT-10")
def test_a_release_that_is_worse_than_the_live_one_is_refused(shared: Site) -> None:
    project = shared.project("worse")
    first = project.released()
    rows = {name: values + cars(400, seed=3)[name] for name, values in cars(200).items()}
    project.write(("trainer: listed", "trainer: guess"), rows=rows)
    second = project.released()
    judged = project.verdicts(second)["champion"]
    assert judged.outcome == "failed"
    assert judged.evidence["live_release"] == first.id
    assert judged.evidence["n_rows"] + judged.evidence["n_excluded"] == 180
    assert (second.state, second.manifest.parent) == ("refused", first.id)
    route = project.route()
    assert route is not None
    assert route.live == first.id


def mixed(n_rows: int, seed: int) -> dict[str, list[Any]]:
    """Cars whose guess is better than what they are listed for, but those with diesel."""
    rows, random = cars(n_rows, seed=seed), np.random.default_rng(seed)
    price, diesel = np.array(rows["price"]), np.array(rows["diesel"])
    rows["guess"] = (price + random.normal(0, np.where(diesel, 1600, 100))).tolist()
    rows["listed"] = (price + random.normal(0, np.where(diesel, 300, 1600))).tolist()
    return rows


@pytest.mark.requirement("GAT-10")
def test_a_release_that_is_worse_for_some_than_the_live_one_waits_for_a_person(shared: Site) -> None:
    declared = "monitors: {window_s", "monitors: {segments: [diesel], window_s"
    project = shared.project("worse-for-some", declared, rows=mixed(200, 1))
    first = project.released()
    rows = {name: values + mixed(600, 2)[name] for name, values in mixed(200, 1).items()}
    project.write(declared, ("trainer: listed", "trainer: guess"), rows=rows)
    second = project.released()
    verdicts = project.verdicts(second)
    judged = verdicts["champion_segments"]
    assert (second.state, judged.outcome) == ("waiting", "inconclusive"), judged.reason
    assert verdicts["champion"].outcome == "passed", "over all rows it is better"
    outcomes = {one["segment"]: one["outcome"] for one in judged.evidence["segments"]}
    assert outcomes == {"0": "passed", "1": "failed"}
    assert second.manifest.parent == first.id


@pytest.mark.requirement("DAT-21")
def test_test_rows_with_a_doubtful_label_are_evidence_of_the_model_gate(shared: Site) -> None:
    """Every twentieth price has a digit too many."""
    rows = cars(300, seed=4)
    rows["price"] = [10 * price if at % 20 == 0 else price for at, price in enumerate(rows["price"])]
    small = shared.project("doubted", rows=rows)
    verdicts = shared.app.store.evidence.verdicts(small.released().id)
    (doubts,) = [one.evidence["doubtful_labels"] for one in verdicts if "doubtful_labels" in one.evidence]
    far = next(one for one in doubts if "above" in one["reason"])
    assert far["rows"] >= 5
    assert all((row - 1) % 20 == 0 for row in far["first"])


@pytest.mark.requirement("ORG-05")
def test_nothing_is_built_for_the_first_time_before_somebody_says_why_a_model(shared: Site) -> None:
    project = shared.project("unneeded", (NEED, ""))
    with pytest.raises(GateFailed, match=r"intake.need: not answered. Next: add intake.need with why"):
        project.build()
    assert project.runs() == {}
    project.write()
    assert project.build()["release_id"]
    project.write((NEED, ""), rows=cars(220))
    assert project.build()["verdicts"], "what was begun before it was asked goes on"
    low = ("approval: automatic", "approval: automatic\nrisk: low")
    assert shared.project("unneeded-low", (NEED, ""), low).build()["release_id"], "a gap below a medium risk"
