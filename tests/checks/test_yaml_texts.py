"""YAML that is small and stands for very much is refused before anything follows it."""

from __future__ import annotations

import pytest
import yaml

from headrace.checks.mlflow_folders import flavour_problems
from headrace.checks.yaml_texts import MOST_NODES, parse_yaml
from headrace.core.errors import InvalidInput
from headrace.projects.controls import read_rules

LOOP = "flavors: &f\n  sklearn: [*f, *f, *f]\n"


def laughs(first: str, levels: int = 30) -> str:
    """Each line stands for ten of the one before."""
    lines = [f"{first}: &l0 [x, x]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


def merges(levels: int = 30) -> str:
    lines = ["m0: &m0 {a: 1}"]
    lines += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 10)}]}}" for i in range(1, levels)]
    return "\n".join(lines)


def thousands(n: int) -> str:
    """A list of 1,000 nodes, and another ``n`` times."""
    return f"a: &a [{', '.join(['1'] * 999)}]\nb: [{', '.join(['*a'] * n)}]"


@pytest.mark.requirement("GAT-16")
@pytest.mark.parametrize(
    "text", [laughs("flavors"), merges(), LOOP, "a: &a [*a]"], ids=["lists", "merges", "loop", "itself"]
)
def test_what_grows_beyond_the_limit_or_without_end_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="anchor"):
        parse_yaml(text)


def test_anchors_are_followed_as_far_as_there_is_reason_to() -> None:
    shared = {"a": [1.0, 2.0], "b": None}
    given = {"one": shared, "two": shared, "three": [shared, "x"]}
    assert "&id001" in yaml.safe_dump(given), "as MLflow writes them"
    assert parse_yaml(yaml.safe_dump(given)).value == given
    assert parse_yaml("").node is None
    most = (MOST_NODES - 1_004) // 1_000
    assert len(parse_yaml(thousands(most)).value["b"]) == most
    with pytest.raises(yaml.YAMLError, match="200,000 nodes"):
        parse_yaml(thousands(most + 1))


@pytest.mark.requirement("GAT-16")
@pytest.mark.parametrize("text", [laughs("flavors"), LOOP], ids=["lists", "loop"])
def test_a_model_that_is_described_so_is_not_loaded(text: str) -> None:
    assert [kind for kind, _ in flavour_problems(text.encode(), allow_code=False)] == ["unreadable"]


@pytest.mark.parametrize(
    "text", [laughs("forbidden_inputs"), "forbidden_inputs: &a [*a]"], ids=["lists", "itself"]
)
def test_rules_that_somebody_proposes_so_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="anchor"):
        read_rules(text)
