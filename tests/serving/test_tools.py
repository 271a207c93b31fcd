"""What an agent is told of a model, and what it may send; the whole way is in ``tests/web/test_mcp.py``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.project import Column, Governance, Project
from headrace.serving.tools import ModelTools, describe, input_schema, output_schema
from headrace.testing import make_project
from tests.serving.scene import COLUMNS, ROW, Scene

CALL = {name: values[0] for name, values in ROW.items()}


def told(scene: Scene, **changes: Any) -> tuple[Project, str]:
    project = make_project(**changes)
    (model,) = asyncio.run(scene.handler.describe("cars"))
    return project, describe(project, model)


def tools_of(scene: Scene) -> ModelTools:
    return ModelTools(scene.handler, scene.door.gatekeeper, lambda _: scene.project)


@pytest.mark.requirement("MCP-11")
def test_what_may_go_wrong_and_what_an_answer_is_for_is_said(scene: Scene) -> None:
    data = replace(make_project().data, target="price", unit="EUR")
    governance = Governance(harms="sellers ask too little.", automation="recommends")
    project, text = told(scene, data=data, governance=governance, risk="high")
    assert text.startswith("Predicts the number 'price', in EUR. Model: cars, version 1.")
    assert "It may harm: sellers ask too little. " in text
    assert "a person decides" in text
    assert "Risk: high." in text
    assert f"{project.owner.name} <{project.owner.contact}>" in text
    assert told(scene, task="classification")[1].startswith("Predicts the class ")
    assert "up to 7 days ahead" in told(scene, task="forecasting")[1]
    assert "in EUR" not in told(scene)[1]


@pytest.mark.requirement("MCP-11")
def test_an_input_is_described_by_its_column_and_the_categories_that_are_known(scene: Scene) -> None:
    columns = (*COLUMNS[1:], Column(name="mileage", role="numeric", why="Kilometres driven."))
    project = make_project(data=replace(make_project().data, columns=columns))
    (model,) = asyncio.run(scene.handler.describe("cars"))
    schema = input_schema(project, model)
    assert list(schema["properties"]) == list(ROW)
    assert schema["properties"]["mileage"] == {
        "type": ["number", "null"],
        "description": "Kilometres driven.",
    }
    assert schema["properties"]["model"]["description"] == "Known: a3, a4."
    assert schema["properties"]["leased"]["type"] == ["boolean", "null"]
    assert schema["required"] == list(ROW)
    assert set(model.model.outputs) == set(
        output_schema(project, model)["properties"]["predictions"]["items"]["properties"]
    )


@pytest.mark.requirement("MCP-11")
def test_whom_no_rule_lets_call_tools_gets_none_though_it_may_ask_the_model(scene: Scene) -> None:
    tools = tools_of(scene)
    assert asyncio.run(tools.list(scene.caller)) == []
    with pytest.raises(Denied, match="may not tool.call on tool:predict_cars"):
        asyncio.run(tools.call(scene.caller, "predict_cars", CALL))
    assert scene.events.segments("cars/predictions") == []


@pytest.mark.parametrize("name", ["cars", "predict_", "", "drop_cars"])
def test_what_is_no_tool_is_not_found(scene: Scene, name: str) -> None:
    with pytest.raises(NotFound, match="list the tools"):
        asyncio.run(tools_of(scene).call(scene.caller, name, CALL))


@pytest.mark.parametrize("value", [[1.0], {"a": 1}])
def test_a_call_is_about_one_row(scene: Scene, value: Any) -> None:
    with pytest.raises(InvalidInput, match="one row per call"):
        asyncio.run(tools_of(scene).call(scene.caller, "predict_cars", CALL | {"mileage": value}))
