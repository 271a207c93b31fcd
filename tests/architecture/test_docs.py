"""The reference names everything a user can type, import or set, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import typer
from typer.main import get_command

import headrace
from headrace.core.project import Project
from headrace.projects.charter import SECTIONS
from scripts.reference import cli_page, commands, load_cli, merged, python_page
from tests.architecture.source import ROOT

REFERENCE = ROOT / "docs" / "reference"
CLI = ROOT / "src/headrace/cli/main.py"
SETTINGS = ROOT / "src/headrace/core/settings.py"

needs_cli = pytest.mark.skipif(not CLI.exists(), reason="src/headrace/cli/main.py is not written yet")


def _page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def _headings(page: str) -> set[str]:
    """What stands in code font in second-level headings."""
    return set(re.findall(r"^## `([^`]+)`$", page, re.MULTILINE))


def _variables(text: str) -> set[str]:
    return set(re.findall(r"\bHEADRACE_[A-Z0-9_]*[A-Z0-9]\b", text))


@needs_cli
def test_every_command_is_in_the_reference_and_no_other() -> None:
    assert _headings(_page("cli.md")) == {command.words for command in commands(load_cli())}, (
        "Run: make reference"
    )


@needs_cli
def test_the_command_reference_is_up_to_date() -> None:
    page = _page("cli.md")
    assert page == merged(page, cli_page(load_cli())), "Run: make reference"


@needs_cli
def test_every_command_has_help_and_json() -> None:
    without_help = [command.words for command in commands(load_cli()) if not command.node.help]
    assert without_help == []
    flags = {
        command.words: {flag for parameter in command.node.params for flag in parameter.opts}
        for command in commands(load_cli())
    }
    assert [words for words, known in flags.items() if "--json" not in known] == []


def test_every_public_name_is_in_the_reference_and_no_other() -> None:
    assert _headings(_page("python.md")) == {f"headrace.{name}" for name in headrace.__all__}, (
        "Run: make reference"
    )


def test_public_names_exist_and_unknown_ones_are_refused() -> None:
    for name in headrace.__all__:
        assert getattr(headrace, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(headrace, "no_such_name")  # noqa: B009 - the literal would not pass the type check


def test_the_python_reference_is_up_to_date() -> None:
    page = _page("python.md")
    assert page == merged(page, python_page(headrace)), "Run: make reference"


def test_every_setting_is_in_the_reference_and_no_other() -> None:
    in_code = _variables(SETTINGS.read_text(encoding="utf-8"))
    assert in_code
    assert _variables(_page("settings.md")) == in_code


def _keys(kind: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a charter, such as ``triggers[].when``, with its default as it is written."""
    hints = get_type_hints(kind)
    assert is_dataclass(kind)
    for field in fields(kind):
        hint, name = SECTIONS.get(field.name, hints[field.name]), f"{path}{field.name}"
        inner = next((one for one in (hint, *get_args(hint)) if is_dataclass(one)), None)
        many = get_origin(hint) is tuple
        if inner is None or many:
            yield name, _default(field)
        if inner is not None:
            yield from _keys(inner, f"{name}{'[]' if many else ''}.")


def _default(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "" if field.default_factory is MISSING else "none"
    if field.default in (None, "", ()):
        return "none"
    return f"`{list(field.default) if isinstance(field.default, tuple) else field.default}`"


def test_every_key_of_a_charter_is_in_the_reference_and_no_other() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|([^|]*)\|", _page("headrace-yaml.md"), re.MULTILINE)
    written = {key: default.strip() for keys, default in rows for key in re.findall(r"`([^`]+)`", keys)}
    in_lists = {  # named in the row of their list
        "data.columns[].name", "data.columns[].why", "variants[].name",
    }  # fmt: skip
    assert written == {name: default for name, default in _keys(Project) if name not in in_lists}


def test_a_missing_command_is_found() -> None:
    app = typer.Typer()
    inner = typer.Typer()
    app.add_typer(inner, name="release")

    @app.command()
    def status(*, as_json: bool = typer.Option(False, "--json", help="As JSON.")) -> None:
        """Say how it goes."""

    @inner.command()
    def show(release_id: str) -> None:
        """Show one release."""

    @inner.command(hidden=True)
    def secret() -> None:
        """Not for users."""

    root = get_command(app)
    assert [command.words for command in commands(root)] == ["headrace release show", "headrace status"]
    page = cli_page(root)
    assert _headings(page) == {"headrace release show", "headrace status"}
    assert "- `--json`: As JSON." in page
    assert "- `RELEASE_ID`" in page


def test_a_page_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    page = "# Title\n\nBy hand.\n" + merged(
        "<!-- generated by scripts/reference.py: start --><!-- generated by scripts/reference.py: end -->\n",
        "old",
    )
    again = merged(page, "new")
    assert again.startswith("# Title\n\nBy hand.\n")
    assert "new" in again
    assert "old" not in again
    with pytest.raises(ValueError, match="no marker lines"):
        merged("# Title\n", "new")
