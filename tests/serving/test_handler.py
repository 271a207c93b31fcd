from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.core.errors import Denied, InternalError, InvalidInput, NotFound, Unavailable
from headrace.core.project import PrivacySpec
from headrace.core.record import Prediction
from headrace.core.release import Route
from headrace.serving.handler import INLINE_ROWS
from headrace.serving.inputs import Matrix
from tests.serving.scene import ROW, ROWS, Classifier, Forecaster, Numeric, Scene, StubModel

Stage = Callable[..., Scene]


def _predict(scene: Scene, values: dict[str, list[Any]] | None = None, **more: Any) -> Prediction:
    principal = more.pop("principal", scene.caller)
    columns = ROW if values is None else values
    return asyncio.run(scene.handler.predict("cars", columns, principal=principal, **more))


@pytest.mark.requirement("SRV-06")
@pytest.mark.requirement("MON-06")
def test_an_answer_is_in_the_log_with_its_inputs_and_its_release(scene: Scene) -> None:
    answer = _predict(scene, key="customer-7", keys=["car-1"], request_id="request-1")
    assert scene.predictions() == [answer]
    assert answer.outputs == {"predict": [12.5]}
    assert answer.columns == ROW
    assert (answer.release_id, answer.arm, answer.principal) == ("r1", "live", "caller")
    assert (answer.n_rows, answer.keys, answer.request_id) == (1, ["car-1"], "request-1")
    assert answer.at == answer.event_time == scene.clock.now()
    assert scene.handler.counts() == {"r1": (1, 0)}
    assert scene.handler.logged() == {"cars/predictions": 1}


def test_an_answer_is_a_use_of_the_right_to_predict(scene: Scene) -> None:
    _predict(scene)
    _predict(scene, principal=scene.caller)
    scene.door.access.uses.flush()
    [use] = [one for one in scene.door.store.uses.list() if one.action == "predict"]
    assert (use.principal, use.resource, use.count) == ("caller", "project:cars", 2)


def test_many_rows_are_one_answer(scene: Scene) -> None:
    answer = _predict(scene, ROWS)
    assert answer.outputs == {"predict": [1.0, 0.0, 3.5]}
    assert answer.columns == {
        "mileage": [1.0, None, 3.5],
        "model": ["a3", None, "tt"],
        "leased": [None, True, False],
    }
    assert scene.predictions() == [answer]


@pytest.mark.parametrize("n_rows", [INLINE_ROWS, INLINE_ROWS + 1, 1000])
def test_a_table_gives_the_same_answers_as_its_rows(scene: Scene, n_rows: int) -> None:
    rows: dict[str, list[Any]] = {
        "mileage": [float(i) for i in range(n_rows)],
        "model": ["a3"] * n_rows,
        "leased": [True] * n_rows,
    }
    table = _predict(scene, rows)
    alone = _predict(scene, {name: column[-1:] for name, column in rows.items()})
    assert table.n_rows == n_rows
    assert table.outputs["predict"][-1:] == alone.outputs["predict"]


def test_the_moment_of_the_event_may_be_told(scene: Scene) -> None:
    moment = datetime(2013, 5, 1, tzinfo=UTC)
    assert _predict(scene, event_time=moment).event_time == moment


def test_unseen_categories_are_answered_and_flagged(scene: Scene) -> None:
    assert _predict(scene).unseen is None
    assert _predict(scene, {**ROW, "model": ["quattro"]}).unseen == ["model"]
    assert _predict(scene, ROWS).unseen == ["model"]


def test_empty_text_is_recorded_as_the_gap_that_it_is(scene: Scene) -> None:
    answer = _predict(scene, {**ROW, "model": [""]})
    assert answer.unseen is None
    assert answer.columns["model"] == [None]
    assert _predict(scene, {**ROWS, "model": ["a3", "", None]}).unseen is None


def test_two_classes_have_one_probability_and_more_have_a_table(stage: Stage) -> None:
    two = stage(live=Classifier("no", "yes"))
    assert _predict(two, {**ROW, "mileage": [80.0]}).outputs == {"predict": ["yes"], "probability": [0.8]}
    assert _predict(two, ROWS).outputs["probability"] == [0.01, 0.0, 0.035]
    three = stage(live=Classifier("a", "b", "c"))
    alone = _predict(three, {**ROW, "mileage": [50.0]}).outputs
    assert alone == {"predict": ["c"], "probability": [[0.25, 0.25, 0.5]]}
    assert _predict(three, {k: v * 2 for k, v in ROW.items()}).outputs["probability"][0] == pytest.approx(
        [0.4375, 0.4375, 0.125]
    )


