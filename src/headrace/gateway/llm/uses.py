"""Which team may use which language model, for which purpose and class of data; all else is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal, NamedTuple

from headrace.core.errors import Conflict, InvalidInput
from headrace.core.project import Project
from headrace.gateway.llm.endpoints import Provider, ProviderModel, Providers, Target
from headrace.projects.llm import DataClass, Llm
from headrace.projects.rules import BrokenRule
from headrace.projects.texts import read_typed

ANY = "*"
LARGEST = 65_536
"""Characters that a list may have."""
Stated = Literal["owner", "service level", "contact", "remediation", "exact version", "training cut-off"]
"""What an enterprise system has, and can be demanded of a model before it is called."""
HOUSE = """\
# Which team may use which language model, for which purpose, with which class of data. What no entry allows
# is refused. This text comes with Headrace and allows whatever the operator has put into providers.yaml:
# propose one of your own to close it.
allow:
  - {models: ["*"], purposes: ["*"], data: ["*"]}

# What has to be stated of a model in providers.yaml before it is called: owner, service level, contact,
# remediation, exact version, training cut-off.
require: []
"""
_ALLOW = re.compile(r"^allow:[ \t]*(#.*)?$", re.MULTILINE)
_ITEM = re.compile(r"^([ \t]*)- ", re.MULTILINE)
_SHOWN = 8


class Need(NamedTuple):
    """What a project asks language models for; an empty ``purpose``: it has declared none."""

    team: str
    purpose: str
    data_class: DataClass


@dataclass(frozen=True, kw_only=True)
class Use:
    """One entry: each of ``teams`` may use each of ``models`` for each of ``purposes`` with each class of
    data; ``*`` stands for any, and in a model's name for any text."""

    models: tuple[str, ...]
    purposes: tuple[str, ...]
    data: tuple[DataClass | Literal["*"], ...]
    teams: tuple[str, ...] = (ANY,)

    def meets(self, need: Need) -> bool:
        """Whether it is about this need, whatever the model."""
        return (
            _among(need.team, self.teams)
            and _among(need.purpose, self.purposes)
            and _among(need.data_class, self.data)
        )

    def is_for(self, team: str) -> bool:
        """Whether it is an entry of this team, whatever for."""
        return _among(team, self.teams)

    def names(self, target: Target) -> bool:
        """Whether the model is one of these."""
        return any(fnmatchcase(str(target), pattern) for pattern in self.models)


@dataclass(frozen=True, kw_only=True)
class Uses:
    """One list: what it does not allow is refused.

    Attributes:
        require: what has to be stated of a model before it is called.
    """

    allow: tuple[Use, ...] = ()
    require: tuple[Stated, ...] = ()

    def allows(self, need: Need, target: Target) -> bool:
        """Whether an entry does.

        >>> uses = read_uses("allow: [{models: [local/*], purposes: [support], data: [internal]}]")
        >>> uses.allows(Need("main", "support", "internal"), Target("local", "small"))
        True
        >>> uses.allows(Need("main", "support", "health"), Target("local", "small"))
        False
        """
        return any(use.meets(need) and use.names(target) for use in self.allow)


@lru_cache(maxsize=256)
def read_uses(text: str) -> Uses:
    """The list that a text is.

    Raises:
        InvalidInput: it does not parse, or an entry allows nothing; each mistake with line and column.
    """
    return read_typed(
        text,
        Uses,
        "The list of allowed uses",
        broken=_broken,
        expected="allow: with models, purposes and data in each entry; and require:.",
        next_step="Mend it and propose it again.",
    )


def _broken(uses: Uses) -> Iterator[BrokenRule]:
    for index, use in enumerate(uses.allow):
        for key in ("models", "purposes", "data", "teams"):
            if not getattr(use, key):
                text = f"{key} is empty, so that the entry allows nothing: name some, or '*'"
                yield BrokenRule(loc=("allow", index, key), text=text)
        for at, model in enumerate(use.models):
            if model != ANY and "/" not in model:
                text = f"{model[:80]!r} is no model: expected PROVIDER/MODEL, such as local/*, or '*'"
                yield BrokenRule(loc=("allow", index, "models", at), text=text)


def with_use(text: str, use: Use) -> str:
    r"""``text`` with one entry more, and everything else in it as it stands.

    >>> before = "allow: # ours\n- {models: [a/b], purposes: [x], data: [public]}\n"
    >>> print(with_use(before, Use(models=("c/d",), purposes=("x",), data=("public",))), end="")
    allow: # ours
    - {models: ["c/d"], purposes: ["x"], data: ["public"]}
    - {models: [a/b], purposes: [x], data: [public]}

    Raises:
        Conflict: the text is written in a way that an entry has to be added to by hand.
    """
    parts = ("models", use.models), ("purposes", use.purposes), ("data", use.data)
    line = "- {" + ", ".join(f"{key}: {json.dumps(list(value))}" for key, value in parts) + "}"
    before, found = read_uses(text), _ALLOW.search(text)
    if not before.allow and found is None:
        made = f"{text.rstrip()}\nallow:\n  {line}\n"
    elif found is not None:
        first = _ITEM.search(text, found.end())
        indent = "  " if first is None else first[1]
        made = f"{text[: found.end()]}\n{indent}{line}{text[found.end() :] or chr(10)}"
    else:
        made = text
    try:
        same = read_uses(made) == replace(before, allow=(use, *before.allow))
    except InvalidInput:
        same = False
    if not same:
        raise Conflict(f"No entry can be added to this text by itself. Write below allow: {line}")
    return made


def need_of(project: Project, declared: Llm, team: str) -> Need:
    """What a project asks language models for; where nobody has said which class its data is of, whether it
    is about people decides.

    >>> from headrace.testing.factories import make_project
    >>> need_of(make_project(), Llm(purpose="support"), "main")
    Need(team='main', purpose='support', data_class='internal')
    """
    data_class = declared.data_class or ("personal" if project.privacy.personal else "internal")
    return Need(team, declared.purpose, data_class)


def lacks(provider: Provider, model: ProviderModel) -> tuple[Stated, ...]:
    """What an enterprise system has and nobody has stated of a model."""
    stated: dict[Stated, object] = {
        "owner": provider.owner,
        "service level": provider.service_level,
        "contact": provider.contact,
        "remediation": provider.remediation,
        "exact version": model.name and not model.is_alias,
        "training cut-off": model.trained_until,
    }
    return tuple(name for name, said in stated.items() if not said)


def unstated(lists: Iterable[Uses], providers: Providers, target: Target) -> tuple[Stated, ...]:
    """What these lists demand to be stated of a model, and nobody has."""
    demanded = {name for uses in lists for name in uses.require}
    if not demanded:
        return ()
    missing = lacks(providers.get(target.endpoint), providers.model(target))
    return tuple(name for name in missing if name in demanded)


def named(texts: Iterable[object]) -> str:
    """The first of them, in a sentence."""
    listed = [str(text) for text in texts]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _among(value: str, listed: tuple[str, ...]) -> bool:
    return value in listed or ANY in listed
