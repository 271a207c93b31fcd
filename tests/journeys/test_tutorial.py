"""The tutorial and the how-to pages are followed to the letter, so that they stay true."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.journeys.pages import Reader, blocks_of, says
from tests.warm import typed

pytestmark = pytest.mark.journey
PAGES = {
    "first reader": (
        "add-an-identity-and-approve",
        "deviate-from-a-rule",
        "rebuild-a-model-version",
        "replay-traffic",
        "set-rules-for-all-projects",
    ),
    "second reader": (
        "embed-a-model",
        "keep-a-promise-to-a-consumer",
        "read-the-record-with-sql",
        "retrain-automatically",
        "roll-back",
        "score-a-table",
        "write-a-trainer",
    ),
}
"""Pages that go on from the tutorial: each reader is a process, which follows it once."""
FIRST_READER = pytest.mark.xdist_group("first reader")
DOCS = Path(__file__).resolve().parents[2] / "docs"
POSTGRES = "postgresql://headrace@127.0.0.1/headrace"


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    """What a reader's shell knows: an empty home, and the name that the pages use."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    path = f"{typed(home.parent / 'bin')}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "HEADRACE_HOME": str(home), "HEADRACE_USER": "ann"}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody new."""
    folder = tmp_path / "work"
    folder.mkdir()
    with Reader(folder, environment(tmp_path / "home"), free_port()) as follower:
        yield follower


class Finished(NamedTuple):
    """Where the tutorial was followed, and a copy of how it looked at its end."""

    place: Path
    copy: Path
    n_run: int

    @contextmanager
    def read_on(self, folder: str, grpc_port: int | None = None) -> Iterator[Reader]:
        """Somebody who has just finished the tutorial, with the server up, in this folder."""
        shutil.rmtree(self.place)
        shutil.copytree(self.copy, self.place)  # in its old place: a home knows its projects' folders
        home = environment(self.place / "home")
        with Reader(self.place / folder, home, free_port(), grpc_port) as follower:
            follower.serve()
            yield follower


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tutorial, followed from its first line to its last."""
    base = tmp_path_factory.mktemp("tutorial")
    place = base / "place"
    (place / "work").mkdir(parents=True)
    with Reader(place / "work", environment(place / "home"), free_port()) as follower:
        n_run = follower.follow(DOCS / "tutorial" / "first-model.md")
    shutil.copytree(place, base / "copy")
    return Finished(place, base / "copy", n_run)


@FIRST_READER
def test_the_tutorial_does_what_it_says(finished: Finished) -> None:
    assert finished.n_run >= 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.xdist_group(reader))
        for reader, pages in PAGES.items()
        for page in pages
    ],
)
def test_a_how_to_page_goes_on_from_there(finished: Finished, page: str) -> None:
    with finished.read_on("work/deliveries") as follower:
        assert follower.follow(DOCS / "how-to" / f"{page}.md") >= 1


@FIRST_READER
@pytest.mark.slow
@pytest.mark.requirement("DEP-07", "DEP-08")
def test_the_page_on_calling_models_does_what_it_says(finished: Finished) -> None:
    with finished.read_on("work/deliveries", grpc_port=free_port()) as follower:
        assert follower.follow(DOCS / "how-to" / "call-a-model.md") >= 8


@pytest.mark.usefixtures("cold")  # by what is installed
def test_the_page_on_services_does_what_it_says(reader: Reader) -> None:
    reader.serve()
    assert reader.follow(DOCS / "how-to" / "connect-a-service.md") >= 5


@pytest.mark.parametrize("page", ["change-the-policy", "get-rights-for-an-hour", "keep-proof-of-the-log"])
def test_a_page_on_rights_does_what_it_says(reader: Reader, page: str) -> None:
    assert reader.follow(DOCS / "how-to" / f"{page}.md") >= 4


@pytest.mark.slow
def test_the_page_on_suspicions_does_what_it_says(reader: Reader) -> None:
    assert reader.follow(DOCS / "how-to" / "look-into-something-suspicious.md") >= 6


@pytest.mark.slow
def test_the_page_on_forecasts_does_what_it_says(reader: Reader, tmp_path: Path) -> None:
    add_bob = [sys.executable, "-m", "headrace", "access", "user", "add", "bob", "--role", "validator"]
    subprocess.run(add_bob, env=environment(tmp_path / "home"), check=True)
    reader.serve()
    assert reader.follow(DOCS / "how-to" / "forecast.md") >= 1


@pytest.mark.slow
def test_the_page_on_postgres_does_what_it_says(tmp_path: Path, postgres_url: str) -> None:
    page = tmp_path / "run-on-postgres.md"
    text = (DOCS / "how-to" / page.name).read_text(encoding="utf-8")
    assert POSTGRES in text
    page.write_text(text.replace(POSTGRES, postgres_url), encoding="utf-8")
    table = next(b for b in blocks_of(DOCS / "tutorial" / "first-model.md") if b.language == "python")
    (tmp_path / "make_table.py").write_text(table.text, encoding="utf-8")
    with Reader(tmp_path, environment(tmp_path / "home"), free_port()) as follower:
        assert follower.follow(page) >= 2


def test_blocks_are_found_with_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```bash\necho 1\n```\n\n```text\n1\n```\n", encoding="utf-8")
    assert [(b.language, b.text, b.line) for b in blocks_of(page)] == [
        ("bash", "echo 1\n", 3), ("text", "1\n", 7),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "printed", "same"),
    [
        ("mae 2.35, 3 rows", "mae 2.36,  3 rows\n", True),
        ("mae 2.35, 3 rows", "mae 2.36, 4 rows\n", False),
        ("mae 2.35", "mae 2.85", False),
        ("[-3.1e-07, 0.2]", "[-2.9e-07, 0.2]", True),
        (
            "is 0b0e1e2f-aaaa-8b1b-9999-123456789012 (live)",
            "is ffffffff-bbbb-8b1b-9999-123456789012 (live)",
            True,
        ),
        ("at 127.0.0.1:8000", "at 127.0.0.2:8000", False),
        ("first\n...\nlast", "first\nsecond\nthird\nlast", True),
        ("first\n...\nlast", "first\nsecond", False),
    ],
)
def test_only_what_may_differ_differs(wanted: str, printed: str, same: bool) -> None:
    assert says(wanted, printed) is same


def test_a_page_that_lies_is_found(reader: Reader, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\necho one; cd ..\n```\n\n```text\none\n```\n", encoding="utf-8")
    assert reader.follow(page) == 1
    page.write_text("```bash\necho one\n```\n\n```text\ntwo\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="page.md:5 says"):
        reader.follow(page)
    page.write_text("```bash\nfalse\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="page.md:1 ended with 1"):
        reader.follow(page)


def test_a_program_that_is_typed_is_told_and_tells_what_happens(tmp_path: Path) -> None:
    environ = environment(tmp_path / "home")
    wrong = subprocess.run(["headrace", "wrong"], env=environ, capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'wrong'" in wrong.stderr
    up = ["headrace", "up", "--json", "--port", str(free_port())]
    with subprocess.Popen(up, env=environ, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("{")
        server.terminate()
        assert server.stdout.read() == "", "the server itself has ended"
        assert server.wait(30) == -signal.SIGTERM
