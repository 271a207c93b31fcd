from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.bans import BANS, Ban, banned, late_types
from tests.architecture.source import Source, expect_none, python_files, read

SLEEP = (Ban(("time.sleep",), (), "Wait for the event, or use FakeClock: unit tests do not sleep"),)


def _snippet(root: Path, text: str, room: str = "data/rows.py") -> Source:
    path = root / "src/headrace" / room
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return read(path, root)


def test_banned_calls_stay_in_their_home() -> None:
    expect_none([problem for source in python_files("src") for problem in banned(source)])


def test_unit_tests_do_not_sleep() -> None:
    units = [source for source in python_files("tests") if not source.name.startswith("tests/journeys/")]
    expect_none([problem for source in units for problem in banned(source, SLEEP)])


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)\n",
        "import time as t\nt.perf_counter()\n",
        "from time import sleep\n",
        "from datetime import datetime\ndatetime.now()\n",
        "import datetime as dt\nclock = dt.datetime.utcnow\n",
        "from datetime import date\ndate.today()\n",
        "import uuid\nuuid.uuid4()\n",
        "import os\nos.environ['HOME']\n",
        "from os import getenv\n",
        "print('hello')\n",
        "def f():\n    import requests\n",
        "from urllib.request import urlopen\n",
        "import sqlite3\n",
        "import pickle\n",
        "from joblib import load\n",
        "hash('a')\n",
        "from sqlalchemy.orm import Session\n",
        "import cedarpy\n",
        "from mlflow.tracking import MlflowClient\n",
        "import dbos\n",
        "import typer\n",
        "import msgspec\nmsgspec.convert({}, Row)\n",
        "from starlette.requests import Request\n",
    ],
)
def test_each_wrong_way_is_found_and_the_right_one_named(tmp_path: Path, text: str) -> None:
    problems = banned(_snippet(tmp_path, text))
    assert problems
    assert any(ban.instead in problems[0] for ban in BANS)


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("core/clock.py", "import time\ntime.sleep(1)\n"),
        ("cli/release.py", "import typer\nprint('done')\n"),
        ("store/_sql/runs.py", "import sqlite3\nfrom sqlalchemy import select\n"),
        ("data/rows.py", "def f(clock, input):\n    clock.sleep(1)\n    console.print(input)\n"),
        ("data/rows.py", "from datetime import UTC, datetime\ndatetime(2026, 1, 2, tzinfo=UTC)\n"),
        ("data/rows.py", "import os\nos.fsync(1)\n"),
    ],
)
def test_the_home_and_the_right_way_are_allowed(tmp_path: Path, room: str, text: str) -> None:
    assert banned(_snippet(tmp_path, text, room)) == []


def test_the_message_names_file_line_name_and_home(tmp_path: Path) -> None:
    (problem,) = banned(_snippet(tmp_path, "import os\n\nos.environ.get('A')\n"))
    assert problem.startswith("src/headrace/data/rows.py:3 uses os.environ")
    assert problem.endswith("Its home is core/settings.py, plugins/*.")


def test_how_a_type_is_read_is_worked_out_before_there_are_threads() -> None:
    expect_none([problem for source in python_files("src") for problem in late_types(source)])


@pytest.mark.parametrize(("kind", "n_found"), [("Row", 1), ("list[rows.Row]", 1), ("dict[str, Any]", 0)])
def test_a_decoding_to_a_type_of_ours_is_found(tmp_path: Path, kind: str, n_found: int) -> None:
    text = f"def read(data):\n    return msgspec.json.decode(data, type={kind})\n"
    assert len(late_types(_snippet(tmp_path, text))) == n_found
