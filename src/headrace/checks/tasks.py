"""What the tasks have in common: which answer with classes, and which have nothing to learn from but rows."""

from __future__ import annotations

from headrace.core.project import Project, Task

UNSUPERVISED: tuple[Task, ...] = ("anomaly_detection", "clustering")
"""Learn from rows without truth. ``predict`` is whether a row is an anomaly, or its cluster; ``probability``
holds no probabilities then, but scores or memberships that sum to 1, and the largest is the answer."""
GENERATIVE: tuple[Task, ...] = ("text_generation",)
"""Answer with a text. Nothing is trained: a variant is a prompt, and its rows are questions whose good answer
people have said."""
ANOMALY_CLASSES = (False, True)


def answers_classes(task: Task) -> bool:
    """Whether an answer is one of several classes, each with a share; numbers otherwise.

    >>> answers_classes("anomaly_detection"), answers_classes("regression")
    (True, False)
    """
    return task == "classification" or task in UNSUPERVISED


def known_classes(project: Project) -> tuple[bool | int | float | str, ...]:
    """The classes that the task or the charter says, not the data; none where the data says them."""
    if project.task == "anomaly_detection":
        return ANOMALY_CLASSES
    return project.outputs.classes if project.task == "clustering" else ()
