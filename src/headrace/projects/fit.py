"""Which kind of solution fits a problem: a rule, a model that learns, or a generative one, with the reasons.

The rules are written out below, in the order in which they are asked; the first that holds decides. They are
a convention, made to be read and argued with: the gates, not this, say whether a model works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from headrace.core.project import Project, Task
from headrace.projects.intake import Need, Output, intake_of

Approach = Literal["rule", "classical", "generative", "collect", "undecided"]
Inputs = Literal["table", "text", "images"]
Rules = Literal["none", "some", "all"]
ENOUGH = 50
"""Examples from which on a model that learns is worth a try; as many as the data gate asks for at first."""
_BY_TASK: dict[Task, Output] = {
    "classification": "category", "regression": "number", "forecasting": "number", "text_generation": "text"
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is known of a problem; None where nobody has said it.

    Attributes:
        output: what an answer is; ``inputs``: what it is made from.
        rules: how much of the answer an expert can write down as rules that hold for a year.
        examples: how many right answers are known.
        exact: whether the same question must always have the same, checkable answer.
    """

    output: Output | None = None
    inputs: Inputs | None = None
    rules: Rules | None = None
    examples: int | None = None
    exact: bool | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the answer is one of a known form, so that right and wrong can be counted."""
        return self.output in ("number", "category", "ranking")


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What fits, why, what speaks against the others, and which answers would tell more."""

    approach: Approach
    reasons: tuple[str, ...]
    missing: tuple[str, ...] = ()


class _Rule(NamedTuple):
    holds: Callable[[Problem], bool]
    approach: Approach
    reason: str


_RULES = (
    _Rule(
        lambda one: one.rules == "all",
        "rule",
        "An expert can write the whole answer down. Rules are exact, explain themselves and cost next to "
        "nothing to run; a model would have to beat them first.",
    ),
    _Rule(
        lambda one: one.is_closed and one.examples is not None and one.examples >= ENOUGH,
        "classical",
        "The answer is a number, a category or an order, and enough right answers are known. A model that "
        "learns from them is measured by its loss, answers the same question alike, and within milliseconds; "
        "a generative model gives none of the three for the price.",
    ),
    _Rule(
        lambda one: one.is_closed and one.inputs == "text" and one.exact is not True and _few(one),
        "generative",
        "The answer is one of a known form, read from text, and too few right answers are known to learn "
        "from. A prompted model can begin; keep its answers with their corrections, and ask again when there "
        f"are {ENOUGH}: a model that learns is then likely the better one.",
    ),
    _Rule(
        lambda one: one.is_closed and _few(one),
        "collect",
        "Too few right answers are known to learn from, and no model reads a table that it has never seen. "
        "Let people or a rule decide, and keep what they decide and what came of it.",
    ),
    _Rule(
        lambda one: one.output in ("text", "actions") and one.exact is True,
        "rule",
        "The answer has to be the same and checkable each time, which a generative model does not promise. "
        "Look it up, or fill a template; let a model at most choose which.",
    ),
    _Rule(
        lambda one: one.output in ("text", "actions") and one.exact is False,
        "generative",
        "The answer is open: no list of right ones can be learnt from. Have people or checks look at what it "
        "says, as its mistakes cannot be counted by a loss.",
    ),
)


def recommend(problem: Problem) -> Recommendation:
    """What fits the problem, by the first rule that holds.

    >>> recommend(Problem(output="number", inputs="table", rules="none", examples=5000)).approach
    'classical'
    """
    missing = tuple(_missing(problem))
    for rule in _RULES:
        if rule.holds(problem):
            return Recommendation(
                approach=rule.approach, reasons=(rule.reason, *_besides(problem, rule)), missing=missing
            )
    text = "Too little is known of the problem to say." if missing else "No rule fits the problem."
    return Recommendation(approach="undecided", reasons=(text,), missing=missing)


def problem_of(project: Project) -> Problem:
    """The problem as the charter describes it; of what is not said there, what task and columns say."""
    need = intake_of(project).need or Need(why="", complexity="low")
    roles = {column.role for column in project.data.columns}
    inputs: Inputs = "images" if "image" in roles else "text" if "text" in roles else "table"
    return Problem(
        output=need.output or _BY_TASK[project.task],
        inputs=inputs,
        rules=need.rules,
        examples=need.examples,
        exact=need.exact,
    )


def _few(problem: Problem) -> bool:
    return problem.examples is not None and problem.examples < ENOUGH


def _besides(problem: Problem, rule: _Rule) -> Iterator[str]:
    if problem.rules == "some" and rule.approach != "rule":
        yield "Some of it can be written down: decide that part by rules, and only the rest by a model."
    if problem.rules is None and rule.approach != "rule":
        yield "Nobody has said whether rules would do: try the simplest one as a variant, and compare."


def _missing(problem: Problem) -> Iterator[str]:
    names = ["output", "rules", "examples" if problem.is_closed or problem.output is None else "exact"]
    if problem.is_closed and _few(problem):
        names += ["inputs", "exact"]
    yield from (name for name in names if getattr(problem, name) is None)
