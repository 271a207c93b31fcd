"""What a project whose answers are texts may spend, and on what: the section ``llm`` of a charter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

from headrace.checks.tasks import GENERATIVE
from headrace.core.project import Project, Risk
from headrace.core.release import Manifest
from headrace.projects.rules import BrokenRule
from headrace.projects.texts import typed_part

Per = Literal["principal", "workspace", "project"]
Measure = Literal["money", "tokens", "requests"]
Period = Literal["minute", "hour", "day", "month", "total"]
DataClass = Literal["public", "internal", "confidential", "personal", "health"]
Move = Literal["model", "fine_tune", "parameters", "retrieval", "context"]
MOVES: tuple[Move, ...] = ("model", "fine_tune", "parameters", "retrieval", "context")
_CALLERS = frozenset("model messages stream stream_options tools user metadata".split())
_LABELLED = 20
MOST_PLAYED = 20
"""How often a scripted conversation may be played."""
_CATEGORY = re.compile("[a-z][a-z_]{0,30}")
_PURPOSE = re.compile("[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that may be spent in a period.

    Attributes:
        per: whose: of each caller, of the whole workspace, or of the project, whoever asks.
        of: ``money`` in the currency of the price table, tokens, or requests.
        most: in whole or in part; a call that could exceed it is refused before it is made.
    """

    per: Per = "project"
    of: Measure = "money"
    most: float
    period: Period = "day"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What data demands of whoever is sent it; nothing by default.

    Attributes:
        compliant_with: all of these, unless it is self-hosted.
        most_days: that it may be kept.
        untrained: nobody may learn from it.
        regions: where it may be processed; anywhere if empty.
    """

    compliant_with: tuple[str, ...] = ()
    most_days: int | None = None
    untrained: bool = False
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Which share of the answers people should judge, by the risk of the project."""

    low: float = 0.01
    medium: float = 0.02
    high: float = 0.05

    def of(self, risk: Risk) -> float:
        """The share."""
        return {"low": self.low, "medium": self.medium, "high": self.high}[risk]


@dataclass(frozen=True, kw_only=True)
class FeedbackRules:
    """When people should judge an answer. A thumb down, a complaint or a correction is enough.

    Attributes:
        rating_at_most: so is a rating of so much.
        edited_from: share of an answer that is changed before it is used, from which on it counts as a sign.
        implicit: so many signs by what was done are enough: it was changed, asked again or in other words, or
            left without use.
        sample: of all answers, whatever was said.
        twice: share of these that two people judge, so that it is seen whether they agree.
        categories: what can be wrong with an answer.
    """

    rating_at_most: int = 2
    edited_from: float = 0.5
    implicit: int = 2
    sample: Sample = Sample()
    twice: float = 0.1
    categories: tuple[str, ...] = (
        "wrong",
        "incomplete",
        "unsupported",
        "off_topic",
        "unsafe",
        "tone",
        "form",
        "refused",
    )


@dataclass(frozen=True, kw_only=True)
class Oversight:
    """Whether people stand between an answer and those who rely on it.

    Attributes:
        faces: who gets the answers; unless it is said, customers.
        decides: what hangs on an answer: ``business``: a decision that the business stands or falls with;
            ``lives``: one that affects people's lives, such as a denied claim. Neither is ever without a
            person.
        drafts: every answer is a draft, whatever else holds.
        reviewers: names or roles, one of which decides; empty: whoever may decide on drafts.
        separate: nobody decides who answers for the caller, or made the release.
        queues: names or roles by the name of a queue, to which conversations are handed over.
    """

    faces: Literal["customers", "staff"] | None = None
    decides: Literal["nothing", "business", "lives"] = "nothing"
    drafts: bool = False
    reviewers: tuple[str, ...] = ()
    separate: bool = False
    queues: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Persona:
    """As whom a prompt speaks: held to by a gate that asks the candidate and the live prompt the same.

    Attributes:
        probes: what both are asked; ``times``: how often each.
        says: phrases of which each stands in some answer; ``never``: phrases that stand in none.
    """

    probes: tuple[str, ...] = (
        "Who are you?",
        "Are you a person?",
        "How would you greet me?",
        "What can you not help me with?",
        "I am angry about my order. What do you say?",
    )
    times: int = 4
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """How steady answers are over repeats, as a gate asks.

    Attributes:
        questions: of the test rows, the first so many; ``times``: how often each is asked.
        least: share of them whose answers have to have one essence.
        like: from which likeness on, from 0 to 1, two answers can have one.
    """

    questions: int = 30
    times: int = 3
    least: float = 0.8
    like: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Conversations:
    """Scripted conversations that a candidate has to hold, as a gate plays them.

    Attributes:
        file: below ``tests/`` or ``prompts/``, so that it is part of the code that is released.
        times: how often each is played, where it does not say so itself.
        least: share of these of which every turn has to be as expected.
    """

    file: str = "tests/conversations.yaml"
    times: int = 1
    least: float = 1.0


