"""A project's own tests, run in a real process: what passes, fails, hangs, dies, forks or floods."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.core.clock import SystemClock
from headrace.training.lock import pack_code
from headrace.training.own_tests import TestsRun, run_own_tests

Run = Callable[..., TestsRun | None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # What is installed for our own tests takes seconds to load.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    folder = tmp_path / "project"
    (folder / "tests").mkdir(parents=True)
    (folder / "project.py").write_text("RATE = 3\n")
    return folder


@pytest.fixture
def run(project: Path, tmp_path: Path) -> Run:
    def run(text: str, timeout_s: float = 60.0) -> TestsRun | None:
        (project / "tests" / "test_it.py").write_text(text)
        return _run(project, tmp_path, timeout_s)

    return run


def _run(project: Path, tmp_path: Path, timeout_s: float = 60.0) -> TestsRun | None:
    scratch = tmp_path / "scratch"
    found = run_own_tests(pack_code(project), project, scratch, SystemClock(), timeout_s=timeout_s)
    assert not scratch.exists()
    return found


@pytest.mark.requirement("UI-07")
def test_each_test_is_reported_and_sees_the_code_and_the_data(project: Path, run: Run) -> None:
    (project / "data").mkdir()
    (project / "data" / "cars.csv").write_text("price\n9000\n")
    (project / ".env").write_text("TOKEN=secret\n")
    found = run(
        "import os\nfrom pathlib import Path\nimport pytest\nimport project\n"
        "FOLDER = Path(__file__).resolve().parents[1]\n"
        "def test_code(): assert project.RATE == 3\n"
        "def test_data(): assert '9000' in (FOLDER / 'data/cars.csv').read_text()\n"
        "def test_wrong():\n    assert project.RATE == 4\n"
        "@pytest.mark.skip(reason='later')\ndef test_later(): pass\n"
        "@pytest.fixture\ndef torn():\n    yield\n    raise OSError('left behind')\n"
        "def test_torn(torn): pass\n"
        "def test_secrets(): assert not (FOLDER / '.env').exists()\n"
        "def test_settings(tmp_path):\n"
        "    assert 'scratch/home' in os.environ['HEADRACE_HOME']\n"
        "    assert 'scratch' in str(tmp_path)\n"
    )
    assert found is not None
    assert (found.ended, found.running, found.how) == ("finished", None, "")
    outcomes = {one.name.partition("::")[2]: one.outcome for one in found.results}
    assert outcomes == {
        "test_code": "passed", "test_data": "passed", "test_wrong": "failed", "test_later": "skipped",
        "test_torn": "failed", "test_secrets": "passed", "test_settings": "passed",
    }  # fmt: skip
    why = {one.name.partition("::")[2]: one.why for one in found.of("failed")}
    assert "assert 3 == 4" in why["test_wrong"]
    assert "OSError: left behind" in why["test_torn"]
    assert 0 < sum(one.duration_s for one in found.results) < found.duration_s


def test_they_run_on_the_archived_code(project: Path, tmp_path: Path) -> None:
    (project / "tests" / "test_it.py").write_text(
        "def test_it():\n    import project\n    assert project.RATE == 3\n"
        "def test_later():\n    import pytest\n    with pytest.raises(ImportError): import later\n"
    )
    code = pack_code(project)
    (project / "project.py").write_text("RATE = 4\n")
    (project / "later.py").write_text("")
    (project / "tests" / "test_more.py").write_text("def test_more(): assert False\n")
    found = run_own_tests(code, project, tmp_path / "scratch", SystemClock(), timeout_s=60.0)
    assert found is not None
    assert [one.outcome for one in found.results] == ["passed", "passed"]


def test_without_tests_nothing_is_started(project: Path, tmp_path: Path) -> None:
    (project / "tests" / "rows.csv").write_text("a\n1\n")
    (project / "test_elsewhere.py").write_text("")
    assert _run(project, tmp_path) is None


def test_what_hangs_is_named_and_ended_with_all_it_started(run: Run, tmp_path: Path) -> None:
    started = tmp_path / "started"
    found = run(
        "import subprocess, sys, time\n"
        "def test_fine(): pass\n"
        "def test_hangs():\n"
        "    away = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True)\n"
        f"    open({str(started)!r}, 'w').write(str(away.pid))\n"
        "    time.sleep(600)\n",
        timeout_s=6.0,
    )
    assert found is not None
    assert (found.ended, found.running) == ("timed_out", "tests/test_it.py::test_hangs")
    assert [one.outcome for one in found.results] == ["passed"]
    assert _is_gone(int(started.read_text())), "also what left the group"


def test_what_is_left_in_the_background_is_ended(run: Run, tmp_path: Path) -> None:
    started = tmp_path / "started"
    found = run(
        "import os, subprocess, sys, time\n"
        "def test_leaves_a_daemon():\n"
        "    away = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True)\n"
        f"    open({str(started)!r}, 'w').write(str(away.pid))\n"
        "def test_forks():\n"
        "    if os.fork() == 0: assert False, 'in the child, which goes on as we do'\n"
    )
    assert found is not None
    assert [one.outcome for one in found.results] == ["passed", "passed"], "the fork reports nothing"
    assert _is_gone(int(started.read_text()))


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("import os; os._exit(0)", "exit code 0"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("import pytest; pytest.exit('enough', returncode=0)", "exit code 0"),
        ("raise KeyboardInterrupt", "exit code 2"),
    ],
)
def test_a_test_that_ends_the_process_does_not_pass_for_the_others(run: Run, body: str, how: str) -> None:
    found = run(f"def test_a(): pass\ndef test_b():\n    {body}\ndef test_c(): assert False\n")
    assert found is not None
    assert (found.ended, found.running, found.how) == ("died", "tests/test_it.py::test_b", how)


def test_what_was_killed_was_not_measured(run: Run) -> None:
    found = run("import os\ndef test_big(): os.kill(os.getpid(), 9)\n")
    assert found is not None
    assert (found.ended, found.running) == ("killed", "tests/test_it.py::test_big")


def test_output_without_end_is_bounded(run: Run) -> None:
    found = run(
        "import os\ndef test_floods():\n    while True: os.write(1, b'x' * 1_000_000)\n"
        "def test_fine(): pass\n"
    )
    assert found is not None
    assert [one.outcome for one in found.results] == ["failed", "passed"]
    assert "File too large" in found.results[0].why


def test_a_file_that_cannot_be_imported_is_a_failure(run: Run) -> None:
    found = run("import no_such_module\n")
    assert found is not None
    (one,) = found.results
    assert (found.ended, one.outcome, one.name) == ("finished", "failed", "tests/test_it.py")
    assert "No module named 'no_such_module'" in one.why


def test_the_projects_own_configuration_holds_and_none_further_up(project: Path, run: Run) -> None:
    (project.parent / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    text = "import pytest\n@pytest.mark.slow\ndef test_slow(): pass\ndef test_quick(): pass\n"
    found = run(text)
    assert found is not None
    assert len(found.of("passed")) == 2
    (project / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "-m \'not slow\'"\nmarkers = ["slow"]\n'
    )
    found = run(text)
    assert found is not None
    assert [one.name for one in found.results] == ["tests/test_it.py::test_quick"]
    (project / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--no-such-option'\n")
    found = run(text)
    assert found is not None
    assert (found.ended, found.results) == ("broken", ())
    assert "--no-such-option" in found.how


@pytest.mark.parametrize("name", ["pytest.ini", "pytest.toml", "tox.ini", "setup.cfg"])
def test_a_configuration_that_is_not_archived_steers_nothing(project: Path, run: Run, name: str) -> None:
    section = {"setup.cfg": "[tool:pytest]", "pytest.toml": "[pytest]"}.get(name, "[pytest]")
    value = '["-k", "fine"]' if name == "pytest.toml" else "-k fine"
    (project / name).write_text(f"{section}\naddopts = {value}\n")
    found = run("def test_fine(): pass\ndef test_wrong(): assert False\n")
    assert found is not None
    assert [one.outcome for one in found.results] == ["passed", "failed"]


def test_a_failure_that_is_hidden_from_the_report_is_one(project: Path, run: Run) -> None:
    (project / "tests" / "conftest.py").write_text(
        "import pytest\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_sessionfinish(session): session.exitstatus = 1\n"
    )
    found = run("def test_fine(): pass\n")
    assert found is not None
    assert found.ended == "died"
    assert "exit code 1" in found.how


def _is_gone(pid: int) -> bool:
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 5
    while clock.monotonic_s() < deadline_s:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        clock.sleep(0.02)
    return False
