from __future__ import annotations

import re
from pathlib import Path

from tests.architecture.sizes import CORE_LINES, class_size, file_name, file_size, function_size
from tests.architecture.source import ROOT, Source, expect_none, python_files, read

OURS = ("src", "tests", "scripts", "examples", "benchmarks")


def _snippet(folder: Path, text: str) -> Source:
    path = folder / "snippet.py"
    path.write_text(text, encoding="utf-8")
    return read(path, folder)


def test_files_are_small() -> None:
    expect_none([problem for source in python_files(*OURS) for problem in file_size(source)])


def test_functions_are_small() -> None:
    expect_none([problem for source in python_files(*OURS) for problem in function_size(source)])


def test_classes_promise_little() -> None:
    expect_none([problem for source in python_files("src") for problem in class_size(source)])


def test_names_say_what_is_inside() -> None:
    expect_none([problem for source in python_files(*OURS) for problem in file_name(source.name)])


def test_core_stays_small() -> None:
    n_lines = sum(len(source.code_lines) for source in python_files("src/headrace/core"))
    assert n_lines <= CORE_LINES, "What serves one room moves there."


def test_limits_are_not_waived() -> None:
    waivers = re.compile(r"#\s*(ruff:\s*noqa|noqa:.*\b(C901|PLR0912|PLR0915)\b|mypy:\s*ignore-errors)")
    files = [path for folder in OURS for path in sorted((ROOT / folder).rglob("*.py"))]
    waived = [path.name for path in files if waivers.search(path.read_text(encoding="utf-8"))]
    assert waived == []


def test_a_long_file_is_found_and_comments_do_not_count(tmp_path: Path) -> None:
    code = "x = 1\n"
    assert file_size(_snippet(tmp_path, '"""Doc.\n\nMore.\n"""\n' + "# why\n\n" * 300 + code * 400)) == []
    assert file_size(_snippet(tmp_path, code * 401)) == [
        "snippet.py has 401 code lines. Split it by subject: at most 400."
    ]


def test_a_long_function_is_found(tmp_path: Path) -> None:
    body = "    x = 1\n"
    assert function_size(_snippet(tmp_path, 'def f():\n    """Doc."""\n' + body * 59)) == []
    (problem,) = function_size(_snippet(tmp_path, "async def f():\n" + body * 60))
    assert problem.startswith("snippet.py:1 f() has 61 code lines.")


def test_a_large_class_is_found(tmp_path: Path) -> None:
    methods = [f"    def m{i}(self): ...\n" for i in range(16)]
    private = ["    def _p(self): ...\n"] * 5
    assert class_size(_snippet(tmp_path, "".join(["class C:\n", *methods[:15], *private]))) == []
    (problem,) = class_size(_snippet(tmp_path, "".join(["class C:\n", *methods])))
    assert "class C has 16 public methods" in problem


def test_a_vague_name_is_found() -> None:
    for name in (
        "data/utils.py",
        "helpers/rows.py",
        "web/misc_pages.py",
        "new_store.py",
        "store/sql_impl.py",
    ):
        assert len(file_name(name)) == 1, name
    assert file_name("data/sources.py") == []
