"""What ``headrace init`` renders for build servers and clusters, run as it stands in a shell."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.journeys.conftest import Ended, Shell
from tests.journeys.server import served
from tests.journeys.tables import write_loans
from tests.pace import until
from tests.warm import typed as programs

pytestmark = pytest.mark.journey
WORKFLOW = ".github/workflows/headrace.yml"
KUBECTL = """\
#!/usr/bin/env bash
# A cluster of one pod for each stage, on this machine: what is applied is kept, what is executed runs here.
set -euo pipefail
printf '%s\\n' "$*" >> "$FAKE/calls"
if [ "$1 $2" = "apply -k" ]; then exec "$REAL_KUBECTL" kustomize "$3" > "$FAKE/applied.yaml"; fi
[ "$2" = cars-dev ] || export HEADRACE_HOME="$HEADRACE_HOME-$2"
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
if [ $# -gt 0 ]; then shift; exec "$@"; fi
"""
GH = """\
#!/usr/bin/env bash
# Answers from files, through the filter that it is given.
set -euo pipefail
while [ $# -gt 0 ]; do
  case "$1" in
    repos/*) path="$1" ;;
    --jq) filter="$2" ;;
  esac
  shift
done
exec jq -r "$filter" "$FAKE/${path##*/}.json"
"""


def typed(shell: Shell, script: str, **more: str) -> Ended:
    """Run a step of a build server, as these do: ``bash -e`` with our programs first in the path."""
    fake = shell.home.parent / "bin"
    path = os.pathsep.join([str(fake), programs(shell.home.parent / "typed"), os.environ["PATH"]])
    # Everything is installed already: nothing may be fetched, and nothing is changed.
    environment = shell.env() | {"PATH": path, "PIP_NO_INDEX": "1"} | more
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=shell.folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def program(shell: Shell, name: str, text: str) -> Path:
    """Put a program into the path of :func:`typed`; returns the folder of what it keeps."""
    file = shell.home.parent / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file.parent


def change(shell: Shell, old: str, new: str) -> None:
    charter = shell.folder / "headrace.yaml"
    text = charter.read_text()
    assert old in text
    charter.write_text(text.replace(old, new))


def steps_of(shell: Shell, job: str) -> dict[str, str]:
    """Name to script of a job's steps."""
    jobs: dict[str, Any] = yaml.safe_load((shell.folder / WORKFLOW).read_text())["jobs"]
    return {step["name"]: step["run"] for step in jobs[job]["steps"] if "run" in step}


@pytest.mark.slow
@pytest.mark.requirement("TPL-01")
def test_the_build_server_proves_a_new_project_and_stops_at_a_failed_gate(cars: Shell) -> None:
    jobs = yaml.safe_load((cars.folder / WORKFLOW).read_text())["jobs"]
    home = jobs["prove"]["env"] | {"HEADRACE_HOME": str(cars.home / "ci")}
    for name, script in steps_of(cars, "prove").items():
        ended = typed(cars, script, **home)
        assert ended.code == 0, (name, ended.out, ended.err)
    assert "::notice::All gates passed" in ended.out
    assert "waiting" in ended.out
    gitlab = yaml.safe_load((cars.folder / ".gitlab-ci.yml").read_text())
    run = "\n".join(gitlab["run"]["script"])
    assert typed(cars, "\n".join(gitlab["test"]["script"]), **home).code == 0
    assert [typed(cars, run, **home).code] == gitlab["run"]["allow_failure"]["exit_codes"]

    minimum = re.search(r"min_rows: \d+", (cars.folder / "headrace.yaml").read_text())
    assert minimum is not None
    change(cars, minimum[0], "min_rows: 100000")
    failed = typed(cars, steps_of(cars, "prove")["Build and prove"], **home)
    assert failed.code == 3, failed.err
    assert "::notice::" not in failed.out
    assert typed(cars, run, **home).code == 3


@pytest.mark.slow
@pytest.mark.requirement("DEP-14", "REG-04")
def test_a_roll_out_builds_in_dev_and_takes_the_release_from_there_to_qa(cars: Shell) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl")
    change(cars, "target: laptop ", "target: kubernetes ")
    assert cars("project", "render").code == 0
    fake = program(cars, "kubectl", KUBECTL)
    given = {"FAKE": str(fake), "REAL_KUBECTL": kubectl, "RUNNER_TEMP": str(fake), "KUBECONFIG_TEXT": "{}"}
    given |= {"STAGE": "dev", "IMAGE": "registry.example.org/team/cars:0a1b"}
    script = steps_of(cars, "deploy")["Roll out and prove there"]
    ended = typed(cars, script, **given)
    assert ended.code == 0, ended.err
    assert "::notice::Deployed to dev. The release waits there" in ended.out
    objects = {one["kind"]: one for one in yaml.safe_load_all((fake / "applied.yaml").read_text())}
    assert objects["Deployment"]["metadata"]["namespace"] == "cars-dev"
    (server,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert server["image"] == "registry.example.org/team/cars:0a1b"
    assert "rollout status deployment/cars" in (fake / "calls").read_text()
    (release,) = cars("release", "ls", "--json").json
    assert (release["state"], release["manifest"]["cause"]) == ("waiting", "deployed to dev")
    assert cars("release", "approve", release["id"], "--tick", "all", "--as", "reviewer").code == 0

    qa = replace(cars, home=cars.home.with_name(f"{cars.home.name}-cars-qa"))
    given["STAGE"] = "qa"
    refused = typed(cars, script, **given)
    assert refused.code == 2
    assert "headrace release keys trust" in refused.err
    key = cars.folder.parent / "dev.pem"
    key.write_text(cars("release", "keys", "show").out)
    assert qa("release", "keys", "trust", str(key)).code == 0
    ended = typed(cars, script, **given)
    assert ended.code == 0, ended.err
    assert "::notice::Deployed to qa. The release waits there" in ended.out
    objects = {one["kind"]: one for one in yaml.safe_load_all((fake / "applied.yaml").read_text())}
    assert objects["Deployment"]["metadata"]["namespace"] == "cars-qa"
    (command,) = re.findall(r'command += "(.*)"', (cars.folder / "deploy/terraform/main.tf").read_text())
    ended = typed(cars, "cd deploy/terraform; " + command.replace('\\"', '"'), **given)
    assert ended.code == 0, ended.err
    (promoted,) = qa("release", "ls", "--json").json
    assert (promoted["state"], promoted["digest"]) == ("waiting", release["digest"])
    left = [path.name for path in (cars.folder / "deploy/kubernetes").iterdir()]
    assert sorted(left) == ["base", "overlays"]
    assert typed(cars, "deploy/roll-out nowhere x:1", **given).code != 0


def jenkins(shell: Shell, stage: str, **more: str) -> list[Ended]:
    """What the shell steps of a stage of the Jenkinsfile end with, up to the first that fails."""
    environment = shell.folder / ".venv"
    if not environment.exists():
        environment.symlink_to(sys.prefix)  # the whole folder: without its pyvenv.cfg it is no environment
    text = (shell.folder / "Jenkinsfile").read_text()
    (part,) = re.findall(rf"stage\('{stage}'\) {{(.*?)\n    }}\n", text, re.DOTALL)
    ended: list[Ended] = []
    for script in re.findall(r"sh '(.*)'", part):
        ended.append(typed(shell, f"sh -xe -c {shlex.quote(script)}", **more))
        if ended[-1].code:
            break
    return ended


@pytest.mark.slow
@pytest.mark.requirement("GAT-05", "DEP-14")
def test_data_and_fairness_are_judged_by_every_build_server(shell: Shell) -> None:
    table = write_loans(shell.folder / "loans.csv")
    assert shell("init", "loans", "--data", str(table), "--target", "approved").code == 0
    shell.folder = shell.folder / "loans"
    lines = (shell.folder / "headrace.yaml").read_text().splitlines()
    fair = "fairness: {groups: [district], favourable: true, max_difference: 0.2}"
    kept = [line for line in lines if "trainer: lightgbm" not in line]
    (shell.folder / "headrace.yaml").write_text("\n".join([*kept, fair]) + "\n")
    home = {"HEADRACE_HOME": str(shell.home)}
    ended = jenkins(shell, "Test", **home)
    assert [one.code for one in ended] == [0, 0], ended
    (unfair,) = jenkins(shell, "Build and prove", **home)
    assert unfair.code == 3, unfair.out + unfair.err
    assert "fairness" in unfair.out + unfair.err
    assert typed(shell, steps_of(shell, "prove")["Build and prove"], **home).code == 3
    gitlab = yaml.safe_load((shell.folder / ".gitlab-ci.yml").read_text())["run"]
    assert typed(shell, "\n".join(gitlab["script"]), **home).code == 3
    change(shell, "max_difference: 0.2", "max_difference: 0.99")
    (fair_enough,) = jenkins(shell, "Build and prove", **home)
    assert fair_enough.code == 0, fair_enough.out + fair_enough.err
    change(shell, "max_null_fraction: 0.5", "max_null_fraction: 0.001")
    (bad,) = jenkins(shell, "Build and prove", **home)
    assert bad.code == 3
    assert "income" in bad.out + bad.err, "the column that is too often empty"


MERGED = {"number": 7, "merged_at": "2026-11-02T10:00:00Z", "base": {"ref": "main"}}
APPROVED = {
    "state": "APPROVED",
    "user": {"login": "bo"},
    "commit_id": "9f8e",
    "author_association": "MEMBER",
}
#: Name to the pull requests of a commit, the reviews of request 7 by ann, and what the job ends with.
REVIEWS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], int]] = {
    "by another": ([{"number": 6, "merged_at": None, "base": {"ref": "main"}}, MERGED], [APPROVED], 0),
    "by the author": ([MERGED], [APPROVED | {"user": {"login": "ann"}}], 1),
    "a comment": ([MERGED], [APPROVED | {"state": "COMMENTED"}], 1),
    "by a passer-by": ([MERGED], [APPROVED | {"author_association": "NONE"}], 1),
    "of an earlier commit": ([MERGED], [APPROVED | {"commit_id": "0000"}], 1),
    "into another branch": ([MERGED | {"base": {"ref": "trial"}}], [APPROVED], 1),
    "none": ([MERGED], [], 1),
    "pushed past every pull request": ([], [APPROVED], 1),
}


