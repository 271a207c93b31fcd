"""When an agent reads which of the files that instruct it."""

from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.agent_files import measured

SKILL = "---\nname: refunds\ndescription: How money is given back.\n---\nAsk for the order.\n"


@pytest.mark.requirement("PRM-06")
def test_a_skill_costs_its_description_at_start_and_the_rest_when_it_is_used() -> None:
    files = {"AGENTS.md": "Be kind.", "skills/a/SKILL.md": SKILL, "skills/a/deep/rates.md": "9.50 EUR"}
    found = {one.path: one for one in measured(files)}
    assert [(one.read, one.characters, one.at_start) for one in found.values()] == [
        ("at start", 8, 8),
        ("when used", len(SKILL), len("refunds") + len("How money is given back.")),
        ("when named", 8, 0),
    ]
    assert found["AGENTS.md"].tokens == 2
    assert measured({}) == ()


def test_a_file_beside_a_skill_is_not_of_it() -> None:
    files = {"skills/a/SKILL.md": SKILL, "skills/rules.md": "Never guess.", "skills/ab/c.md": "So."}
    reads = {one.path: one.read for one in measured(files)}
    assert (reads["skills/rules.md"], reads["skills/ab/c.md"]) == ("at start", "at start")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ask for the order.", "has no name that agents can read: got none"),
        ("---\nname: refunds\n---\n", "has no description that agents can read: got none"),
        (f"---\nname: refunds\ndescription: {'x' * 1_025}\n---\n", "got one of 1,025 characters"),
        (f"---\nname: {'x' * 65}\ndescription: So.\n---\n", "got one of 65 characters"),
        ("---\nname: 3\ndescription: So.\n---\n", "has no name"),
        ("---\n- a list\n---\n", "has no name"),
        ("---\nname: [\n---\n", "no YAML at its top that can be read"),
    ],
)
def test_a_skill_that_no_agent_would_use_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match="'a/SKILL.md' has") as refused:
        measured({"a/SKILL.md": text})
    assert said in str(refused.value)
