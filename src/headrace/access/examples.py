"""Examples in a policy text: comments that say what it allows and denies, and that are put to the test.

One example is one line::

    // example: allow person ann (developer) project.run project:cars
    // example: deny person ann (validator) release.approve release:1 authors=ann
    // example: allow agent bot (viewer) tool.call tool:search tools=search argument.path=/public/a
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from headrace.core.errors import InvalidInput
from headrace.core.identity import MAIN, ROLES, Circumstance, Decision, Principal, Resource, Session
from headrace.core.ports import Clock, Policy

_LINE = re.compile(r"^[ \t]*//[ \t]*examples?:(?P<rest>.*)$", re.MULTILINE | re.IGNORECASE)
_FORM = re.compile(
    r"\s*(?P<wanted>allow|deny)\s+(?P<kind>person|service|agent)\s+(?P<name>\S+)\s+\((?P<roles>[^)]*)\)"
    r"\s+(?P<action>\S+)\s+(?P<resource>[^\s:=]+:\S+)(?P<about>(?:\s+[a-z]+(?:\.\S+?)?=\S+)*)\s*"
)
_ABOUT = ("authors", "risk", "project", "workspace", "tools", "proved")


@dataclass(frozen=True, kw_only=True)
class Example:
    """What one line says."""

    line: int
    text: str
    wanted: Literal["allow", "deny"]
    kind: Literal["person", "service", "agent"]
    name: str
    roles: tuple[str, ...]
    action: str
    resource: str
    about: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An example that the policy decides otherwise, and the rules that did."""

    line: int
    text: str
    allowed: bool
    rules: tuple[str, ...]


def examples_of(text: str) -> list[Example]:
    """All examples of a policy text.

    Raises:
        InvalidInput: a line that begins as an example has another form.
    """
    return [
        _example(text.count("\n", 0, match.start()) + 1, match["rest"].strip())
        for match in _LINE.finditer(text)
    ]


def failing(policy: Policy, examples: Sequence[Example], clock: Clock, workspace: str = MAIN) -> list[Failed]:
    """The examples that ``policy`` decides otherwise, for identities of ``workspace``."""
    failed = []
    for example in examples:
        decision = _decide(policy, example, clock, workspace)
        if decision.allowed != (example.wanted == "allow"):
            failed.append(
                Failed(line=example.line, text=example.text, allowed=decision.allowed, rules=decision.rules)
            )
    return failed


def _example(line: int, text: str) -> Example:
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidInput(
            f"Line {line}: {text!r} is no example. Expected 'allow' or 'deny', then KIND NAME (ROLE, ...) "
            "ACTION KIND:NAME, such as: // example: allow person ann (viewer) project.read project:cars"
        )
    roles = tuple(role.strip() for role in match["roles"].split(",") if role.strip())
    about = dict(pair.split("=", 1) for pair in match["about"].split())
    odd = [role for role in roles if role not in ROLES]
    odd += [key for key in about if key not in _ABOUT and not key.startswith("argument.")]
    if odd:
        raise InvalidInput(
            f"Line {line}: the example names {odd[0]!r}. Roles are {', '.join(ROLES)}; after the resource "
            f"may stand {', '.join(f'{key}=' for key in _ABOUT)} and argument.NAME=."
        )
    return Example(
        line=line,
        text=text,
        wanted=match["wanted"],  # type: ignore[arg-type]
        kind=match["kind"],  # type: ignore[arg-type]
        name=match["name"],
        roles=roles,
        action=match["action"],
        resource=match["resource"],
        about=about,
    )


def _decide(policy: Policy, example: Example, clock: Clock, workspace: str) -> Decision:
    about = example.about
    principal = Principal(
        name=example.name,
        kind=example.kind,
        roles=example.roles,  # type: ignore[arg-type]
        created_at=clock.now(),
        workspace=workspace,
        session=Session(token="", tools=_listed(about["tools"])) if "tools" in about else None,
    )
    resource = replace(
        Resource.parse(example.resource, about.get("workspace", workspace)),
        authors=_listed(about.get("authors", "")),
        risk=about.get("risk", ""),
        project=about.get("project", ""),
    )
    arguments = {
        key.removeprefix("argument."): value for key, value in about.items() if key.startswith("argument.")
    }
    circumstance = Circumstance(
        proved=about.get("proved", "no") == "yes", arguments=tuple(sorted(arguments.items()))
    )
    return policy.decide(principal, example.action, resource, circumstance)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)
