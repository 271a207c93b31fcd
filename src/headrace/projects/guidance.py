"""What was chosen for a new project and why, in words for people without training in data science.

Three answers that need no training in statistics change what is chosen. The rest follows from the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from headrace.core.errors import InvalidInput
from headrace.core.project import Project, Variant

DAY_S = 86_400
GUIDED = {
    "explain": "must each answer be explained to somebody: yes or no?",
    "truth": "after how many days is it known whether an answer was right (0: at once; none: never)?",
    "answers": "how many answers a day are expected?",
}
"""Asked of whoever wants to be guided; by the names of the options of ``headrace init``."""
_ENOUGH = 300
"""Answers that a window should have, so that a shift of a fifth of a standard deviation can be seen."""
_MOST_WINDOW_DAYS = 30
_LEARNERS: dict[str, str] = {
    "baseline": "the simplest answer there is; whatever does not beat it is not worth having",
    "linear": "adds up the inputs, each with a weight: says how much each input counts, and needs few rows",
    "lightgbm": "many small decision trees, one after another: finds bends and combinations by itself",
    "xgboost": "many small decision trees, one after another: finds bends and combinations by itself",
    "forest": "how few random cuts set a row apart; assumes nothing about how numbers are distributed",
    "kmeans": "puts each row to the nearest of some centres; the groups are round and easy to describe",
    "mixture": "a few overlapping clouds; groups may be long, and a row may belong to two of them in part",
}
_METRICS: dict[str, str] = {
    "log_loss": "punishes being sure and wrong, and so rewards honest probabilities, also of rare classes",
    "mae": "how far off an answer is on average, in the unit of the target; one wild row does not decide it",
    "mass_volume": "how little room holds most rows; tells good from bad without anybody labelling anomalies",
    "silhouette_loss": "whether rows are nearer to their own group than to the next one, without any labels",
}


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was said of :data:`GUIDED`; None where nothing was.

    Attributes:
        explain: whether each answer must be explained; trees are then left out.
        truth_days: until the truth is known; infinite if it never is.
        answers_a_day: that are expected.
    """

    explain: bool | None = None
    truth_days: float | None = None
    answers_a_day: float | None = None

    @property
    def window_s(self) -> int | None:
        """A window of whole days with enough answers, a month at most; None if nobody said how many."""
        if not self.answers_a_day:
            return None
        days = -(-_ENOUGH // max(self.answers_a_day, 1e-9))
        return int(min(max(days, 1), _MOST_WINDOW_DAYS)) * DAY_S

    @property
    def min_requests(self) -> int | None:
        """A step of a rollout takes about an hour's answers, 7 at least and 1,000 at most."""
        if not self.answers_a_day:
            return None
        return int(min(max(self.answers_a_day / 24, 7), 1_000))


NONE_GIVEN = Answers()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One thing that was chosen: for what, what it is, why, and where to choose otherwise."""

    about: Literal["algorithm", "evaluation", "monitoring", "rollout"]
    chosen: str
    why: str
    key: str


def read_answers(said: dict[str, str]) -> Answers:
    """The answers as somebody types them.

    >>> read_answers({"explain": "yes", "truth": "none"}).truth_days
    inf

    Raises:
        InvalidInput: one has another form.
    """
    explain = said.get("explain", "").strip().lower()
    if explain not in ("", "yes", "no"):
        raise InvalidInput(f"Whether answers must be explained is {explain[:40]!r}. Expected yes or no.")
    truth = said.get("truth", "").strip().lower()
    return Answers(
        explain=None if not explain else explain == "yes",
        truth_days=inf if truth == "none" else _number("The days until the truth is known", truth, 0),
        answers_a_day=_number("The answers a day", said.get("answers", "").strip(), 1),
    )


def choices(project: Project) -> list[Choice]:
    """What a charter has chosen, each with its reason in plain words.

    >>> from headrace.testing import make_project
    >>> choices(make_project())[0].chosen
    'linear'
    """
    return [*_algorithms(project), *_evaluation(project), *_monitoring(project), *_rollout(project)]


def _number(what: str, text: str, least: float) -> float | None:
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not least <= found < inf:
        raise InvalidInput(f"{what} is {text[:40]!r}. Expected a number, {least:g} or more.")
    return found


def _algorithms(project: Project) -> Iterator[Choice]:
    for variant in project.variants:
        why = _LEARNERS.get(variant.trainer, "the project's own; project.py says how it learns")
        yield Choice(about="algorithm", chosen=variant.name, why=why, key="variants")
    names = [one.trainer for one in project.variants]
    if len(names) > 1:
        why = "all are tried on the same rows, and the one that is best on rows it has not seen is proposed"
        if not {"lightgbm", "xgboost"} & set(names) and "linear" in names:
            why += "; no trees, for each answer has to be explained, and a weighted sum explains itself"
        yield Choice(about="algorithm", chosen="the best of them", why=why, key="variants")


def _evaluation(project: Project) -> Iterator[Choice]:
    metric = project.gates.model.metric
    why = _METRICS.get(metric, "the loss that the charter names; smaller is better")
    yield Choice(about="evaluation", chosen=metric, why=why, key="gates.model.metric")
    split = project.split
    why = "later rows test what earlier ones taught, as it will be in use"
    if split.policy == "random":
        why = "rows have no time, so some are drawn at random for the test; equal rows stay on one side"
    chosen = f"{split.test_fraction:.0%} of the rows, {split.policy}"
    yield Choice(about="evaluation", chosen=chosen, why=why, key="split")
    margin = f"{project.gates.model.margin:.0%}"
    why = f"a new version may be at most {margin} worse than the live one, and must beat the simplest model"
    yield Choice(about="evaluation", chosen="two comparisons", why=why, key="gates.model.margin")


def _monitoring(project: Project) -> Iterator[Choice]:
    days = project.monitors.window_s / DAY_S
    why = "long enough for answers to be compared with what was learnt from, short enough to notice in time"
    yield Choice(about="monitoring", chosen=f"windows of {days:g} days", why=why, key="monitors.window_s")
    whens = [trigger.when for trigger in project.triggers]
    if "performance" in whens:
        why = "the truth comes back, so the loss of live answers is measured and not guessed"
        yield Choice(about="monitoring", chosen="loss of live answers", why=why, key="triggers")
    if "drift" in whens:
        why = "inputs and answers are compared with those of training; it needs no truth, and says it first"
        yield Choice(about="monitoring", chosen="drift of inputs and answers", why=why, key="triggers")


def _rollout(project: Project) -> Iterator[Choice]:
    steps = project.rollout.steps
    shadow = "first it only watches and nobody gets its answers; " if steps[:1] == (0,) else ""
    why = f"{shadow}a new version answers a part of the requests, and is taken back if it is worse"
    chosen = ", ".join(f"{step} %" for step in steps) or "all at once"
    yield Choice(about="rollout", chosen=f"{chosen}, then all", why=why, key="rollout.steps")


def explained(trainers: Sequence[Variant], answers: Answers) -> tuple[Variant, ...]:
    """Those that may be used: without trees where each answer has to be explained, as a weighted sum explains
    itself."""
    trees = ("lightgbm", "xgboost") if answers.explain else ()
    return tuple(one for one in trainers if one.trainer not in trees)
