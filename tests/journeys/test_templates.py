"""An expert's template: authored from a finished project, published, taken up by projects that exist."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.journeys.conftest import Shell
from tests.journeys.tables import write_cars

pytestmark = pytest.mark.journey
pytest.importorskip("copier", reason="needs Copier: pip install 'headrace[scaffold]'")


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def commit(folder: Path) -> None:
    """A template is what is committed."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "as it is")


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture
def vans(cars: Shell) -> Shell:
    """A project that was made from version 1 of the template that ``cars`` became."""
    commit(cars.folder)
    made = cars("project", "to-template", "../template")
    assert made.code == 0, made.err
    cars.folder = cars.folder.parent
    table = write_cars(cars.folder / "vans.csv")
    given = ["--data", str(table), "--target", "price", "--key", "car_id", "--template", "template"]
    assert cars("init", "vans", *given).code == 0
    cars.folder = cars.folder / "vans"
    return cars


def publish(vans: Shell, old: str, new: str) -> str:
    """Change the first project's code and publish it as the template's next version."""
    first = Shell(home=vans.home, folder=vans.folder.parent / "cars")
    edit(first.folder / "project.py", old, new)
    commit(first.folder)
    version: str = first("project", "to-template", "../template", "--json").json["version"]
    return version


@pytest.mark.slow
@pytest.mark.requirement("TPL-05")
@pytest.mark.requirement("TPL-12")
def test_a_template_is_authored_published_and_taken_up_with_and_without_a_conflict(vans: Shell) -> None:
    assert "trainer: lightgbm" not in (vans.folder / "headrace.yaml").read_text()  # as in the first project
    assert vans("check").code == 0
    assert vans("run").code == 4  # the next project is a whole one
    code, charter = vans.folder / "project.py", vans.folder / "headrace.yaml"

    edit(charter, "retention_days: 365", "retention_days: 30")
    asked = vans("project", "upgrade")
    assert asked.code == 2
    assert "Not committed yet: headrace.yaml" in asked.err
    git(vans.folder, "commit", "-qam", "Kept for a month")
    assert "Nothing to take over: the template is at v1" in vans("project", "upgrade").out

    assert publish(vans, "alpha: float = 1.0", "alpha: float = 3.0") == "v2"
    upgraded = vans("project", "upgrade", "--json").json
    assert (upgraded["before"], upgraded["after"], upgraded["conflicts"]) == ("v1", "v2", {})
    assert "alpha: float = 3.0" in code.read_text()
    assert "retention_days: 30" in charter.read_text()
    assert git(vans.folder, "log", "-1", "--format=%s") == "Template v1 to v2\n"
    assert git(vans.folder, "status", "--porcelain") == ""

    edit(code, "alpha: float = 3.0", "alpha: float = 5.0")
    git(vans.folder, "commit", "-qam", "Shrunk more")
    head, mine = git(vans.folder, "rev-parse", "HEAD"), code.read_text()
    assert publish(vans, "alpha: float = 3.0", "alpha: float = 4.0") == "v3"
    shown = vans("project", "upgrade")
    assert shown.code == 2
    assert "alpha: float = 5.0" in shown.out
    assert "alpha: float = 4.0" in shown.out
    assert "both changed project.py. Nothing was taken over" in shown.err
    assert (code.read_text(), git(vans.folder, "rev-parse", "HEAD")) == (mine, head)
    assert git(vans.folder, "status", "--porcelain") == ""

    assert "Settle what is between the marks" in vans("project", "upgrade", "--mark").err
    assert "<<<<<<<" in code.read_text()
    assert git(vans.folder, "rev-parse", "HEAD") == head
    code.write_text(mine)
    git(vans.folder, "commit", "-qam", "Template v3, with our own alpha")
    assert "Nothing to take over: the template is at v3" in vans("project", "upgrade").out
    assert git(vans.folder, "worktree", "list").count("\n") == 1


@pytest.mark.slow
def test_an_upgrade_that_is_killed_loses_nothing(vans: Shell) -> None:
    code = vans.folder / "project.py"
    code.write_text(code.read_text() + "# mine\n")
    git(vans.folder, "commit", "-qam", "Mine")
    publish(vans, "alpha: float = 1.0", "alpha: float = 3.0")
    before, head = code.read_text(), git(vans.folder, "rev-parse", "HEAD")
    started = time.monotonic()
    scratch = Shell(home=vans.home, folder=vans.folder.parent / "scratch")
    git(vans.folder.parent, "clone", "-q", "vans", "scratch")
    assert scratch("project", "upgrade").code == 0
    took_s = time.monotonic() - started
    killed = 0
    for share in (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        process = vans.start(["project", "upgrade"])
        time.sleep(share * took_s)
        killed += process.poll() is None
        process.kill()
        process.communicate(timeout=30)
        now = git(vans.folder, "rev-parse", "HEAD")
        assert git(vans.folder, "show", f"{head.strip()}:project.py") == before
        if now != head:
            break
        assert code.read_text() == before
        assert git(vans.folder, "status", "--porcelain") == ""
    assert killed > 0
    ended = vans("project", "upgrade")
    assert ended.code == 0, ended.err
    assert code.read_text() == before.replace("alpha: float = 1.0", "alpha: float = 3.0")
    assert git(vans.folder, "worktree", "list").count("\n") == 1
