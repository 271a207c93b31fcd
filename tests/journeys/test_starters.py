"""A starter project runs from the first command to an answer, with nothing changed in it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from tests.journeys.conftest import Shell
from tests.journeys.server import client_of, serving

pytestmark = [pytest.mark.journey, pytest.mark.slow]
#: Starter to the variant that has to be the best, and what it is asked.
STARTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "forecast": ("lightgbm", {"day": "2025-06-20"}),
    "xgboost": ("xgboost", {"kind": "books", "price": 20.0, "days_to_deliver": 2, "is_gift": False}),
}


@pytest.mark.requirement("TPL-06")
@pytest.mark.parametrize("name", STARTERS)
def test_a_starter_goes_live_as_it_was_made(shell: Shell, name: str) -> None:
    best, record = STARTERS[name]
    if find_spec(best) is None:
        pytest.skip(f"needs {best}")
    made = shell("init", "begun", "--starter", name)
    assert made.code == 0, made.err
    shell.folder = shell.folder / "begun"
    assert shell("check").code == 0
    ran = shell("run", "--json")
    assert ran.code == 4, ran.err
    assert ran.json["release"]["manifest"]["params"]["variant"] == best
    pins = (shell.folder / "requirements.txt").read_text()
    assert ("xgboost-cpu==" in pins) == (name == "xgboost")
    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == 0
    approved = shell(
        "release",
        "approve",
        ran.json["release"]["id"],
        "--tick",
        "looked at the rows",
        "--as",
        "reviewer",
        "--json",
    )
    assert approved.json["state"] == "live"
    with serving(shell) as url, client_of(shell, url, "ann") as client:
        answer = client.post("/api/v1/predict/begun", json={"records": [record]})
        assert answer.status_code == 200, answer.text
        (found,) = (one["predict"] for one in answer.json()["predictions"])
    if name == "xgboost":
        assert found == "kept", "a book that came soon, by its name and not by its number"
    else:
        assert 1_500 < found < 3_500


def test_a_starter_takes_nothing_that_it_knows_and_needs_no_table(shell: Shell) -> None:
    both = shell("init", "begun", "--starter", "forecast", "--target", "visits")
    assert (both.code, "knows its columns" in both.err) == (2, True)
    neither = shell("init", "begun")
    assert (neither.code, "--starter" in neither.err) == (2, True)
    assert list(shell.folder.iterdir()) == []