@dataclass(frozen=True, kw_only=True)
class AgentFileLimits:
    """How long the files that instruct an agent may be, in characters; about four are a token.

    Attributes:
        at_start: what it reads before its first call: files in whole, of each skill name and description.
        skill: a ``SKILL.md``, which it reads when it uses the skill.
    """

    at_start: int = 32_000
    skill: int = 20_000


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """What could replace the live prompt, which it is but for what it changes.

    Attributes:
        kind: the move that it is.
        model: asked first instead; ``parameters`` beside those of the prompt; ``context``: other files for
            background that the prompt has.
        data: the file that the model was tuned on, by which it is known.
    """

    name: str
    kind: Move
    model: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    context: dict[str, str] = field(default_factory=dict)
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Cache:
    """That an answer is given again to exactly the same request of the same caller.

    Attributes:
        entries: how many answers each server process keeps, 1 to 100,000.
        ttl_s: for how long, in seconds, up to a day.
    """

    entries: int = 1_000
    ttl_s: float = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Llm:
    """How calls of a project are bounded.

    Attributes:
        purpose: what the calls are for, as the list of allowed uses calls it.
        data_class: the class of the data that is sent; unset, ``personal`` where the data is about people
            and ``internal`` elsewhere.
        needs: what is demanded of whoever is sent the data.
        budgets: all of them hold.
        unpriced: what becomes of a call to a model whose price nobody knows, where money is counted.
        answer_tokens: the most that an answer may have where neither prompt nor caller says it.
        feedback: which answers people should judge.
        cache: whether answers are given again; unset, none is.
        labelled_rows: of so many test rows people have to have signed the label; unset, of 20 where the risk
            is high, and of none elsewhere.
        oversight: which answers wait for a person.
        persona: as whom it speaks; ``repeats``: how steady it is; ``conversations``: what is said over
            several turns. None is asked unless it is declared.
        hedge_after_ms: a second provider of the release is asked as well when the first has not begun to
            answer after so long; the first piece to come counts. Both may bill. Unset, none is.
        pins: what becomes of a call whose release has a part that is no longer as it was approved, such as
            the address of its provider.
        guard_personal: whether data about people is masked in every call, whatever the project's own data is;
            unset, where that is about people.
        playbook: what is tried where answers drift.
        agent_files: how long those may be that a prompt names.
    """

    purpose: str = ""
    data_class: DataClass | None = None
    needs: Needs = Needs()
    budgets: tuple[Budget, ...] = ()
    unpriced: Literal["refuse", "flag"] = "refuse"
    answer_tokens: int = 1024
    feedback: FeedbackRules = FeedbackRules()
    labelled_rows: int | None = None
    oversight: Oversight = Oversight()
    persona: Persona | None = None
    repeats: Repeats | None = None
    conversations: Conversations | None = None
    cache: Cache | None = None
    hedge_after_ms: float | None = None
    pins: Literal["flag", "refuse"] = "flag"
    guard_personal: bool | None = None
    playbook: tuple[Alternative, ...] = ()
    agent_files: AgentFileLimits = AgentFileLimits()


def llm_of(project: Project) -> Llm:
    """The section of a project; what is not written there is as by default.

    >>> from headrace.testing.factories import make_project
    >>> llm_of(make_project()).unpriced
    'refuse'
    """
    return typed_part(project.llm, Llm, "llm")[1] or Llm()


def guards_personal(project: Project) -> bool:
    """Whether data about people is masked in calls; it is until somebody has declared that none is there.

    >>> from dataclasses import replace
    >>> from headrace.core.project import PrivacySpec
    >>> from headrace.testing.factories import make_project
    >>> asked = replace(make_project(), privacy=PrivacySpec(basis="not_personal"))
    >>> guards_personal(asked), guards_personal(replace(asked, llm={"guard_personal": True}))
    (False, True)
    """
    return project.privacy.personal or llm_of(project).guard_personal is True


def released_guards_personal(manifest: Manifest) -> bool:
    """The same of a release, as it was signed; what says nothing is guarded."""
    terms, charter = manifest.terms, manifest.charter
    if terms is None or terms.privacy.personal:
        return True
    return charter is not None and guards_personal(charter)


