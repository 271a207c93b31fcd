from __future__ import annotations

from typing import Any

from headrace.serving.metadata import model_config, model_metadata, server_metadata, statistics
from headrace.serving.models import LoadedModel, LoadedModels
from headrace.serving.statistics import Tally
from headrace.testing.clock import START, FakeClock
from tests.serving.scene import Classifier, Forecaster, Numeric, StubModel


def _loaded(model: StubModel) -> LoadedModel:
    return LoadedModels(lambda _: model, FakeClock(), version_of=lambda _: "3").get("r1")


def _described(model: StubModel) -> dict[str, Any]:
    return model_metadata("cars", [_loaded(model)])


def test_a_model_describes_what_it_expects_and_gives() -> None:
    assert _described(StubModel()) == {
        "name": "cars",
        "versions": ["3"],
        "platform": "headrace_onnx",
        "inputs": [
            {"name": "mileage", "datatype": "FP64", "shape": [-1]},
            {"name": "model", "datatype": "BYTES", "shape": [-1]},
            {"name": "leased", "datatype": "BOOL", "shape": [-1]},
        ],
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
    }
    assert _described(Forecaster())["inputs"][0] == {"name": "date", "datatype": "BYTES", "shape": [-1]}


def test_a_classifier_says_how_sure_it_is() -> None:
    assert _described(Classifier("no", "yes"))["outputs"] == [
        {"name": "predict", "datatype": "BYTES", "shape": [-1]},
        {"name": "probability", "datatype": "FP64", "shape": [-1]},
        {"name": "confidence", "datatype": "FP64", "shape": [-1]},
    ]
    shapes = [output["shape"] for output in _described(Classifier("a", "b", "c"))["outputs"]]
    assert shapes == [[-1], [-1, 3], [-1]]


def test_one_tensor_for_all_inputs_is_declared_where_all_are_numbers() -> None:
    assert _described(Numeric())["parameters"] == {
        "matrix": {"name": "inputs", "datatype": "FP64", "shape": [-1, 2], "columns": ["mileage", "year"]}
    }
    assert "parameters" not in _described(StubModel())


def test_the_configuration_is_that_of_the_metadata() -> None:
    config = model_config("cars", [_loaded(StubModel())])
    assert (config["name"], config["max_batch_size"]) == ("cars", 0)
    assert config["input"][1] == {
        "name": "model",
        "data_type": "TYPE_STRING",
        "dims": [-1],
        "optional": False,
    }
    assert config["output"] == [{"name": "predict", "data_type": "TYPE_FP64", "dims": [-1]}]
    assert [one["optional"] for one in model_config("x", [_loaded(Forecaster())])["input"]] == [False, True]


def test_durations_are_counted_apart() -> None:
    tally = Tally(answered=2, rows=5, failed=1, answered_ms=8.0, failed_ms=0.5, queue_ms=1.0, last_at=START)
    tally.prepare_ms, tally.infer_ms, tally.record_ms = 2.0, 3.0, 1.5
    found = statistics("cars", "3", tally)
    assert (found["inference_count"], found["execution_count"]) == (5, 2)
    assert found["last_inference"] == START.timestamp() * 1000
    assert found["inference_stats"] == {
        "success": {"count": 2, "ns": 8_000_000},
        "fail": {"count": 1, "ns": 500_000},
        "queue": {"count": 2, "ns": 1_000_000},
        "compute_input": {"count": 2, "ns": 2_000_000},
        "compute_infer": {"count": 2, "ns": 3_000_000},
        "compute_output": {"count": 2, "ns": 1_500_000},
    }
    assert statistics("cars", "3", Tally())["last_inference"] == 0


def test_the_server_names_its_extensions() -> None:
    described = server_metadata()
    assert described["name"] == "headrace"
    assert "binary_tensor_data" in described["extensions"]
