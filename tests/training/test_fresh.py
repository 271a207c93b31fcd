from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.core.clock import SystemClock
from headrace.core.errors import InvalidInput, NotFound
from headrace.training.fresh import differences_in, make_environment
from headrace.training.launch import run_tied
from headrace.training.lock import ENVIRONMENT, environment_lock
from headrace.training.rebuild import rebuild_run
from tests.training.building import home
from tests.training.conftest import Trained
from tests.training.test_launch import gone


def wheel(folder: Path, name: str, version: str, files: Mapping[str, str]) -> None:
    """Write a package as pip takes it."""
    info = f"{name}-{version}.dist-info"
    contents = dict(files) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, which is all that pip knows of."""
    folder = tmp_path / "wheels"
    wheel(folder, "alpha", "1.0", {"alpha.py": "VERSION = '1.0'\n"})
    wheel(folder, "alpha", "2.0", {"alpha.py": "VERSION = '2.0'\n"})
    # Whoever needs numpy and the like finds those that run this test.
    present = [path for path in sys.path if path.endswith("site-packages")]
    wheel(folder, "beside", "1.0", {"beside.pth": "\n".join(present) + "\n"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return folder


@pytest.fixture
def lock(tmp_path: Path) -> dict[str, Any]:
    """The lock of an environment with two packages and Headrace."""
    artifacts = home(tmp_path / "home").artifacts
    present: dict[str, Any] = json.loads(artifacts.get(environment_lock(artifacts).digest))
    return present | {"packages": {"alpha": "1.0", "headrace": present["packages"]["headrace"]}}


def data_of(lock: Mapping[str, Any]) -> bytes:
    return json.dumps(lock).encode()


@pytest.mark.requirement("REG-06")
def test_an_environment_holds_what_its_lock_lists_and_nothing_else(
    index: Path, lock: dict[str, Any], tmp_path: Path
) -> None:
    python = make_environment(data_of(lock), tmp_path / "made")
    asked = (
        "import alpha, headrace, json, importlib.metadata as m;"
        "print(json.dumps([alpha.VERSION, headrace.__file__, sorted(d.name for d in m.distributions())]))"
    )
    done = subprocess.run([python, "-I", "-c", asked], capture_output=True, text=True, check=True)
    version, ours, names = json.loads(done.stdout)
    assert version == "1.0"
    assert names == ["alpha", "headrace"]
    assert Path(ours).resolve() == Path(headrace.__file__).resolve()


@pytest.mark.requirement("REG-06")
def test_a_package_that_is_gone_is_named_with_what_there_is(
    index: Path, lock: dict[str, Any], tmp_path: Path
) -> None:
    lock["packages"]["alpha"] = "1.5"
    with pytest.raises(NotFound, match=r"lists alpha==1\.5, which .* does not offer \(it has 1\.0, 2\.0\)"):
        make_environment(data_of(lock), tmp_path / "other-version")
    lock["packages"] = {"vanished": "3.0"}
    with pytest.raises(NotFound, match=r"lists vanished==3\.0, .* no version of it.*--here"):
        make_environment(data_of(lock), tmp_path / "no-version")


@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("python", "3.2.1", r"Python 3\.2\.1 .*no python3\.2 on PATH is that one.*--here"),
        ("machine", "pdp11", r"made on Linux pdp11, and this is Linux"),
    ],
)
def test_what_this_machine_cannot_be_is_said(
    index: Path, lock: dict[str, Any], tmp_path: Path, what: str, value: str, said: str
) -> None:
    with pytest.raises((InvalidInput, NotFound), match=said):
        make_environment(data_of(lock | {what: value}), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_what_stops_the_installer_is_passed_on(index: Path, lock: dict[str, Any], tmp_path: Path) -> None:
    (index / "alpha-1.0-py3-none-any.whl").write_bytes(b"no archive")
    with pytest.raises(InvalidInput, match=r"install what the lock lists \(exit code \d\): .*alpha"):
        make_environment(data_of(lock), tmp_path / "made")


@pytest.mark.slow
@pytest.mark.requirement("REG-06", "TRN-02")
def test_a_run_is_made_again_in_an_environment_of_its_own(
    trained: dict[str, Trained], index: Path, lock: dict[str, Any], tmp_path: Path
) -> None:
    store, _, _, _, runs = trained["numbers"]
    lock["packages"]["beside"] = "1.0"
    run = replace(runs["linear"], environment=store.artifacts.put(data_of(lock), ENVIRONMENT))
    said: list[str] = []
    result = rebuild_run(run, store, tmp_path / "scratch", told=said.append)
    assert result.environment == "fresh"
    assert result.proved_by == "digest"
    # It looked into its own environment: alpha is only there, and numpy came from beside.
    assert not any(line.startswith("alpha") for line in result.differences)
    assert any(line.startswith("numpy: absent then") for line in result.differences)
    assert [line.split()[0] for line in said] == ["Installing", "Training"]
    assert not list((tmp_path / "scratch").iterdir())
    here = rebuild_run(run, store, tmp_path / "scratch", environment="present")
    assert here.environment == "present"
    assert any(line.startswith("alpha: 1.0 then, absent now") for line in here.differences)


def test_an_installation_ends_with_whoever_asked(tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = (
        "import sys; from pathlib import Path; from headrace.training.launch import run_tied;"
        'child = \'import os, sys, time; open(sys.argv[1] + ".new", "w").write(str(os.getpid()));'
        'os.rename(sys.argv[1] + ".new", sys.argv[1]); time.sleep(60)\';'
        "run_tied([sys.executable, '-c', child, sys.argv[1]], Path(sys.argv[1] + '.log'), timeout_s=60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(started)])
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 30
    while not started.exists():
        assert clock.monotonic_s() < deadline_s, "the command did not start"
        clock.sleep(0.02)
    parent.kill()
    parent.wait()
    gone(int(started.read_text()))


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert run_tied(sleeping, tmp_path / "log", timeout_s=1.0) is None
    assert run_tied([sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "log", timeout_s=60.0) == 7


def test_the_environment_in_use_is_asked_directly(lock: dict[str, Any]) -> None:
    assert "alpha: 1.0 then, absent now" in differences_in(Path(sys.executable), data_of(lock))
