"""Writes a new project's folder from what was inferred about its table."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path
from typing import Literal

from headrace.core.canonical import plain
from headrace.core.errors import Conflict, InvalidInput
from headrace.core.ids import check_name
from headrace.core.project import DataSpec, Governance, RolloutSpec, SplitSpec, Task, Variant
from headrace.projects.charter import load_project
from headrace.projects.deployment_files import render_deployment
from headrace.projects.expert_templates import fill_template
from headrace.projects.flight import TO_TICK, template_of
from headrace.projects.guidance import NONE_GIVEN, Answers, explained
from headrace.projects.intake import Need
from headrace.projects.questions import Promise
from headrace.projects.rendering import filled
from headrace.projects.requirements import NEEDED, pinned

Trees = Literal["lightgbm", "xgboost"]
"""Libraries of boosted trees that a new project may learn with."""
_LARGEST_IN_GIT = 5_000_000
_CODE: dict[Task, str] = {"anomaly_detection": "anomalies.py.j2", "clustering": "clusters.py.j2"}


_PROMPTS = (
    ("prompts/plain.md.j2", "prompts/plain.md"),
    ("prompts/answer.md.j2", "prompts/answer.md"),
    ("prompts/background.md.j2", "prompts/background.md"),
    ("prompts/test_prompts.py.j2", "tests/test_prompts.py"),
)
_PURPOSES: dict[Task, str] = {
    "anomaly_detection": "learning which rows are unusual",
    "clustering": "learning which rows are alike",
    "text_generation": "answering questions",
}
_LEARNERS: dict[Task, tuple[Variant, ...]] = {
    "anomaly_detection": (
        Variant(name="forest", trainer="forest", params={"n_estimators": 100}),
        Variant(name="mixture", trainer="mixture", params={"n_components": 4}),
    ),
    "clustering": (
        Variant(name="kmeans", trainer="kmeans"),
        Variant(name="mixture", trainer="mixture"),
    ),
}


_DAY_S = 86_400.0
_ROLLOUTS: dict[Task, tuple[RolloutSpec, str]] = {
    "forecasting": (
        RolloutSpec(steps=(0, 50), min_requests=7, timeout_s=14 * _DAY_S),
        "first as a shadow for a week of daily forecasts, which are few; then half of them",
    ),
    "anomaly_detection": (
        RolloutSpec(steps=(0, 10, 50)),
        "first as a shadow, for no label would say that it flags too much; then by share of traffic",
    ),
    "clustering": (
        RolloutSpec(steps=(0, 50)),
        "first as a shadow: what a cluster means may have moved, and whoever uses it has to see that",
    ),
    "text_generation": (
        RolloutSpec(steps=(20, 50), min_requests=100, timeout_s=7 * _DAY_S),
        "percent of traffic, each until enough answers have come for feedback to tell them apart",
    ),
}
"""How a kind of model goes live where that is not as for the rest, and why."""
_FEWEST_JUDGED, _MOST_JUDGED = 50, 200
"""Answers of a prompt per step: with fewer, nothing is said of what users think; more are rarely needed."""
_SUPERVISED = (RolloutSpec(steps=(10, 50)), "percent of traffic; full promotion follows the last")


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What a template needs to know. ``n_rows`` and ``digest`` describe the given file; ``personal`` names
    columns that seem to be about people; ``n_clusters`` is of clustering; ``trees`` is what its
    boosted trees are of; ``model`` answers for a prompt, as ``PROVIDER/MODEL``."""

    name: str
    task: Task
    data: DataSpec
    split: SplitSpec
    metric: str
    owner: str
    contact: str
    n_rows: int
    digest: str
    governance: Governance
    promise: Promise
    risk: str = "medium"
    n_clusters: int = 0
    trees: Trees = "lightgbm"
    model: str | None = None
    personal: tuple[str, ...] = ()
    answers: Answers = NONE_GIVEN


