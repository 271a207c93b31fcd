"""The edge: every command explains itself, every error has its exit code, and no trace reaches a user."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from headrace.cli.exits import exit_code
from headrace.cli.main import COMMANDS, app
from headrace.core import errors
from tests.cli.conftest import Cli

HARNESS = Path(__file__).with_name("failing.py")
SAID = "What, got, expected, next step."


def leaves() -> list[tuple[str, ...]]:
    """Every command with the groups that lead to it, and every group."""
    root: Any = typer.main.get_command(app)
    found: list[tuple[str, ...]] = []

    def walk(command: Any, path: tuple[str, ...]) -> None:
        found.append(path)
        if hasattr(command, "list_commands"):
            context = command.make_context("headrace", [], resilient_parsing=True)
            for name in command.list_commands(context):
                walk(command.get_command(context, name), (*path, name))

    walk(root, ())
    return found


ALL = leaves()


def test_the_nouns_of_the_design_are_there() -> None:
    assert {path[0] for path in ALL if path} == set(COMMANDS)
    assert {("release", verb) for verb in ("ls", "show", "approve", "reject", "rollback")} <= set(ALL)
    assert {
        ("access", "user", "add"),
        ("access", "token"),
        ("model", "lineage"),
        ("monitor", "watch"),
    } <= set(ALL)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("chek",), "No such command 'chek'. Did you mean 'check'?"),
        (("releases", "ls"), "Did you mean 'release'?"),
        (("release", "aprove"), "Did you mean 'approve'?"),
        (("xyzzy",), "No such command 'xyzzy'.\n"),
    ],
)
def test_of_a_command_that_there_is_not_the_nearest_is_named(
    cli: Cli, typed: tuple[str, ...], said: str
) -> None:
    ended = cli(*typed)
    assert ended.code == 2
    assert said in ended.error


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(cli: Cli, path: tuple[str, ...]) -> None:
    ended = cli(*path, "--help")
    assert ended.code == 0
    usage, _, described = ended.out.strip().partition("\n")
    assert " ".join(("Usage: headrace", *path)) in usage
    assert described.split("\u256d")[0].strip().endswith("."), "a sentence says what it is for"
    assert not cli.home.exists(), "asking for help makes no home"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_described_as_it_is_listed_and_installs_nothing(cli: Cli, name: str) -> None:
    shown = " ".join(cli(name, "--help").out.split())
    assert "--install-completion" not in shown
    if any(path[0] == name and len(path) > 1 for path in ALL if path):
        assert COMMANDS[name].help in shown


@pytest.mark.parametrize("path", [p for p in ALL if p and (*p, "ls") not in ALL], ids=" ".join)
def test_every_command_that_does_something_can_print_json(cli: Cli, path: tuple[str, ...]) -> None:
    is_group = any(other[: len(path)] == path and len(other) > len(path) for other in ALL)
    assert is_group or "--json" in cli(*path, "--help").out


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version").out.startswith("headrace 0.")


TABLE = {
    "GateFailed": 3,
    "WaitsForPerson": 4,
    "UserError": 2,
    "InvalidInput": 2,
    "NotFound": 2,
    "Conflict": 2,
    "IllegalTransition": 2,
    "Denied": 2,
    "ProofNeeded": 2,
    "Unauthenticated": 2,
    "UserCodeError": 2,
    "Unavailable": 1,
    "Busy": 1,
    "InternalError": 1,
    "ModelFailed": 1,
    "Unanswered": 1,
    "HeadraceError": 1,
}


def test_every_error_of_ours_is_in_the_table() -> None:
    ours = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.HeadraceError)
    }
    assert set(TABLE) == ours


@pytest.mark.parametrize(("kind", "code"), TABLE.items())
def test_an_error_ends_with_its_code(kind: str, code: int) -> None:
    assert exit_code(getattr(errors, kind)("")) == code


def started(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """The harness as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(HARNESS), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": ".", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
    )  # fmt: skip


def finished(*processes: subprocess.Popen[str]) -> list[tuple[int, str, str]]:
    """Exit code and what went to either stream."""
    ended = []
    for process in processes:
        with process:
            out, err = process.communicate(timeout=60)
        ended.append((process.returncode, out, err))
    return ended


def test_a_process_ends_with_the_code_and_says_it_where_it_belongs(tmp_path: Path) -> None:
    kinds = ("none", "GateFailed", "WaitsForPerson", "NotFound", "Unavailable")
    ended = finished(*(started(tmp_path, "fail", kind) for kind in kinds))
    assert [code for code, _, _ in ended] == [0, 3, 4, 2, 1]
    assert ended[0][1:] == ("", "")
    assert ended[1][1:] == ("", f"Error: {SAID}\n")
    assert ended[2][1:] == (f"{SAID}\n", ""), "to wait for a person is no error"
    assert ended[3][1:] == ("", f"Error: {SAID}\n")


def test_with_json_an_error_is_json_too(tmp_path: Path) -> None:
    kinds = ("Denied", "InternalError")
    ended = finished(*(started(tmp_path, "fail", kind, "--json") for kind in kinds))
    for (code, out, err), kind, expected in zip(ended, kinds, (2, 1), strict=True):
        assert (code, err) == (expected, "")
        assert json.loads(out) == {"error": {"kind": kind, "message": SAID}}


def test_what_nobody_expected_is_our_fault_and_shows_no_trace(tmp_path: Path) -> None:
    plain, as_json = finished(
        started(tmp_path, "fail", "ZeroDivisionError"),
        started(tmp_path, "fail", "ZeroDivisionError", "--json"),
    )
    for code, out, err in (plain, as_json):
        assert code == 1
        assert "Traceback" not in out + err
        assert "This is our fault" in out + err
        assert "ZeroDivisionError: division by zero" in out + err
    assert json.loads(as_json[1])["error"]["kind"] == "InternalError"
    kept = list(tmp_path.glob("headrace-*.txt"))
    assert len(kept) == 2
    assert all("Traceback" in path.read_text() for path in kept), "the trace is kept for the report"
    assert str(kept[0]) in plain[2] + as_json[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("release", "nonsense"),
        ("release", "show"),
        ("init", "cars", "--unheard", "x"),
        ("up", "--port", "70000"),
        ("access", "token", "--minutes", "16"),
    ],
)
def test_a_command_that_was_mistyped_is_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert "Usage:" in ended.error
    assert "Traceback" not in ended.error
