"""The rules that ruff checks, proved on bad snippets with the project's own configuration."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

DOC = '"""Doc."""\n'
BRANCHES = "".join(f"    if a == {i}:\n        a += 1\n" for i in range(12))


def _ruff(text: str, name: str) -> str:
    """What ruff says about ``text`` if it were the file ``name``."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise"]
    result = subprocess.run(
        [*command, "--stdin-filename", name, "-"],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode in (0, 1), result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("D100", "X = 1\n"),
        ("D103", DOC + "\n\ndef f() -> None:\n    return\n"),
        ("D101", DOC + "\n\nclass C:\n    pass\n"),
        ("ANN201", DOC + '\n\ndef f():\n    """Doc."""\n'),
        ("C901", DOC + f'\n\ndef f(a: int) -> int:\n    """Doc."""\n{BRANCHES}    return a\n'),
        ("T201", DOC + "\nprint(1)\n"),
        ("BLE001", DOC + "\ntry:\n    X = 1\nexcept Exception:\n    X = 2\n"),
        ("DTZ001", DOC + "\nfrom datetime import datetime\n\nX = datetime(2026, 1, 2)\n"),
        ("TID251", DOC + "\nfrom unittest.mock import patch\n\nX = patch\n"),
        ("TID252", DOC + "\nfrom . import rows\n\nX = rows\n"),
        ("TID253", DOC + "\nimport pandas as pd\n\nX = pd.NA\n"),
        ("PGH003", DOC + '\nX: int = "a"  # type: ignore\n'),
        ("S506", DOC + '\nimport yaml\n\nX = yaml.load("a", yaml.Loader)\n'),
    ],
)
def test_ruff_finds(code: str, text: str) -> None:
    assert f" {code} " in _ruff(text, "src/headrace/data/snippet.py")


def test_ruff_wants_every_folder_of_the_package_to_be_a_package() -> None:
    assert " INP001 " in _ruff(DOC, "src/headrace/data/nowhere/snippet.py")


def test_ruff_accepts_the_right_way() -> None:
    text = (
        DOC + "\nfrom __future__ import annotations\n\n\n"
        'def double(count: int) -> int:\n    """Twice ``count``."""\n    return 2 * count\n'
    )
    assert "All checks passed" in _ruff(text, "src/headrace/data/__init__.py")
