"""The files that deploy a project, held against the tools and schemas that will read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.project import DeploymentSpec, Owner, Project, RolloutSpec
from headrace.projects.deployment_files import STAGES, deployment_files
from headrace.projects.rendered import write_rendered
from headrace.testing import make_project

PLANS = {
    "laptop": DeploymentSpec(),
    "cluster": DeploymentSpec(target="kubernetes"),
    "replicas": DeploymentSpec(target="kubernetes", database="postgres", servers=3, processes=2),
}


def files_of(project: Project | None = None, **changes: Any) -> dict[str, str]:
    return deployment_files(project or make_project(**changes), python="3.11")


@pytest.fixture(params=PLANS)
def plan(request: pytest.FixtureRequest) -> DeploymentSpec:
    return PLANS[request.param]


def folder_of(tmp_path: Path, plan: DeploymentSpec) -> Path:
    write_rendered(tmp_path, files_of(deployment=plan), executable=["deploy/roll-out"])
    return tmp_path


def tool(name: str) -> str:
    # What was installed for the tests is beside their Python, and not on everybody's path.
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def ran(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stage_of(folder: Path, stage: str) -> dict[str, Any]:
    """The objects of a stage as Kustomize makes them, by kind; each of them one that Kubernetes knows."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    text = ran(tool("kubectl"), "kustomize", f"deploy/kubernetes/overlays/{stage}", folder=folder)
    found = {one["kind"]: one for one in yaml.safe_load_all(text)}
    for one in found.values():
        kubernetes_validate.validate(one, "1.37", strict=True)
    return found


@pytest.mark.requirement("DEP-10")
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_that_kubernetes_takes(tmp_path: Path, plan: DeploymentSpec, stage: str) -> None:
    found = stage_of(folder_of(tmp_path, plan), stage)
    assert set(found) == {
        "Namespace", "ConfigMap", "Service", "PersistentVolumeClaim", "Deployment", "NetworkPolicy",
    }  # fmt: skip
    assert {one["metadata"].get("namespace", f"cars-{stage}") for one in found.values()} == {f"cars-{stage}"}
    spec = found["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    (server,) = pod["containers"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert found["Service"]["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == spec["selector"]["matchLabels"]
    assert server["envFrom"][0]["configMapRef"]["name"] == found["ConfigMap"]["metadata"]["name"]
    claim = pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == found["PersistentVolumeClaim"]["metadata"]["name"]
    assert (server["readinessProbe"]["httpGet"]["path"], server["livenessProbe"]["httpGet"]["path"]) == (
        "/readyz",
        "/healthz",
    )
    assert server["resources"]["requests"]
    assert server["resources"]["limits"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_pod_keeps_the_restricted_standard(tmp_path: Path, plan: DeploymentSpec, stage: str) -> None:
    """What Kubernetes' Pod Security Standard ``restricted`` asks for, which each namespace enforces."""
    found = stage_of(folder_of(tmp_path, plan), stage)
    assert found["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = found["Deployment"]["spec"]["template"]["spec"]
    server = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert server == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} <= {
        "persistentVolumeClaim",
        "emptyDir",
    }
    assert not pod["automountServiceAccountToken"]


def test_one_server_has_the_disk_for_itself_and_several_share_what_they_need(tmp_path: Path) -> None:
    one = stage_of(folder_of(tmp_path / "one", PLANS["cluster"]), "dev")
    assert one["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert one["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]
    several = stage_of(folder_of(tmp_path / "several", PLANS["replicas"]), "dev")
    assert several["Deployment"]["spec"]["replicas"] == 3
    assert several["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    (server,) = several["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in server["env"]] == ["HEADRACE_DATABASE_URL", "PGPASSWORD"]
    assert all("secretKeyRef" in one["valueFrom"] for one in server["env"])
    ports = [p["port"] for rule in several["NetworkPolicy"]["spec"]["egress"] for p in rule["ports"]]
    assert 5432 in ports


def test_stages_differ_and_only_prod_asks_for_more(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, PLANS["cluster"])
    found = {stage: stage_of(folder, stage) for stage in STAGES}
    asked = [found[s]["PersistentVolumeClaim"]["spec"]["resources"]["requests"]["storage"] for s in STAGES]
    assert asked == ["10Gi", "10Gi", "50Gi"]
    urls = {one["ConfigMap"]["data"]["HEADRACE_URL"] for one in found.values()}
    assert len(urls) == len(STAGES)


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        (".github/workflows/headrace.yml", "vendor.github-workflows"),
        (".gitlab-ci.yml", "vendor.gitlab-ci"),
    ],
)
def test_build_servers_take_their_files(tmp_path: Path, plan: DeploymentSpec, path: str, schema: str) -> None:
    folder = folder_of(tmp_path, plan)
    ran(tool("check-jsonschema"), "--builtin-schema", schema, path, folder=folder)
    assert ("roll-out" in (folder / path).read_text()) == (plan.target == "kubernetes")


