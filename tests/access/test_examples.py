from __future__ import annotations

import pytest

from headrace.access.examples import examples_of, failing
from headrace.access.policy import ALWAYS, DEFAULT, CedarPolicy
from headrace.core.errors import InvalidInput
from headrace.core.identity import ROLES
from headrace.testing import FakeClock

CLOCK = FakeClock()
TOOLS = """
@id("public-files")
permit (principal is Agent, action == Action::"tool.call", resource == Tool::"read")
when { context.arguments has path && context.arguments.path like "/public/*" };
"""


@pytest.mark.requirement("MCP-13")
def test_the_default_policy_has_examples_for_every_role_and_keeps_them() -> None:
    examples = examples_of(DEFAULT)
    assert failing(CedarPolicy(), examples, CLOCK) == []
    for role in ROLES:
        wanted = {example.wanted for example in examples if example.roles == (role,)}
        assert wanted == {"allow", "deny"}, role


def test_an_example_that_fails_names_its_line_and_the_rule() -> None:
    rule = '@id("all") permit (principal, action, resource);'
    text = f"// ok\n// example: deny person ann () predict project:cars\n{rule}"
    (failed,) = failing(CedarPolicy(text), examples_of(text), CLOCK)
    assert (failed.line, failed.allowed, failed.rules) == (2, True, ("all",))
    assert failed.text == "deny person ann () predict project:cars"


@pytest.mark.parametrize(
    "line",
    [
        "allow agent bot () tool.call tool:read tools=read argument.path=/public/a",
        "deny agent bot () tool.call tool:read tools=read argument.path=/private/a",
        "deny agent bot () tool.call tool:read tools=read",
        "deny agent bot () tool.call tool:read argument.path=/public/a",
        "deny agent bot () tool.call tool:write tools=read,write argument.path=/public/a",
        "allow agent bot () tool.call tool:read tools=read,write argument.path=/public/a",
        "deny agent bot () tool.call tool:read tools=write argument.path=/public/a",
        "deny agent bot () tool.call tool:read workspace=elsewhere tools=read argument.path=/public/a",
    ],
)
def test_an_example_may_say_all_that_a_rule_may_ask(line: str) -> None:
    assert failing(CedarPolicy(TOOLS), examples_of(f"// example: {line}"), CLOCK) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "maybe person ann () predict project:cars",
        "allow robot ann () predict project:cars",
        "allow person ann predict project:cars",
        "allow person ann () predict cars",
        "allow person ann (boss) predict project:cars",
        "allow person ann () predict project:cars colour=red",
        "allow person ann () predict project:cars and more",
    ],
)
def test_a_line_that_begins_as_an_example_is_one(line: str) -> None:
    with pytest.raises(InvalidInput, match="Line 3"):
        examples_of(f"{ALWAYS.splitlines()[0]}\n\n  // example: {line}\n")
