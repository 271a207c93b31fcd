"""Headrace: carries models and LLM applications from notebook to production and keeps them healthy.

In a project's ``project.py``::

    import headrace


    @headrace.trainer
    def linear(data: headrace.TrainingData, alpha: float = 1.0):
        from sklearn.linear_model import Ridge

        return Ridge(alpha=alpha).fit(data.X, data.y)

In any program beside it, once a release is live::

    headrace.load("cars@live").predict(frame).outputs["predict"]

In a notebook, what the command line, the API and the pages do::

    with headrace.workspace() as here:
        here.lifecycle("cars")

Names are loaded on first use, so that importing this package stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import headrace.plugins.onnx_runtime  # noqa: F401  before anything loads it

if TYPE_CHECKING:
    from headrace.app.answers.local import load
    from headrace.app.workspace import workspace
    from headrace.serving.attached import attach
    from headrace.training.definition import TrainingData, explainer, metric, source, trainer

__version__ = "0.1.0"
__all__ = [
    "TrainingData",
    "__version__",
    "attach",
    "explainer",
    "load",
    "metric",
    "source",
    "trainer",
    "workspace",
]

_HOMES = {
    "TrainingData": "headrace.training.definition",
    "attach": "headrace.serving.attached",
    "explainer": "headrace.training.definition",
    "load": "headrace.app.answers.local",
    "metric": "headrace.training.definition",
    "source": "headrace.training.definition",
    "trainer": "headrace.training.definition",
    "workspace": "headrace.app.workspace",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"headrace has no public name {name!r}. It has: {', '.join(__all__)}.")
    return getattr(import_module(_HOMES[name]), name)
