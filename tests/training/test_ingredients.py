from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from headrace.core.canonical import canonical_json
from headrace.testing import START
from headrace.training.ingredients import Ingredient, bill_of_materials, ingredients


def test_packages_have_the_licences_that_are_stated_here() -> None:
    lock = canonical_json({"packages": {"pytest": version("pytest"), "numpy": "0.1", "gone": "1.0"}})
    assert ingredients(lock) == [
        Ingredient(name="gone", version="1.0"),
        Ingredient(name="numpy", version="0.1"),
        Ingredient(name="pytest", version=version("pytest"), licence="MIT"),
    ]


def test_the_bill_holds_to_the_schema_of_its_format() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    listed = [
        Ingredient(name="a", version="1.0", licence="MIT OR Apache-2.0"),
        Ingredient(name="b", version="2.0", licence="BSD, see LICENSE"),
        Ingredient(name="c", version="3.0"),
    ]
    made = bill_of_materials("cars@3", listed, START)
    assert made == bill_of_materials("cars@3", listed, START)
    assert made != bill_of_materials("cars@4", listed, START)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode()) is None
    bill = json.loads(made)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "cars"
    assert [one["purl"] for one in bill["components"]] == [
        "pkg:pypi/a@1.0",
        "pkg:pypi/b@2.0",
        "pkg:pypi/c@3.0",
    ]


def test_what_a_package_does_not_state_is_no_error_whoever_reads_it(tmp_path: Path) -> None:
    """Other libraries replace the standard reader of metadata by one that raises where a field is missing."""
    info = tmp_path / "plain-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n")
    code = (
        "import importlib_metadata, sys\n"
        "from importlib.metadata import distributions\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "assert any(type(one).__module__.startswith('importlib_metadata') for one in distributions())\n"
        "from headrace.training.ingredients import _licences\n"
        "print(repr(_licences()['plain', '1.0']))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "''"), ended.stderr
