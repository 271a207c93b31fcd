"""Live models as tools: what an agent is told of each, and how it asks one.

A tool is a door like any other: :class:`headrace.serving.handler.Handler` checks, routes, limits and records.
In front of it stands one more right, ``tool.call`` on the tool, so that a policy can say which agent asks
which model, with which arguments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from headrace.access.gatekeeper import Gatekeeper
from headrace.core.errors import InvalidInput, NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.serving.handler import Handler
from headrace.serving.models import LoadedModel
from headrace.serving.record_form import Answer, answer_of

PREFIX = "predict_"
"""What the name of a tool begins with; the project's follows."""
_MOST_CATEGORIES = 50
_TYPES = {"number": "number", "text": "string", "boolean": "boolean", "time": "string"}
_LIMITS = (
    "It knows only what it was trained on: a category that it never saw is named in 'unseen', and numbers "
    "far from those that it learnt from get answers that nobody has tested. One row per call. Each answer "
    "is on record under your name; quote its 'id' where you use it."
)
_AUTOMATION = {
    "informs": "Use the answer to inform people.",
    "recommends": "Use the answer as a recommendation; a person decides.",
    "decides": "The answer may decide by itself.",
}


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One live model as an agent is told of it; the schemas are JSON Schema."""

    name: str
    title: str
    description: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class ModelTools:
    """The live models that somebody may ask, as tools.

    Args:
        project_of: the project as it is in force.

    Example::

        for tool in await tools.list(agent):
            print(tool.name, tool.description)
        answer = await tools.call(agent, "predict_cars", {"mileage": 15735, "model": "a3"})
    """

    def __init__(
        self, handler: Handler, gatekeeper: Gatekeeper, project_of: Callable[[str], Project]
    ) -> None:
        self._handler = handler
        self._gatekeeper = gatekeeper
        self._project_of = project_of

    async def list(self, principal: Principal) -> list[Tool]:
        """The tools of ``principal``, by name.

        They are of projects that it may ask, if it may call the tool or its token names it. Rules about
        arguments are looked at when it calls.
        """
        named = sorted({one.project for one in self._handler.index(principal)})
        found = []
        for name in named:
            if self._is_offered(principal, name):
                # A model that cannot be loaded now hides none of the others.
                with suppress(Unavailable, NotFound):
                    found.append(await self._tool(name))
        return found

    async def call(self, principal: Principal, name: str, arguments: Mapping[str, Any]) -> Answer:
        """Ask the model behind a tool about one row.

        Args:
            arguments: a value, or None, for each input.

        Raises:
            NotFound: there is no such tool.
            Denied: ``principal`` may not call it with these arguments, or not ask this project.
            InvalidInput, Unavailable, Busy, Unanswered: as any caller of the model is told.
        """
        project = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX) or not project:
            raise NotFound(f"There is no tool {name[:100]!r}. Expected {PREFIX}PROJECT; list the tools.")
        _check_plain(arguments)
        given = {key: "null" if value is None else str(value) for key, value in arguments.items()}
        await asyncio.to_thread(self._gatekeeper.require, principal, "tool.call", f"tool:{name}", given)
        columns = {key: [value] for key, value in arguments.items()}
        prediction = await self._handler.predict(project, columns, principal=principal)
        return answer_of(prediction, self._handler.version(prediction.release_id))

    def _is_offered(self, principal: Principal, project: str) -> bool:
        name = PREFIX + project
        if not self._gatekeeper.allows(principal, "predict", f"project:{project}"):
            return False
        bound = None if principal.session is None else principal.session.tools
        return name in (bound or ()) or self._gatekeeper.allows(principal, "tool.call", f"tool:{name}")

    async def _tool(self, name: str) -> Tool:
        model = (await self._handler.describe(name))[0]
        project = self._project_of(name)
        return Tool(
            name=PREFIX + name,
            title=f"{project.data.target} by {name}",
            description=describe(project, model),
            inputs=input_schema(project, model),
            outputs=output_schema(project, model),
        )


def describe(project: Project, model: LoadedModel) -> str:
    """What an agent has to know: what is predicted, in which unit, who answers for it, where it ends."""
    data, governance = project.data, project.governance
    what = {
        "classification": f"Predicts the class {data.target!r}, with the probability of each class",
        "regression": f"Predicts the number {data.target!r}",
        "forecasting": f"Forecasts the number {data.target!r}, up to {data.horizon_days} days ahead",
        "anomaly_detection": "Says whether a row is unusual among those it learnt from, by a score that is "
        "no probability and flags above 0.5",
        "clustering": "Says which group of rows a row belongs to, and how far it belongs to each",
    }[project.task]
    parts = [
        what + (f", in {data.unit}." if data.unit else "."),
        f"Model: {project.name}, version {model.version}. Purpose: {project.value.hypothesis.rstrip('.')}.",
        f"Accountable: {project.owner.name} <{project.owner.contact}>. Risk: {project.risk}.",
        _AUTOMATION.get(governance.automation or "", ""),
        f"It may harm: {governance.harms.rstrip('.')}." if governance.harms else "",
        _LIMITS,
    ]
    return " ".join(part for part in parts if part)


def input_schema(project: Project, model: LoadedModel) -> dict[str, Any]:
    """One row as JSON Schema: a property for each input of the model."""
    why = {column.name: column.why for column in project.data.columns}
    known = {one.name: sorted(one.categories, key=str) for one in model.known}
    properties = {}
    for name, kind in model.kinds:
        texts = [why.get(name, "")]
        if kind == "time":
            texts.append("A moment as in ISO 8601.")
        if 0 < len(known.get(name, [])) <= _MOST_CATEGORIES:
            texts.append(f"Known: {', '.join(map(str, known[name]))}.")
        properties[name] = {
            "type": [_TYPES[kind], "null"],
            "description": " ".join(text for text in texts if text) or f"Input {name!r}; null if not known.",
        }
    return {
        "type": "object",
        "properties": properties,
        "required": [one.name for one in model.inputs if one.required],
        "additionalProperties": False,
    }


def output_schema(project: Project, model: LoadedModel) -> dict[str, Any]:
    """What a call answers, as JSON Schema: the document of ``POST /api/v1/predict/PROJECT``."""
    unit = f", in {project.data.unit}" if project.data.unit else ""
    answer: dict[str, Any] = {name: {} for name in model.outputs} | {
        "predict": {"description": f"{project.data.target}{unit}"}
    }
    texts = ("id", "project", "release", "version", "arm")
    return {
        "type": "object",
        "properties": {
            **{name: {"type": "string"} for name in texts},
            "subjects": {"type": "array", "items": {"type": "string"}},
            "predictions": {
                "type": "array",
                "items": {"type": "object", "properties": answer, "required": ["predict"]},
            },
            "unseen": {"type": "array", "items": {"type": "string"}},
            "prepare_ms": {"type": "number"},
            "infer_ms": {"type": "number"},
        },
        "required": [*texts, "subjects", "predictions", "unseen"],
    }


def _check_plain(arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        if value is not None and not isinstance(value, bool | int | float | str):
            raise InvalidInput(
                f"Argument {name[:60]!r} is a {type(value).__name__}. Expected a number, text, true, false "
                "or null: one row per call."
            )