def test_a_forecast_is_logged_with_what_it_was_made_from(stage: Stage) -> None:
    scene = stage(live=Forecaster())
    answer = _predict(scene, {"date": ["2020-03-01", "2020-03-08"], "lag_7": [None, 4.0]})
    assert answer.outputs == {"predict": [10.0, 8.0]}
    assert answer.columns == {
        "date": ["2020-03-01T00:00:00Z", "2020-03-08T00:00:00Z"],
        "lag_7": [5.0, 4.0],
    }
    assert answer.event_time == datetime(2020, 3, 8, tzinfo=UTC)
    assert _predict(scene, {"date": ["2020-03-01"]}).columns["lag_7"] == [5.0]


def test_a_row_that_the_model_refuses_is_the_callers_fault(stage: Stage) -> None:
    scene = stage(live=Forecaster())
    with pytest.raises(InvalidInput, match="needs the moment"):
        _predict(scene, {"date": [None]})
    assert scene.handler.counts() == {}


def test_preparing_and_inferring_are_timed_apart(stage: Stage) -> None:
    class Slow(StubModel):
        def score_row(self, values: Any) -> Any:
            scene.clock.advance(0.25)
            return super().score_row(values)

    scene = stage(live=Slow())
    answer = _predict(scene)
    assert (answer.prepare_ms, answer.infer_ms) == (0.0, 250.0)


@pytest.mark.requirement("DEP-03")
def test_arms_of_a_split_answer_under_their_names_and_keep_their_callers(stage: Stage) -> None:
    scene = stage(canary=StubModel(bias=100.0))
    scene.split(0.5)
    first = {f"customer-{i}": _predict(scene, key=f"customer-{i}") for i in range(60)}
    assert 10 < sum(answer.arm == "b" for answer in first.values()) < 50
    scene.split(0.9)
    for key, answer in first.items():
        again = _predict(scene, key=key)
        assert again.outputs == {"predict": [112.5 if again.arm == "b" else 12.5]}
        assert answer.arm == "a" or again.arm == "b", "the arm that grew loses nobody"
    assert [_predict(scene, version=name).release_id for name in ("a", "b", "1", "2")] == [
        "r1",
        "r2",
        "r1",
        "r2",
    ]
    recorded = {(one.arm, one.release_id) for one in scene.predictions()}
    assert recorded == {("a", "r1"), ("b", "r2")}
    with pytest.raises(NotFound, match="Versions that do: 1, 2"):
        _predict(scene, version="canary")


@pytest.mark.requirement("DEP-02")
def test_the_canary_answers_its_share_and_keeps_its_callers(stage: Stage) -> None:
    scene = stage(canary=StubModel(bias=100.0))
    scene.weigh(0.3)
    first = {key: _predict(scene, key=key) for key in (f"c{i}" for i in range(100))}
    assert 10 < sum(answer.arm == "canary" for answer in first.values()) < 50
    for key, answer in first.items():
        again = _predict(scene, key=key)
        assert (again.release_id, again.arm) == (answer.release_id, answer.arm)
        assert again.outputs == {"predict": [112.5 if answer.arm == "canary" else 12.5]}
    scene.weigh(0.0)
    assert {_predict(scene, key=key).arm for key in first} == {"live"}


def test_without_a_key_each_request_is_drawn_anew(stage: Stage) -> None:
    scene = stage(canary=StubModel())
    scene.weigh(0.5)
    assert {_predict(scene).arm for _ in range(60)} == {"live", "canary"}


def test_a_version_may_be_asked_for(stage: Stage) -> None:
    scene = stage(canary=StubModel(bias=100.0))
    assert _predict(scene, version="2").arm == "canary"
    assert _predict(scene, version="r2").release_id == "r2"
    assert _predict(scene, version="1").arm == "live"
    with pytest.raises(NotFound, match=r"'9' of 'cars' does not answer now. Versions that do: 1, 2"):
        _predict(scene, version="9")


@pytest.mark.requirement("DEP-02")
def test_a_model_that_raises_is_counted_against_its_release(stage: Stage) -> None:
    scene = stage(canary=StubModel(error=ZeroDivisionError("row 3")))
    with pytest.raises(InternalError, match="release r2 could not answer .ZeroDivisionError.*not at fault"):
        _predict(scene, version="2", request_id="mine")
    assert _predict(scene, version="1").arm == "live"
    assert scene.handler.counts() == {"r1": (1, 0), "r2": (0, 1)}
    (failure,) = scene.failures()
    assert (failure.release_id, failure.arm, failure.principal) == ("r2", "canary", "caller")
    assert (failure.error, failure.request_id) == ("ZeroDivisionError: row 3", "mine")
    assert len(scene.predictions()) == 1