def test_gitlab_stops_at_a_failed_gate_and_goes_on_where_a_person_decides() -> None:
    jobs = yaml.safe_load(files_of(deployment=PLANS["cluster"])[".gitlab-ci.yml"])
    assert jobs["run"]["allow_failure"] == jobs[".deploy"]["allow_failure"] == {"exit_codes": [4]}
    assert "allow_failure" not in jobs["test"]
    stages = set(jobs["stages"])
    assert {job["stage"] for job in jobs.values() if isinstance(job, dict) and "stage" in job} == stages


@pytest.mark.parametrize("name", PLANS)
def test_jenkins_file_is_whole_and_deploys_only_where_it_is_asked_to(name: str) -> None:
    lexers = pytest.importorskip("pygments.lexers", reason="needs pygments")
    error = pytest.importorskip("pygments.token").Error

    text = files_of(deployment=PLANS[name])["Jenkinsfile"]
    tokens = list(lexers.GroovyLexer().get_tokens(text))
    assert [value for kind, value in tokens if kind in error] == []
    marks = "".join(value for kind, value in tokens if kind not in error and value in tuple("(){}[]"))
    for left, right in ("()", "{}", "[]"):
        assert marks.count(left) == marks.count(right)
    assert ("roll-out" in text) == (name != "laptop")


def test_the_image_is_one_that_its_linter_takes(tmp_path: Path, plan: DeploymentSpec) -> None:
    folder = folder_of(tmp_path, plan)
    ran(tool("hadolint"), "--failure-threshold", "info", "deploy/Dockerfile", folder=folder)
    text = (folder / "deploy/Dockerfile").read_text()
    assert re.findall(r"^USER (.*)", text, re.MULTILINE) == ["10001:10001"]
    assert text.index("USER") > text.index("COPY . ./")
    assert "--requirement requirements.txt" in text
    assert ("--processes" in text) == (plan.processes > 1)


def test_terraform_takes_its_file(tmp_path: Path, plan: DeploymentSpec) -> None:
    terraform, folder = tool("terraform"), folder_of(tmp_path, plan) / "deploy/terraform"
    ran(terraform, "init", "-backend=false", "-input=false", folder=folder)
    ran(terraform, "validate", folder=folder)
    ran(terraform, "fmt", "-check", "-diff", folder=folder)


def test_terraforms_file_parses_without_terraform(tmp_path: Path) -> None:
    hcl2 = pytest.importorskip("hcl2", reason="needs python-hcl2")
    found = hcl2.loads(files_of()["deploy/terraform/main.tf"])
    assert {name.strip('"') for one in found["variable"] for name in one} == {"stage", "image"}


@pytest.mark.requirement("GAT-12")
def test_every_change_is_tested_and_what_is_merged_was_reviewed() -> None:
    files = files_of(deployment=PLANS["cluster"])
    github = yaml.safe_load(files[".github/workflows/headrace.yml"])
    triggers = github[True]  # YAML 1.1 reads the word "on" so
    assert triggers["pull_request"] is None
    assert triggers["push"] == {"branches": ["main"]}
    assert "if" not in github["jobs"]["prove"]
    assert set(github["jobs"]["deploy"]["needs"]) == {"prove", "reviewed"}
    gitlab = yaml.safe_load(files[".gitlab-ci.yml"])
    conditions = [rule["if"] for rule in gitlab["workflow"]["rules"]]
    assert any("merge_request_event" in one for one in conditions)
    assert any("CI_DEFAULT_BRANCH" in one for one in conditions)
    assert "rules" not in gitlab["test"]
    assert gitlab["reviewed"]["script"] == ["python deploy/gitlab_reviewed.py"]
    stages = gitlab["stages"]
    later = [job for job in gitlab.values() if isinstance(job, dict) and job.get("stage") in stages[1:]]
    assert stages[0] == gitlab["reviewed"]["stage"]
    assert all("needs" not in job for job in later), "a job that needs nothing would not wait for it"
    assert "pytest tests" in files["Jenkinsfile"]


