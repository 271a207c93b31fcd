from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import InvalidInput
from headrace.projects.charter import load_project, project_schema
from headrace.projects.proofs import OwnTests, proofs_of
from headrace.testing import make_project
from tests.projects.test_charter import GOOD


def test_what_is_not_said_has_its_default() -> None:
    assert proofs_of(make_project()).tests == OwnTests(timeout_s=300.0, min_passed=0)
    assert proofs_of(make_project(proofs={"tests": {"timeout_s": 5}})).tests == OwnTests(timeout_s=5)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("tests: {timeout_s: 0}", "proofs.tests.timeout_s is 0: expected 1 to 86400"),
        ("tests: {timeout_s: .nan}", "proofs.tests.timeout_s is nan: expected 1 to 86400"),
        ("tests: {min_passed: -1}", "proofs.tests.min_passed is -1: expected 0 or more"),
        ("tests: {minimum: 1}", "unknown key 'proofs.tests.minimum' (known here: min_passed, timeout_s)"),
        ("tests: {timeout_s: long}", "proofs.tests.timeout_s"),
        ("robustness: {loss: 2}", "proofs.robustness.loss is 2: expected 0 to 1"),
        ("robustness: {reach: -1}", "proofs.robustness.reach is -1: expected 0 to 1"),
        ("robustness: {missing: [nothing]}", "'nothing' is no input; expected some of: "),
    ],
)
def test_what_means_nothing_is_named_with_its_place(tmp_path: Path, section: str, said: str) -> None:
    (tmp_path / "headrace.yaml").write_text(f"{GOOD}\nproofs:\n  {section}\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="cannot be used") as raised:
        load_project(tmp_path)
    assert said in str(raised.value)


def test_editors_know_the_section() -> None:
    schema: dict[str, Any] = project_schema()
    assert schema["properties"]["proofs"]["properties"].keys() >= {"tests"}


def test_what_another_version_kept_is_refused_with_its_name() -> None:
    with pytest.raises(InvalidInput, match=r"The proofs of 'cars' cannot be read"):
        proofs_of(make_project(name="cars", proofs={"tests": {"timeout_s": "long"}}))