@pytest.mark.requirement("GAT-12")
@pytest.mark.parametrize("case", REVIEWS)
def test_what_nobody_else_approved_before_the_merge_goes_no_further(cars: Shell, case: str) -> None:
    if shutil.which("jq") is None:
        pytest.skip("needs jq")
    fake = program(cars, "gh", GH)
    pulls, reviews, code = REVIEWS[case]
    (fake / "pulls.json").write_text(json.dumps(pulls))
    (fake / "7.json").write_text(json.dumps({"user": {"login": "ann"}, "head": {"sha": "9f8e"}}))
    (fake / "reviews.json").write_text(json.dumps(reviews))
    script = steps_of(cars, "reviewed")["Find the recorded review"]
    ended = typed(cars, script, FAKE=str(fake), REPOSITORY="team/cars", COMMIT="0a1b")
    assert ended.code == code, ended.err
    assert ("Pull request 7 by ann was approved by bo." in ended.out) == (code == 0)


def test_rendering_again_follows_the_charter_and_keeps_what_was_edited(cars: Shell) -> None:
    dockerfile = cars.folder / "deploy/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "# mine\n")
    change(cars, "processes: 1 ", "processes: 3 ")
    shown = cars("project", "render")
    assert shown.code == 2
    assert "-# mine" in shown.out
    assert '"--processes", "3"' in shown.out
    assert "Edited by hand, and left alone: deploy/Dockerfile" in shown.err
    assert dockerfile.read_text().endswith("# mine\n")
    assert cars("project", "render", "--json").json["edited"].keys() == {"deploy/Dockerfile"}
    assert cars("project", "render", "--force").code == 0
    assert '"--processes", "3"' in dockerfile.read_text()
    change(cars, "servers: 1", "servers: 2")
    wrong = cars("project", "render")
    assert wrong.code == 2
    assert "has to be postgres" in wrong.err


