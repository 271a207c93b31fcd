"""Which requirement is proved by which test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, Source, expect_none, python_files, read

REQUIREMENTS = ROOT.parent / "shared" / "REQUIREMENTS.md"
STARTED = frozenset(
    "ALR-01 ALR-02 ALR-03 ALR-04 ALR-05 DAT-01 DAT-02 DAT-05 DAT-07 DAT-08 DAT-10 DAT-11 DAT-16 "
    "DAT-19 DAT-20 DAT-21 DEP-01 DEP-02 DEP-03 DEP-04 DEP-05 DEP-06 DEP-07 DEP-08 DEP-09 DEP-10 "
    "DEP-11 DEP-12 DEP-13 DEP-14 DEP-15 DEP-16 DEP-17 EVA-01 EVA-02 EVA-03 EVA-04 EVA-08 EVA-09 "
    "EVA-10 EVA-11 EVA-12 EVA-13 EVA-16 EXP-01 EXP-06 EXP-08 FBK-01 FBK-02 FBK-03 FBK-04 FBK-05 "
    "FBK-06 FBK-07 FBK-08 FBK-09 FEA-03 FEA-05 FEA-06 GAT-01 GAT-02 GAT-03 GAT-04 GAT-05 GAT-06 "
    "GAT-07 GAT-08 GAT-09 GAT-10 GAT-11 GAT-12 GAT-13 GAT-14 GAT-15 GAT-16 GOV-01 GOV-02 GOV-03 "
    "GOV-04 GOV-05 GOV-07 GOV-08 GOV-09 GOV-10 GOV-11 GOV-12 GOV-14 GOV-15 GOV-16 GOV-17 GRD-01 "
    "GRD-02 GRD-03 GRD-04 GRD-06 GRD-07 GRD-08 GRD-11 GRD-12 GRD-13 GRD-15 IDN-01 IDN-02 IDN-03 "
    "IDN-04 IDN-05 IDN-06 IDN-07 IDN-08 IDN-09 IDN-10 LGW-01 LGW-02 LGW-03 LGW-04 LGW-05 LGW-06 "
    "LGW-07 LGW-09 LGW-10 LGW-12 LGW-13 MCP-03 MCP-04 MCP-05 MCP-06 MCP-08 MCP-10 MCP-11 MCP-13 "
    "MON-01 MON-02 MON-03 MON-04 MON-05 MON-06 MON-07 MON-08 MON-09 MON-10 MON-11 MON-12 MON-13 "
    "MON-14 MON-15 MON-16 MON-17 MON-18 MON-19 MON-20 MON-21 MON-22 MON-23 MON-24 MON-25 MON-26 "
    "MON-28 MON-29 MON-30 MON-31 MON-32 MON-33 MON-34 MON-35 MON-36 MON-37 MON-38 MON-39 MON-40 "
    "ORG-01 ORG-02 ORG-03 ORG-04 ORG-05 ORG-06 ORG-07 ORG-08 ORG-09 ORG-10 ORG-11 ORG-12 ORG-13 "
    "ORG-14 ORG-15 ORG-16 ORG-18 ORG-20 PRM-01 PRM-02 PRM-03 PRM-04 PRM-05 PRM-06 PRV-01 PRV-02 "
    "PRV-05 PRV-06 PRV-07 PRV-08 REG-01 REG-02 REG-03 REG-04 REG-05 REG-06 REG-08 REG-10 RET-01 RET-02 "
    "RET-03 RET-04 RET-06 RET-09 RET-10 SRV-01 SRV-02 SRV-03 SRV-04 SRV-05 SRV-06 SRV-08 SRV-09 "
    "SRV-10 TPL-01 TPL-02 TPL-03 TPL-04 TPL-05 TPL-06 TPL-07 TPL-08 TPL-09 TPL-11 TPL-12 TRC-01 "
    "TRC-02 TRC-03 TRC-04 TRC-06 TRC-07 TRC-09 TRC-10 TRC-11 TRC-12 TRN-02 TRN-03 TRN-09 TRN-10 "
    "TRN-11 TRN-13 TRN-14 UI-02 UI-04 UI-05 UI-06 UI-07".split()
)
"""Requirements that the product claims to meet: each has at least one test that proves it."""


def marked(source: Source) -> list[tuple[int, str]]:
    """Line and id of every ``pytest.mark.requirement(id)``."""
    return [
        (node.lineno, argument.value)
        for node in source.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr == "requirement" and ast.unparse(node.func).endswith("mark.requirement")
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


def unknown(sources: list[Source], known: set[str]) -> list[str]:
    """Markers whose requirement does not exist."""
    return [
        f"{source.name}:{line} proves {name}, which is no requirement. Look the id up in REQUIREMENTS.md."
        for source in sources
        for line, name in marked(source)
        if name not in known
    ]


def test_markers_name_requirements_that_exist() -> None:
    if not REQUIREMENTS.is_file():
        pytest.skip("needs the list of requirements: no file ../shared/REQUIREMENTS.md beside the project")
    known = set(re.findall(r"^\| ([A-Z0-9]+-\d+) \|", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE))
    assert known
    assert known >= STARTED
    expect_none(unknown(python_files("tests"), known))


def test_every_claimed_requirement_has_a_test_that_proves_it() -> None:
    proved = {name for source in python_files("tests") for _, name in marked(source)}
    assert sorted(STARTED - proved) == []


def test_a_wrong_id_is_found(tmp_path: Path) -> None:
    path = tmp_path / "test_snippet.py"
    path.write_text(
        'import pytest\n\n@pytest.mark.requirement("DAT-999")\ndef test_a(): ...\n', encoding="utf-8"
    )
    source = read(path, tmp_path)
    assert unknown([source], {"DAT-999"}) == []
    (problem,) = unknown([source], {"DAT-01"})
    assert problem.startswith("test_snippet.py:3 proves DAT-999")