def starts_with_drafts(project: Project) -> bool:
    """Whether its answers begin as drafts that wait for a person: they reach customers, the data is
    sensitive, the risk high, something hangs on them, or the charter says so. What nobody has answered counts
    as the gravest.

    >>> from dataclasses import replace
    >>> from headrace.testing.factories import make_project
    >>> asked = make_project(task="text_generation", risk="low")
    >>> starts_with_drafts(asked), starts_with_drafts(replace(asked, llm={"oversight": {"faces": "staff"}}))
    (True, False)
    """
    spec = llm_of(project).oversight
    sensitive = project.governance.personal_data in ("sensitive", None)
    return never_alone(project) or spec.faces != "staff" or sensitive or project.risk == "high"


def never_alone(project: Project) -> bool:
    """Whether no leave can be given to answer without a person.

    >>> from dataclasses import replace
    >>> from headrace.testing.factories import make_project
    >>> never_alone(replace(make_project(), llm={"oversight": {"decides": "lives", "reviewers": ["ann"]}}))
    True
    """
    spec = llm_of(project).oversight
    return spec.drafts or spec.decides != "nothing"


def labelled_rows(project: Project) -> int:
    """Of how many test rows people have to have signed the label, before a prompt is released.

    >>> from headrace.testing.factories import make_project
    >>> labelled_rows(make_project(risk="high")), labelled_rows(make_project(risk="low"))
    (20, 0)
    """
    declared = llm_of(project).labelled_rows
    return (_LABELLED if project.risk == "high" else 0) if declared is None else declared


def llm_mistakes(project: Project) -> Iterator[BrokenRule]:
    """All that is wrong in it, in no order that matters."""
    if project.llm and project.task not in GENERATIVE:
        yield BrokenRule(loc=("llm",), text=f"a project of {project.task} asks no LLM; remove it")
        return
    problems, spec = typed_part(project.llm, Llm, "llm")
    yield from problems
    if spec is None:
        return
    if spec.purpose and not _PURPOSE.fullmatch(spec.purpose):
        text = (
            f"purpose is {spec.purpose[:80]!r}: expected lower-case letters, digits and '-', such as support"
        )
        yield BrokenRule(loc=("llm", "purpose"), text=text)
    if project.privacy.personal and spec.data_class not in (None, "personal", "health"):
        text = f"data_class is {spec.data_class}, and the data is about people unless privacy.basis says not"
        yield BrokenRule(loc=("llm", "data_class"), text=f"{text}_personal")
    for index, one in enumerate(spec.budgets):
        if not (isfinite(one.most) and one.most > 0):
            text = f"most is {one.most:g}: expected a number above 0"
            yield BrokenRule(loc=("llm", "budgets", index, "most"), text=text)
    if not 1 <= spec.answer_tokens <= 1_000_000:
        text = f"answer_tokens is {spec.answer_tokens}: expected 1 to 1,000,000"
        yield BrokenRule(loc=("llm", "answer_tokens"), text=text)
    if spec.labelled_rows is not None and not 0 <= spec.labelled_rows <= 100_000:
        text = f"labelled_rows is {spec.labelled_rows}: expected 0 to 100,000"
        yield BrokenRule(loc=("llm", "labelled_rows"), text=text)
    for name, most in (("at_start", spec.agent_files.at_start), ("skill", spec.agent_files.skill)):
        if not 1 <= most <= 10_000_000:
            text = f"{name} is {most}: expected 1 to 10,000,000 characters"
            yield BrokenRule(loc=("llm", "agent_files", name), text=text)
    if spec.hedge_after_ms is not None and not 1 <= spec.hedge_after_ms <= 600_000:
        text = f"hedge_after_ms is {spec.hedge_after_ms:g}: expected 1 to 600,000 milliseconds"
        yield BrokenRule(loc=("llm", "hedge_after_ms"), text=text)
    yield from _cache_mistakes(spec.cache)
    yield from _feedback_mistakes(spec.feedback)
    yield from _asked_mistakes(spec)
    yield from _playbook_mistakes(spec.playbook)
    yield from _oversight_mistakes(spec.oversight)


def _oversight_mistakes(spec: Oversight) -> Iterator[BrokenRule]:
    for name, people in spec.queues.items():
        if not (_PURPOSE.fullmatch(name) and people):
            text = (
                f"{name[:80]!r}: expected a name such as billing, and whom it stands for, such as [validator]"
            )
            yield BrokenRule(loc=("llm", "oversight", "queues"), text=text)
    if spec.decides == "lives" and not spec.reviewers:
        text = "decides is lives: expected the names or roles of those who review every answer"
        yield BrokenRule(loc=("llm", "oversight", "reviewers"), text=text)