@pytest.mark.requirement("PRV-01", "PRV-07")
def test_what_may_not_be_written_down_is_answered_and_not_recorded(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    spec = PrivacySpec(basis="consent", fields={"model": "drop", "mileage": "mask"})
    scene = stage(canary=StubModel(error=KeyError("a4 of jane@work")))
    scene.project = replace(scene.project, privacy=spec)
    answer = _predict(scene, version="1", keys=["jane@work"])
    assert (answer.columns, answer.keys) == (ROW, ["jane@work"]), "who asked gets all of it"
    (recorded,) = scene.predictions()
    assert recorded.columns == {"mileage": [None], "leased": [True]}
    assert recorded.keys is not None
    assert recorded.keys != ["jane@work"]
    with pytest.raises(InternalError):
        _predict(scene, version="2", keys=["jane@work"])
    assert scene.failures()[0].error == "KeyError: '<model> of <key>'"
    assert "jane" not in caplog.text
    assert "in score" in caplog.text, "where it broke"


def test_a_model_that_gives_too_few_rows_has_failed(stage: Stage) -> None:
    class Short(StubModel):
        def score(self, columns: Any) -> dict[str, Any]:
            return {"predict": super().score(columns)["predict"][:-1]}

    scene = stage(live=Short())
    with pytest.raises(InternalError):
        _predict(scene, ROWS)
    assert scene.failures()[0].n_rows == 3


def test_a_package_that_does_not_load_is_counted_too(scene: Scene) -> None:
    scene.rollouts.set_route(Route(project="cars", live="r1", canary="damaged", canary_weight=1.0))
    scene.refresh()
    with pytest.raises(Unavailable, match="damaged cannot be loaded"):
        _predict(scene)
    assert scene.handler.counts()["damaged"] == (0, 1)


def test_a_model_is_loaded_when_a_route_is_newer_than_the_last_round(scene: Scene) -> None:
    scene.rollouts.set_route(Route(project="cars", live="r9"))
    scene.shelf.models["r9"] = StubModel(bias=9.0)
    scene.routes.refresh()
    assert _predict(scene).outputs == {"predict": [21.5]}


@pytest.mark.parametrize(("value", "what"), [("nan", "not a number"), ("inf", "infinite")])
def test_what_is_no_number_is_a_failure_of_the_release_and_no_answer(
    stage: Stage, value: str, what: str
) -> None:
    class Lost(StubModel):
        def score_row(self, values: Any) -> dict[str, Any]:
            return {"predict": float(value)}

    scene = stage(live=Lost())
    with pytest.raises(InternalError, match=r"release r1 could not answer \(ModelFailed\)"):
        _predict(scene)
    assert scene.failures()[0].error == f"ModelFailed: {what}: output 'predict' is {value}"
    assert scene.handler.counts() == {"r1": (0, 1)}
    assert scene.predictions() == []


def test_what_cannot_be_stored_is_not_answered(scene: Scene) -> None:
    scene.events.failing = OSError(28, "No space left on device")
    with pytest.raises(Unavailable, match="No space left"):
        _predict(scene)
    assert scene.handler.counts() == {}
    assert not scene.handler.ready()
    scene.events.failing = None
    _predict(scene)
    assert scene.handler.counts() == {"r1": (1, 0)}
    assert scene.handler.ready()


@pytest.mark.parametrize("role", ["viewer", "validator", "auditor"])
def test_who_may_not_predict_gets_no_answer(scene: Scene, role: str) -> None:
    somebody = scene.person("somebody", role)
    with pytest.raises(Denied, match="Roles that may: caller, developer, operator, admin"):
        _predict(scene, principal=somebody)
    assert scene.predictions() == []
    assert scene.door.audit.entries[-1].action == "access.denied"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"keys": ["a", "b"]}, "'keys' has 2 entries. Expected one for each of 1 rows"),
        ({"keys": ["x" * 257]}, "'keys' entry 0 has 257 characters"),
        ({"key": "x" * 257}, "'key' has 257 characters. Expected at most 256"),
        ({"request_id": "x" * 257}, "'id' has 257 characters"),
        ({"outputs": ["confidence"]}, "no output 'confidence'. Expected one of predict"),
    ],
)
def test_other_parts_of_a_request_are_checked(scene: Scene, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        _predict(scene, **more)
    assert scene.predictions() == []


def test_a_project_without_a_live_release_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound, match="No release of 'vans' is live"):
        asyncio.run(scene.handler.predict("vans", ROW, principal=scene.caller))
    with pytest.raises(NotFound):
        asyncio.run(scene.handler.predict("x" * 5000, ROW, principal=scene.caller))


