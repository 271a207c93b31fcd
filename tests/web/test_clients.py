"""Every client that applications have, each in an environment of its own, over models of either kind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.testing.scripted_answers import Answer
from headrace.testing.scripted_llm import Asked
from tests.web.prompted import PROMPT, Desk

pytestmark = [pytest.mark.journey, pytest.mark.slow]
CALLS = Path(__file__).with_name("clients")
Python = Callable[[str], Path]


@pytest.fixture(scope="session")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """The Python of an environment with one requirement and what it needs; made once for all tests."""
    made: dict[str, Path | str] = {}

    def of(requirement: str) -> Path:
        if requirement not in made:
            made[requirement] = _made(tmp_path_factory.mktemp("client"), requirement)
        found = made[requirement]
        if isinstance(found, str):
            pytest.skip(f"{requirement} cannot be installed: {found}")
        return found

    return of


def _made(folder: Path, requirement: str) -> Path | str:
    """The Python, or why there is none."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-compile",
        "--only-binary",
        ":all:",
        requirement,
    ]
    try:
        ended = subprocess.run(install, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        return "it took longer than 100 s"
    said = (ended.stderr.strip() or "pip said nothing").splitlines()
    return python if ended.returncode == 0 else said[-1]


def say(asked: Asked) -> Answer:
    """A call where a tool is offered and has not answered yet; JSON where it is wanted; else a text."""
    body: Any = asked.json
    forms = [body.get("response_format"), (body.get("output_config") or {}).get("format")]
    if any(form and form["type"] == "json_schema" for form in forms):
        return Answer(text='{"days": 30}')
    if body.get("tools") and "found" not in json.dumps(body["messages"]):
        name = body["tools"][0].get("name") or body["tools"][0]["function"]["name"]
        return Answer(text="", tools=((name, '{"id": "7"}'),))
    return Answer(text="Within thirty days.")


@pytest.mark.requirement("LGW-01")
@pytest.mark.requirement("LGW-02")
@pytest.mark.parametrize(
    ("requirement", "calls"),
    [
        pytest.param("openai>=1.109,<2", "openai_calls.py", id="openai-1"),
        pytest.param("openai>=2,<3", "openai_calls.py", id="openai-2"),
        pytest.param("openai>=3,<4", "openai_calls.py", id="openai-3"),
        pytest.param("anthropic>=0.125,<1", "anthropic_calls.py", id="anthropic-0"),
        pytest.param("anthropic>=1,<2", "anthropic_calls.py", id="anthropic-1"),
        pytest.param("anthropic>=2,<3", "anthropic_calls.py", id="anthropic-2"),
        pytest.param("langchain-openai>=1,<2", "langchain_calls.py", id="langchain-openai-1"),
    ],
)
def test_a_client_does_all_that_it_can(desk: Desk, python_with: Python, requirement: str, calls: str) -> None:
    python = python_with(requirement)
    desk.model.script = say
    for model, project in (("local/small", "support"), ("claude/small", "claudes")):
        desk.release(replace(PROMPT, models=(model,), embeddings=("local/vectors",)), project)
        ended = subprocess.run(
            [str(python), "-I", str(CALLS / calls), desk.url, desk.token(), project],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == 0, f"{requirement} on {model}: {ended.stderr[-3000:]}"
        assert desk.answers(project)