def scaffold(
    parent: Path, outline: Outline, source_file: Path, *, template: str | None = None, ask: bool = False
) -> Path:
    """Make ``parent/NAME`` with charter, code, tests and a copy of the data; returns the folder.

    The folder appears whole or not at all.

    Args:
        template: a folder or an address of git, whose files take the place of ours.
        ask: on the terminal what such a template asks and the table does not answer.

    Raises:
        InvalidInput: the name cannot be used, or the disk refuses.
        Conflict: the folder exists and is not empty, or is a file.
    """
    check_name(outline.name, "A project's name")
    folder = parent / outline.name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise Conflict(f"{folder} exists and {what}. Choose another name or remove it first.")
    draft = parent / f".{outline.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        _write(draft, outline, source_file)
        if template is not None:
            _fill(draft, outline, template, ask=ask)
        render_deployment(draft)
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except OSError as error:
        raise InvalidInput(
            f"{folder} cannot be made ({error}). Make {parent} writable for you and see that the "
            "disk has room, or change to another folder."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _write(draft: Path, outline: Outline, source_file: Path) -> None:
    (draft / "data").mkdir(parents=True)
    (draft / "tests").mkdir()
    shutil.copyfile(source_file, draft / outline.data.source)
    context = _context(outline) | {"to_tick": TO_TICK[template_of(outline.task)]}
    made = (
        (_CODE.get(outline.task, "project.py.j2"), "project.py"),
        ("test_project.py.j2", "tests/test_project.py"),
    )
    for template, path in (("headrace.yaml.j2", "headrace.yaml"), *(_PROMPTS if outline.model else made)):
        (draft / path).parent.mkdir(exist_ok=True)
        (draft / path).write_text(filled(template, context), encoding="utf-8")
    (draft / "requirements.txt").write_text(_pinned(outline.trees), encoding="utf-8")
    # Git keeps everything for ever: what is about people, and what is large, stays out of it.
    kept = not outline.personal and source_file.stat().st_size <= _LARGEST_IN_GIT
    ignored = "__pycache__/\n.pytest_cache/\n.venv/\n.env*\n" + ("" if kept else "data/\n")
    (draft / ".gitignore").write_text(ignored, encoding="utf-8")


def _fill(draft: Path, outline: Outline, template: str, *, ask: bool) -> None:
    """Put an expert's template over ours, with what is known about the table as answers."""
    context, expected = _context(outline), outline.promise.expected
    known = {name: context[name] for name in ("name", "task", "owner", "contact", "purpose", "metric")}
    known |= {
        name: getattr(outline.data, name) for name in ("source", "documentation", "target", "time", "key")
    }
    known |= {
        "hypothesis": outline.promise.hypothesis,
        "kpi": outline.promise.kpi,
        "intake": {"need": _stated(outline.promise.need)}
        | (
            {}
            if expected is None
            else {"value": {name: getattr(expected, name) for name in ("expected", "unit", "months")}}
        ),
        "columns": plain(outline.data.columns),
        "governance": plain(outline.governance),
        "basis": None if outline.personal else "not_personal",
    }
    fill_template(template, draft, known, ask=ask)
    found = load_project(draft)
    if found.task != outline.task:
        raise InvalidInput(
            f"The template is for {found.task}, and {outline.data.target!r} asks for {outline.task}. Choose "
            "another template, or another target."
        )


def _stated(need: Need) -> dict[str, object]:
    """A need as a charter has it; what nobody has said is left out."""
    alternatives = [{"name": one.name, "kind": one.kind, "reached": one.reached} for one in need.alternatives]
    return {"why": need.why, "complexity": need.complexity, "alternatives": alternatives}


def _context(outline: Outline) -> dict[str, object]:
    forecasting = outline.task == "forecasting"
    rollout, steps_because = _ROLLOUTS.get(outline.task, _SUPERVISED)
    least = outline.answers.min_requests or rollout.min_requests
    if outline.task == "text_generation":
        least = min(max(least, _FEWEST_JUDGED), _MOST_JUDGED)
    # A caller may ask four times what is expected on average, and enough for a whole rollout.
    calls = sum(least * 100 / (share or 100) for share in rollout.steps)
    hourly = max(4 * (outline.answers.answers_a_day or 0.0) / 24, calls)
    return {
        "rollout": replace(rollout, min_requests=least),
        "most_an_hour": max(1_000, 100 * ceil(hourly / 100)),
        "truth_comes": outline.answers.truth_days != inf,
        "steps_because": steps_because,
        "name": outline.name,
        "task": outline.task,
        "risk": outline.risk,
        "governance": outline.governance,
        "owner": outline.owner,
        "contact": outline.contact,
        "promise": outline.promise,
        "purpose": _PURPOSES.get(outline.task, f"learning to predict {outline.data.target}"),
        "clusters": list(range(outline.n_clusters)),
        "personal": outline.personal,
        "data": outline.data,
        "split": outline.split,
        "metric": outline.metric,
        "min_rows": max(10, min(50, outline.n_rows // 2)),
        "window_s": outline.answers.window_s or (86_400 if forecasting else 604_800),
        "shift": 0.5 if forecasting else 0.2,
        "loss_ratio": 1.5 if forecasting else 1.1,
        "monitor_min_rows": 1 if forecasting else 30,
        "trees": outline.trees,
        "model": outline.model,
        "variants": explained(_variants(outline.task, outline.trees), outline.answers),
    }


def _pinned(trees: Trees) -> str:
    return pinned(NEEDED if trees == "lightgbm" else (*NEEDED, f"headrace[{trees}]"))


def _variants(task: Task, library: Trees) -> tuple[Variant, ...]:
    if task == "text_generation":
        return tuple(Variant(name=name, trainer=f"prompts/{name}.md") for name in ("plain", "answer"))
    if task in _LEARNERS:
        return (Variant(name="baseline", trainer="baseline"), *_LEARNERS[task])
    forecasts = task == "forecasting"
    linear: dict[str, float | int | str | bool] = {"alpha": 10.0 if forecasts else 1.0}
    if task == "classification":
        linear = {"C": 1.0}
    trees: dict[str, float | int | str | bool] = {
        "n_estimators": 100 if forecasts else 200,
        "learning_rate": 0.05,
    }
    if library == "lightgbm":
        trees["num_leaves"] = 8 if forecasts else 31
    return (
        Variant(name="baseline", trainer="baseline"),
        Variant(name="linear", trainer="linear", params=linear),
        Variant(name=library, trainer=library, params=trees),
    )