@pytest.mark.requirement("DEP-15")
def test_a_deployment_is_declared_before_building_and_compared_with_what_came_of_it(cars: Shell) -> None:
    declared = cars("check").out
    assert "laptop, 1 server of 1 on sqlite" in declared
    with served(cars, "--processes", "2") as about:
        # It is ready as soon as one of its processes is; the other one says a moment later that it is there.
        until(lambda: "deployed otherwise: deployment.processes is 2, planned 1" in cars("check").out)
        assert cars("check").code == 0
        change(cars, "processes: 1 ", "processes: 2 ")
        assert cars("check", "--json").json["differs"] == []
        change(cars, "target: laptop ", "target: kubernetes ")
        differs = cars("check", "--json").json["differs"]
        assert differs == [{"key": "deployment.target", "planned": "kubernetes", "found": "laptop"}]
        assert cars("run").code == 4
        (release,) = cars("release", "ls", "--json").json
        assert cars("release", "tick", release["id"], "--note", "looked at the rows").code == 0
        assert cars("release", "approve", release["id"], "--as", "reviewer").code == 0
        assert "cars is deployed otherwise: deployment.target is laptop" in cars("status").out
        assert cars("status", "--json").json["differs"] == {"cars": differs}
        assert about["url"].startswith("http://127.0.0.1")
    assert cars("check", "--json").json["differs"] == []  # nothing is up: nothing to compare


class Unprivileged(Shell):
    """Commands without the rights of root, so that permissions hold for them as for anybody."""

    def command(self, *arguments: str) -> list[str]:
        """The argument vector of one command."""
        drop = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--ambient-caps", "-all"]
        return [*(drop if os.getuid() == 0 else []), *super().command(*arguments)]


@pytest.mark.slow
def test_a_server_writes_nothing_beside_its_home_and_its_health_is_checked(cars: Shell) -> None:
    """As in the image: a project that cannot be changed, and one folder of its own."""
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, to give up the rights of root")
    image = (cars.folder / "deploy/Dockerfile").read_text()
    check: list[str] = json.loads(image[image.index('CMD ["python"') + 4 :].splitlines()[0])
    bare = Unprivileged(home=cars.home, folder=cars.folder)
    subprocess.run(["chmod", "-R", "a-w", str(cars.folder)], check=True)
    before = sorted(cars.folder.rglob("*"))
    bare.environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    try:
        with served(bare, "--host", "0.0.0.0") as about:
            port = about["url"].rpartition(":")[2]
            asked = [sys.executable, *(part.replace(":8000", f":{port}") for part in check[1:])]
            assert subprocess.run(asked, check=False).returncode == 0
            assert bare("run").code == 4
            assert "deployment.target is server, planned laptop" in bare("check").out
        assert subprocess.run(asked, check=False, capture_output=True).returncode != 0
        assert sorted(cars.folder.rglob("*")) == before
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(cars.folder)], check=True)