def test_it_is_ready_once_routes_are_known(scene: Scene) -> None:
    assert scene.handler.ready()
    assert [loaded.release_id for loaded in asyncio.run(scene.handler.describe("cars"))] == ["r1"]
    assert scene.handler.version("r1") == "1"
    assert scene.handler.version("gone") == "gone"


@pytest.mark.requirement("SRV-05")
def test_what_the_model_does_not_expect_is_refused_and_counted_by_who_sent_it(scene: Scene) -> None:
    other = scene.person("billing", "operator")
    for principal, values in (
        (scene.caller, {}),
        (other, {**ROW, "mileage": ["x"]}),
        (other, {"colour": [1]}),
    ):
        with pytest.raises(InvalidInput):
            asyncio.run(scene.handler.predict("cars", values, principal=principal))
    assert scene.handler.refused() == {("cars", "caller"): 1, ("cars", "billing"): 2}
    assert scene.handler.counts() == {}
    assert scene.predictions() == []


def test_values_without_names_are_those_of_the_live_model_whoever_answers(stage: Stage) -> None:
    class Turned(Numeric):
        """A canary that takes the same inputs in another order."""

        inputs = Numeric.inputs[::-1]

    scene = stage(live=Numeric(), canary=Turned(bias=100.0))
    matrix = Matrix([[10.0, 20.0], [2000.0, 3000.0]])
    scene.weigh(1.0)
    answer = asyncio.run(scene.handler.predict("cars", matrix, principal=scene.caller))
    assert (answer.arm, answer.outputs["predict"]) == ("canary", [112.0, 123.0])
    assert answer.columns["mileage"] == [10.0, 20.0]
    # Who asks for a version has read about that version.
    answer = asyncio.run(scene.handler.predict("cars", matrix, principal=scene.caller, version="2"))
    assert answer.columns["year"] == [10.0, 20.0]
    with pytest.raises(InvalidInput, match="Expected 2, in this order: mileage, year"):
        asyncio.run(scene.handler.predict("cars", Matrix([[1.0]]), principal=scene.caller))


def test_inputs_that_the_model_computes_may_be_left_out_of_rows_without_names(stage: Stage) -> None:
    scene = stage(live=Forecaster())
    answer = asyncio.run(scene.handler.predict("cars", Matrix([["2020-03-01"]]), principal=scene.caller))
    assert answer.columns["lag_7"] == [5.0]


def test_too_many_rows_are_refused(scene: Scene) -> None:
    rows = {name: column * 100_001 for name, column in ROW.items()}
    with pytest.raises(InvalidInput, match="100001 rows. Expected at most 100000"):
        _predict(scene, rows)


def test_a_tally_has_counts_and_durations(stage: Stage) -> None:
    class Slow(StubModel):
        def score_row(self, values: Any) -> Any:
            scene.clock.advance(0.25)
            return super().score_row(values)

    scene = stage(live=Slow())
    assert scene.handler.tally("r1").answered == 0
    _predict(scene)
    tally = scene.handler.tally("r1")
    assert (tally.answered, tally.rows, tally.failed, tally.last_at) == (1, 1, 0, scene.predictions()[0].at)
    assert (tally.infer_ms, tally.queue_ms, tally.answered_ms) == (250.0, 0.0, 250.0)


def test_the_index_says_why_a_model_cannot_answer(stage: Stage) -> None:
    scene = stage(canary=StubModel(), refreshed=False)
    scene.routes.refresh()
    waiting = scene.handler.index(scene.caller)
    assert [(one.release_id, one.ready) for one in waiting] == [("r1", False), ("r2", False)]
    assert "loaded when it is asked for" in waiting[0].reason
    del scene.shelf.models["r2"]
    scene.models.keep(["r1", "r2"])
    good, broken = scene.handler.index(scene.caller)
    assert (good.version, good.ready, good.reason) == ("1", True, "")
    assert (broken.ready, "The package is damaged" in broken.reason) == (False, True)


def test_who_operates_a_model_can_have_it_tried_again_at_once(stage: Stage) -> None:
    scene = stage()
    model = scene.shelf.models.pop("r1")
    scene.models.keep([])
    with pytest.raises(Unavailable):
        asyncio.run(scene.handler.reload(scene.caller, "cars"))
    scene.shelf.models["r1"] = model
    asyncio.run(scene.handler.reload(scene.caller, "cars"))
    assert scene.handler.index(scene.caller)[0].ready
