"""What else is proved of a release, beside the measures in ``gates``: the section ``proofs`` of a charter."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from headrace.core.errors import InvalidInput
from headrace.core.project import Project
from headrace.projects.rules import BrokenRule, is_answered
from headrace.projects.texts import typed_part

_LONGEST_S = 86_400.0
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_LONGEST, _MOST = 300, 30


@dataclass(frozen=True, kw_only=True)
class OwnTests:
    """The project's own tests, in its folder ``tests``.

    Attributes:
        timeout_s: how long all of them together may take.
        min_passed: fewest that must pass; at 0 a project may have none.
    """

    timeout_s: float = 300.0
    min_passed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainingChecks:
    """What is asked of the pipeline that makes the model.

    Attributes:
        timeout_s: how long its trainer may learn shuffled labels; 0 leaves that out.
        least_gain: the share, of what boosted trees with usual settings spare of a constant's loss, that the
            candidate must spare.
        max_gap: how much larger the loss may be on test rows than on training rows, as a share of that on
            training rows; none when not set.
    """

    timeout_s: float = 60.0
    least_gain: float = 0.5
    max_gap: float | None = None


@dataclass(frozen=True, kw_only=True)
class RobustnessChecks:
    """What a model must stand: inputs that are a little off, missing, or chosen by an adversary.

    Attributes:
        loss: the share, of what the model spares of a constant's loss, that it may lose under noise and with
            any of ``missing`` left out; none when not set: then a person decides where noise takes more than
            half of it.
        flipped: the share of decisions that somebody who may move each number within ``reach`` may turn; none
            when not set.
        noise: standard deviation of the noise, in spreads of each number.
        reach: how far an adversary may move each number, in its spreads.
        missing: inputs that may be missing; those of which the training rows lack a value, unless named.
    """

    loss: float | None = None
    flipped: float | None = None
    noise: float = 0.1
    reach: float = 0.1
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """Which packages a model may be made with.

    Attributes:
        allow: licences, by their SPDX name; with none, every licence that is not denied.
        deny: licences that no package may have.
        advisories: known flaws in the OSV format: a file, a folder or a zip, by its path from the project;
            with none, no package is asked about.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    advisories: str = ""


@dataclass(frozen=True, kw_only=True)
class Proofs:
    """The section ``proofs`` of a charter; every part can be left out, and then has its defaults.

    Attributes:
        flight: what a person looks at, and ticks with a note, before a release is deployed: name to what it
            asks.
    """

    tests: OwnTests = OwnTests()
    training: TrainingChecks = TrainingChecks()
    robustness: RobustnessChecks = RobustnessChecks()
    ingredients: Ingredients = Ingredients()
    flight: dict[str, str] = field(default_factory=dict)


def proofs_of(project: Project) -> Proofs:
    """What the project wants proved.

    >>> from headrace.testing import make_project
    >>> proofs_of(make_project(proofs={"tests": {"min_passed": 3}})).tests.min_passed
    3

    Raises:
        InvalidInput: it was kept by another version of Headrace, and cannot be read by this one.
    """
    problems, found = typed_part(project.proofs, Proofs, "proofs")
    if found is None:
        raise InvalidInput(f"The proofs of {project.name!r} cannot be read: {problems[0].text}. Mend it.")
    return found


def proof_mistakes(project: Project) -> Iterator[BrokenRule]:
    """What the section must not say: wrong types, and numbers that mean nothing."""
    problems, found = typed_part(project.proofs, Proofs, "proofs")
    yield from problems
    if found is None:
        return
    training, robustness = found.training, found.robustness
    for place, value, low, high in (
        ("tests.timeout_s", found.tests.timeout_s, 1, _LONGEST_S),
        ("tests.min_passed", found.tests.min_passed, 0, inf),
        ("training.timeout_s", training.timeout_s, 0, _LONGEST_S),
        ("training.least_gain", training.least_gain, 0, 1),
        ("training.max_gap", 0.0 if training.max_gap is None else training.max_gap, 0, sys.float_info.max),
        ("robustness.loss", 0.0 if robustness.loss is None else robustness.loss, 0, 1),
        ("robustness.flipped", 0.0 if robustness.flipped is None else robustness.flipped, 0, 1),
        ("robustness.noise", robustness.noise, 0, 1),
        ("robustness.reach", robustness.reach, 0, 1),
    ):
        if not low <= value <= high:
            expected = f"{low:g} or more" if high > 1e300 else f"{low:g} to {high:g}"
            text = f"proofs.{place} is {value:g}: expected {expected}"
            yield BrokenRule(loc=("proofs", *place.split(".")), text=text)
    inputs = {column.name for column in project.data.columns if column.role != "ignored"}
    for name in robustness.missing:
        if name not in inputs:
            text = f"{name[:60]!r} is no input; expected some of: {', '.join(sorted(inputs)[:20])}"
            yield BrokenRule(loc=("proofs", "robustness", "missing"), text=text)
    yield from _flight(found.flight)


def _flight(items: Mapping[str, str]) -> Iterator[BrokenRule]:
    if len(items) > _MOST:
        text = f"has {len(items)} items; expected at most {_MOST}"
        yield BrokenRule(loc=("proofs", "flight"), text=text)
    for name, asks in items.items():
        if not _NAME.fullmatch(name):
            text = f"{name[:60]!r} is no name: expected lower-case letters, digits and '-', at most 40"
            yield BrokenRule(loc=("proofs", "flight"), text=text)
        elif not is_answered(asks) or len(asks) > _LONGEST:
            text = f"say what a person looks at, in 1 to {_LONGEST} characters"
            yield BrokenRule(loc=("proofs", "flight", name), text=text)
