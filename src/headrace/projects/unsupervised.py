"""What a charter may not promise where there is no truth to learn from."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.checks.tasks import UNSUPERVISED
from headrace.core.project import Project

Place = tuple[str | int, ...]
_MOST_BUDGET = 0.5


def wrong_without_truth(project: Project) -> Iterator[tuple[Place, str]]:
    """Where the mistake is, and what is wrong; nothing for tasks that learn from truth."""
    if project.task not in UNSUPERVISED:
        return
    if project.task == "anomaly_detection" and not 0 < project.outputs.budget < _MOST_BUDGET:
        text = f"outputs.budget is {project.outputs.budget}: expected a share between 0 and {_MOST_BUDGET}"
        yield ("outputs", "budget"), f"{text} of the rows that somebody can look at"
    names = project.outputs.classes
    if project.task == "clustering" and (len(names) < 2 or list(names) != list(range(len(names)))):
        text = f"outputs.classes is {list(names)}: clustering needs its clusters named, such as [0, 1, 2]"
        yield ("outputs", "classes"), text
    if project.rollout.min_labels:
        text = "no canary is judged by labels, for no loss holds its answers against them: set it to 0"
        yield ("rollout", "min_labels"), text
    if project.online is not None:
        yield ("online",), f"{project.task} has no labels to go on learning from; remove it"
    if project.fallback is not None and project.fallback.to == "constant":
        text = "there is no constant where there is no target: name a variant or an earlier version"
        yield ("fallback", "to"), text
    for index, trigger in enumerate(project.triggers):
        if trigger.when == "performance":
            text = "nothing measures performance without truth; use drift or schedule"
            yield ("triggers", index, "when"), text
        elif trigger.when in ("drift", "schedule") and trigger.min_labels:
            text = "it learns without labels, so it cannot wait for them: set it to 0"
            yield ("triggers", index, "min_labels"), text