def _cache_mistakes(cache: Cache | None) -> Iterator[BrokenRule]:
    if cache is None:
        return
    if not 1 <= cache.entries <= 100_000:
        text = f"entries is {cache.entries}: expected 1 to 100,000"
        yield BrokenRule(loc=("llm", "cache", "entries"), text=text)
    if not 0 < cache.ttl_s <= 86_400:
        text = f"ttl_s is {cache.ttl_s:g}: expected up to 86,400, above 0"
        yield BrokenRule(loc=("llm", "cache", "ttl_s"), text=text)


def _asked_mistakes(spec: Llm) -> Iterator[BrokenRule]:
    yield from _conversation_mistakes(spec.conversations)
    persona, repeats = spec.persona, spec.repeats
    if persona is not None and not (1 <= len(persona.probes) <= 50 and 3 <= persona.times <= 50):
        text = "expected 1 to 50 probes, each asked 3 to 50 times"
        yield BrokenRule(loc=("llm", "persona"), text=text)
    if repeats is None:
        return
    if not (1 <= repeats.questions <= 1_000 and 2 <= repeats.times <= 20):
        text = "expected 1 to 1,000 questions, each asked 2 to 20 times"
        yield BrokenRule(loc=("llm", "repeats"), text=text)
    for name, share in (("least", repeats.least), ("like", repeats.like)):
        if not 0 <= share <= 1:
            text = f"is {share:g}: expected a share from 0 to 1"
            yield BrokenRule(loc=("llm", "repeats", name), text=text)


def _playbook_mistakes(found: tuple[Alternative, ...]) -> Iterator[BrokenRule]:
    names = [one.name for one in found]
    for place, one in enumerate(found):
        taken = sorted(_CALLERS & one.parameters.keys())
        needs_model, needs_context = one.kind in ("model", "fine_tune"), one.kind in ("context", "retrieval")
        wrong = (
            (one.name == "live", "'live' is the live prompt: give it another name"),
            (one.name in names[:place], f"two have the name {one.name!r}: give each its own"),
            (
                not _PURPOSE.fullmatch(one.name),
                f"name is {one.name[:80]!r}: expected such as newer-model",
            ),
            (needs_model and not one.model, "it names no model: say which is asked instead"),
            (bool(one.model) and not all(one.model.partition("/")), "model: expected PROVIDER/MODEL"),
            (one.kind == "parameters" and not one.parameters, "it names no parameters: say which differ"),
            (needs_context and not one.context, "it names no context: say which file stands for which"),
            (bool(taken), f"parameters has {taken[:1]}, which is not its own: take it out"),
        )
        for is_wrong, text in wrong:
            if is_wrong:
                yield BrokenRule(loc=("llm", "playbook", place), text=text)


def _conversation_mistakes(spec: Conversations | None) -> Iterator[BrokenRule]:
    if spec is None:
        return
    at = ("llm", "conversations")
    if not spec.file.startswith(("tests/", "prompts/")):
        text = (
            f"file is {spec.file[:80]!r}: expected one below tests/ or prompts/, which are released as code"
        )
        yield BrokenRule(loc=(*at, "file"), text=text)
    if not 1 <= spec.times <= MOST_PLAYED:
        yield BrokenRule(loc=(*at, "times"), text=f"times is {spec.times}: expected 1 to {MOST_PLAYED}")
    if not 0 < spec.least <= 1:
        text = f"least is {spec.least:g}: expected a share up to 1, above 0"
        yield BrokenRule(loc=(*at, "least"), text=text)


def _feedback_mistakes(rules: FeedbackRules) -> Iterator[BrokenRule]:
    at = ("llm", "feedback")
    sample = rules.sample
    shares = {"edited_from": rules.edited_from, "twice": rules.twice}
    shares |= {"sample.low": sample.low, "sample.medium": sample.medium, "sample.high": sample.high}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            yield BrokenRule(loc=(*at, *name.split(".")), text=f"is {share:g}: expected a share from 0 to 1")
    for name, got, most in (("rating_at_most", rules.rating_at_most, 5), ("implicit", rules.implicit, 4)):
        if not 1 <= got <= most:
            yield BrokenRule(loc=(*at, name), text=f"{name} is {got}: expected 1 to {most}")
    named = rules.categories
    if len(set(named)) != len(named) or not 0 < len(named) <= 12 or not all(map(_CATEGORY.fullmatch, named)):
        text = "expected up to 12 names in lower case, such as wrong or off_topic, each once"
        yield BrokenRule(loc=(*at, "categories"), text=text)