@pytest.mark.requirement("DEP-05")
def test_the_main_line_is_proved_at_any_time_and_reaches_prod_only_when_somebody_asks() -> None:
    files = files_of(deployment=PLANS["cluster"])
    github = yaml.safe_load(files[".github/workflows/headrace.yml"])
    rules = {rule["type"]: rule.get("parameters") for rule in ruleset(files)["rules"]}
    checks = rules["required_status_checks"]
    assert [one["context"] for one in checks["required_status_checks"]] == ["prove"], "before a merge"
    assert checks["strict_required_status_checks_policy"] is True, "with all that was merged before"
    deploy = github["jobs"]["deploy"]
    assert "prove" in deploy["needs"], "and again after it"
    asked = github[True]["workflow_dispatch"]["inputs"]["stage"]
    assert set(asked["options"]) == set(STAGES)
    assert deploy["env"]["STAGE"] == "${{ inputs.stage || 'dev' }}", "a push goes no farther than dev"
    gitlab = yaml.safe_load(files[".gitlab-ci.yml"])
    when = {stage: gitlab[f"deploy-{stage}"]["rules"][0].get("when", "on_success") for stage in STAGES}
    assert when == {"dev": "on_success", "qa": "manual", "prod": "manual"}
    assert "choices: ['dev', 'qa', 'prod']" in files["Jenkinsfile"], "Jenkins takes the first unless told"


@pytest.mark.requirement("GAT-12")
def test_the_main_line_is_protected_by_the_owners_review() -> None:
    team = (Owner(name="Bo", contact="mailto:bo@example.org"), Owner(name="Help", contact="+43 1 2345678"))
    files = files_of(team=team, risk="high")
    assert files[".github/CODEOWNERS"].splitlines()[-1] == "* ada@example.org bo@example.org"
    rules = {rule["type"]: rule.get("parameters") for rule in ruleset(files)["rules"]}
    assert rules["pull_request"]["required_approving_review_count"] == 2
    assert rules["pull_request"]["require_code_owner_review"] is True
    assert rules["pull_request"]["require_last_push_approval"] is True
    workflow = yaml.safe_load(files[".github/workflows/headrace.yml"])
    (check,) = rules["required_status_checks"]["required_status_checks"]
    assert check["context"] in workflow["jobs"]
    assert "two others review" in files["CONTRIBUTING.md"]


def test_an_owner_without_a_mail_address_is_asked_for_one() -> None:
    files = files_of(owner=Owner(name="Ada", contact="https://example.org/ada"))
    assert "names no e-mail address" in files[".github/CODEOWNERS"]
    (rule,) = [rule for rule in ruleset(files)["rules"] if rule["type"] == "pull_request"]
    assert rule["parameters"]["require_code_owner_review"] is False
    assert rule["parameters"]["required_approving_review_count"] == 1


def ruleset(files: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files[".github/rulesets/main.json"])
    return found


def test_the_page_says_by_which_steps_a_release_goes_live() -> None:
    assert "shadow, 5 %, 100 %" in files_of(rollout=RolloutSpec(steps=(0, 5)))["CONTRIBUTING.md"]


names = st.sampled_from(["on", "no", "null"]) | st.from_regex(r"[a-z][a-z0-9_-]{0,62}", fullmatch=True)


@settings(max_examples=30)
@given(names, st.sampled_from(sorted(PLANS)))
def test_any_name_of_a_project_is_one_in_a_cluster(name: str, plan: str) -> None:
    files = files_of(name=name, deployment=PLANS[plan])
    for path, text in files.items():
        if path.endswith((".yaml", ".yml")):
            (found,) = yaml.safe_load_all(text)
            called = found.get("metadata", {}).get("name", "a") if path.startswith("deploy") else "a"
            assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", called)
            assert len(called) <= 63
        if path.endswith(".json"):
            json.loads(text)


def test_the_same_project_gives_the_same_files_and_no_template_is_left_over(project_root: Path) -> None:
    assert files_of() == files_of()
    templates = project_root / "src/headrace/projects/templates/deploy"
    made = 2 * (len(STAGES) - 1)
    assert len(files_of()) - made == len(list(templates.rglob("*.j2")))
