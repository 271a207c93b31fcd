"""One release goes from dev to prod as it is: two installations, each with its keys, people and database."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journeys.conftest import Shell, with_cars

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.xdist_group("promotion")]


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation where a release was trained and approved, and is live; built once, never changed."""
    folder = tmp_path_factory.mktemp("dev")
    (folder / "work").mkdir()
    shell = with_cars(Shell(home=folder / "home", folder=folder / "work"))
    assert shell("run").code == 4
    _approve(shell, "reviewer")
    return shell


@pytest.fixture(scope="module")
def bundle(dev: Shell) -> Path:
    """What is live in dev, as a file."""
    file = dev.folder / "cars.headrace"
    exported = dev("release", "export", "cars", "--to", str(file), "--json")
    assert exported.code == 0, exported.err
    return file


@pytest.fixture
def prod(dev: Shell, tmp_path: Path) -> Shell:
    """Another installation, which nobody has used, and nothing of the project's folder."""
    folder = tmp_path / "prod"
    folder.mkdir()
    return replace(dev, home=tmp_path / "home", folder=folder, environment={"HEADRACE_USER": "olga"})


def _release(shell: Shell) -> dict[str, object]:
    found: list[dict[str, object]] = shell("release", "ls", "cars", "--json").json
    return found[0]


def _approve(shell: Shell, name: str) -> None:
    ended = shell("release", "approve", str(_release(shell)["id"]), "--tick", "all of it", "--as", name)
    assert ended.code == 0, ended.err


def _trust(dev: Shell, prod: Shell) -> None:
    key = prod.folder / "dev.pem"
    key.write_text(dev("release", "keys", "show").out)
    assert prod("release", "keys", "trust", str(key), "--note", "dev, by hand").code == 0


def _answers(shell: Shell, table: Path, to: Path) -> list[tuple[str, str]]:
    """The key of each row, and what was answered to it."""
    ended = shell("serve", "batch", "cars", str(table), "--to", str(to))
    assert ended.code == 0, ended.err
    with to.open(newline="") as file:
        return [(row["car_id"], row["predict"]) for row in csv.DictReader(file)]


@pytest.mark.requirement("REG-04", "REG-06")
def test_what_was_proved_in_dev_answers_in_prod(dev: Shell, prod: Shell, bundle: Path) -> None:
    assert prod("access", "user", "add", "vera", "--role", "validator").code == 0
    both = ("--role", "developer", "--role", "validator")
    assert prod("access", "user", "add", "wim", *both).code == 0
    refused = prod("release", "import", str(bundle))
    assert refused.code == 2
    assert "headrace release keys trust" in refused.err
    assert prod("release", "ls", "--json").json == []
    assert prod("project", "ls", "--json").json == []

    _trust(dev, prod)
    brought = prod("release", "import", str(bundle), "--json", "--as", "wim")
    assert brought.code == 4, brought.err
    report, there = brought.json, _release(dev)
    release = report["release"]
    assert (release["id"], release["digest"]) == (there["id"], there["digest"])
    assert release["manifest"] == there["manifest"]
    assert release["state"] == "waiting"
    assert release["signature"] != there["signature"]
    gates = {one["gate"]: one for one in report["verdicts"]}
    came = gates["promoted"]["evidence"]
    assert came["from"]["digest"] == there["digest"]
    assert came["from"]["brought by"] == "wim"
    assert {"data", "model", "package"} <= {one["gate"] for one in came["gates there"]}
    assert [one["by"] for one in came["approvals there"]] == ["reviewer"]
    assert {"champion", "package", "flight_check", "compliance", "contract"} <= set(gates)
    # Nothing was trained here: the only runs are those that came.
    assert {one["id"] for one in prod("model", "runs", "cars", "--json").json} <= {
        one["id"] for one in dev("model", "runs", "cars", "--json").json
    }

    own = prod("release", "approve", str(release["id"]), "--as", "wim")
    assert own.code == 2
    assert "'wim' brought release" in own.err
    _approve(prod, "vera")
    assert _release(prod)["state"] == "live"
    table = dev.folder.parent / "cars.csv"
    before = _answers(dev, table, dev.folder / "there.csv")
    assert len(before) == 300
    assert _answers(prod, table, prod.folder / "here.csv") == before
    assert prod("release", "verify", str(release["id"])).code == 0
    again = prod("model", "rebuild", "cars@1", "--json")
    assert again.code == 0, again.err
    assert again.json["proved_by"] == "digest"
    assert prod("release", "import", str(bundle), "--json").json["release"]["state"] == "live"
    shown = prod("release", "show", str(release["id"]))
    assert "live where it comes from" in shown.out


@pytest.mark.requirement("REG-04")
def test_an_import_that_is_killed_anywhere_leaves_nothing_half_and_is_completed(
    dev: Shell, prod: Shell, bundle: Path
) -> None:
    _trust(dev, prod)
    script = str(Path(__file__).with_name("killed_import.py"))
    for moment, n_releases in (("parts", 0), ("records", 0), ("started", 1)):
        command = [sys.executable, script, moment, "release", "import", str(bundle)]
        killed = subprocess.run(command, cwd=prod.folder, env=prod.env(), capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert len(prod("release", "ls", "cars", "--json").json) == n_releases, moment
        assert len(prod("model", "ls", "cars", "--json").json) == n_releases, moment
    again = prod("release", "import", str(bundle))
    assert again.code == 4, again.err
    assert _release(prod)["digest"] == _release(dev)["digest"]
    assert not list((prod.home / "scratch").glob("bundle-*"))


@pytest.mark.requirement("REG-04")
def test_a_bundle_that_was_changed_or_cut_is_refused_and_nothing_is_kept(
    dev: Shell, prod: Shell, bundle: Path
) -> None:
    _trust(dev, prod)
    whole = bundle.read_bytes()
    middle = len(whole) // 2
    tampered = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    index = whole.replace(b'"risk":"medium"', b'"risk":"low"   ', 1)
    for name, content in (("tampered", tampered), ("index", index), ("cut", whole[:-1000])):
        file = prod.folder / name
        file.write_bytes(content)
        refused = prod("release", "import", str(file))
        assert refused.code == 2, (name, refused.err)
        assert "bundle" in refused.err
    assert prod("release", "ls", "--json").json == []
    assert prod("project", "ls", "--json").json == []
    entries = prod("audit", "ls", "--json").json
    assert sum(one["action"] == "bundle.refused" for one in entries) == 3
