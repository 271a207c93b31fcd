"""What a team keeps in MLflow, and a request for every route by which somebody could get at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import httpx

TWO, THREE = "/ajax-api/2.0/mlflow", "/ajax-api/3.0/mlflow"  # some routes have no other prefix
PROXIED = "/api/2.0/mlflow-artifacts/artifacts"
Ask = Callable[..., httpx.Response]


@dataclass(kw_only=True)
class Owned:
    """Ids of what one workspace keeps; ``mark`` stands in everything that its people have written."""

    experiment: str
    mark: str
    ids: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> str:
        return self.ids[name]


class Attempt(NamedTuple):
    """One request.

    Attributes:
        shows: whether its answer to the owner holds what the owner has written.
        status: of its answer to the owner.
    """

    method: str
    path: str
    body: Any = None
    shows: bool = False
    status: int = 200


shown = partial(Attempt, "GET", shows=True)
got = partial(Attempt, "GET")
posted = partial(Attempt, "POST")
patched = partial(Attempt, "PATCH")
deleted = partial(Attempt, "DELETE")


def fill(ask: Ask, artifacts: str, name: str) -> Owned:
    """Write one of everything.

    Args:
        ask: sends one request as somebody of the workspace: method, path, and ``json`` or ``content``.
        artifacts: where MLflow keeps this workspace's artefacts, such as ``workspaces/default``.
        name: what its registered model is called.
    """

    def post(path: str, **body: Any) -> Any:
        answer = ask("POST", path, json=body)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    mark = f"zebra-{name}"
    tags = [{"key": "colour", "value": mark}]
    experiment = post(f"{TWO}/experiments/create", name=f"{mark}-{name}", tags=tags)["experiment_id"]
    own = Owned(experiment=experiment, mark=mark, ids={"artifacts": artifacts, "model_name": name})
    made = post(f"{TWO}/runs/create", experiment_id=experiment, run_name=mark, start_time=1, tags=tags)
    own.ids["run"] = run = made["run"]["info"]["run_id"]
    post(f"{TWO}/runs/log-metric", run_id=run, key=mark, value=1.0, timestamp=1, step=1)
    post(f"{TWO}/runs/log-parameter", run_id=run, key="alpha", value=mark)
    dataset = {"name": mark, "digest": "d1", "source_type": "local", "source": mark}
    post(f"{TWO}/runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": []}])
    for place in (f"{experiment}/{run}/artifacts/model/MLmodel", f"{experiment}/{run}/artifacts/{mark}.txt"):
        put = ask("PUT", f"{PROXIED}/{artifacts}/{place}", content=mark.encode())
        assert put.status_code == 200, put.text
    logged = post(
        f"{TWO}/logged-models", experiment_id=experiment, name=mark, source_run_id=run, tags=tags,
        params=[{"key": "alpha", "value": mark}],
    )  # fmt: skip
    own.ids["logged"] = model = logged["model"]["info"]["model_id"]
    place = f"{experiment}/models/{model}/artifacts/{mark}.txt"
    assert ask("PUT", f"{PROXIED}/{artifacts}/{place}", content=mark.encode()).status_code == 200
    post(f"{TWO}/registered-models/create", name=name, description=mark, tags=tags)
    post(f"{TWO}/model-versions/create", name=name, source=f"runs:/{run}/model", run_id=run, description=mark)
    post(f"{TWO}/registered-models/alias", name=name, alias="mine", version="1")
    own.ids["trace"] = own.ids["spans"] = ""
    _fill_traces(ask, post, own)
    _fill_reviews(post, own)
    return own


def _fill_traces(ask: Ask, post: Callable[..., Any], own: Owned) -> None:
    trace = f"tr-{own.run}"
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": own.experiment}}
    about = {
        "trace_id": trace, "trace_location": where, "request_time": "2026-01-01T00:00:00Z", "state": "OK",
        "request_preview": own.mark, "response_preview": own.mark, "tags": {"colour": own.mark},
        "trace_metadata": {"m": own.mark},
    }  # fmt: skip
    post(f"{THREE}/traces", trace={"trace_info": about})
    spans = ask(
        "POST",
        "/v1/traces",
        json=spans_of(own.run, own.mark),
        headers={"x-mlflow-experiment-id": own.experiment},
    )
    assert spans.status_code == 200, spans.text
    own.ids["trace"] = trace
    own.ids["span"] = own.run[:16]
    assessed = post(
        f"{THREE}/traces/{trace}/assessments",
        assessment={
            "assessment_name": own.mark, "trace_id": trace, "feedback": {"value": own.mark},
            "source": {"source_type": "HUMAN", "source_id": "x"}, "create_time": "2026-01-01T00:00:00Z",
            "last_update_time": "2026-01-01T00:00:00Z",
        },
    )  # fmt: skip
    own.ids["assessment"] = assessed["assessment"]["assessment_id"]


def spans_of(trace: str, name: str, **attributes: str) -> dict[str, Any]:
    """Spans as OpenTelemetry's JSON; ``trace`` has 32 hexadecimal digits."""
    held = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    span = {
        "traceId": trace, "spanId": trace[:16], "name": name, "kind": 1, "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": "2000000000", "attributes": held, "status": {"code": 1},
    }  # fmt: skip
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}


def _fill_reviews(post: Callable[..., Any], own: Owned) -> None:
    dataset = post(
        f"{THREE}/datasets/create", name=f"{own.mark}-{own.run[:6]}", experiment_ids=[own.experiment],
        tags=json.dumps({"colour": own.mark}),
    )  # fmt: skip
    own.ids["dataset"] = dataset["dataset"]["dataset_id"]
    records = [{"inputs": {"question": own.mark}, "expectations": {"answer": own.mark}}]
    post(f"{THREE}/datasets/{own.dataset}/records", records=json.dumps(records))
    issue = post(
        f"{THREE}/issues", experiment_id=own.experiment, name=own.mark, description=own.mark, created_by="x"
    )
    own.ids["issue"] = issue["issue"]["issue_id"]
    schema = post(
        f"{THREE}/label-schemas/create", experiment_id=own.experiment, name=own.mark, type="FEEDBACK",
        input={"text": {}}, instruction=own.mark,
    )  # fmt: skip
    own.ids["schema"] = schema["label_schema"]["schema_id"]
    queue = post(
        f"{THREE}/review-queues/create", experiment_id=own.experiment, name=own.mark, queue_type="CUSTOM",
        created_by="x", schema_ids=[own.schema],
    )  # fmt: skip
    own.ids["queue"] = queue["review_queue"]["queue_id"]
    post(f"{THREE}/review-queues/items/add", queue_id=own.queue, item_type="TRACE", item_ids=[own.trace])


def attempts(own: Owned, other: Owned) -> list[Attempt]:
    """One or more requests for every route that is not closed, each after something that ``own`` is.

    Args:
        other: what whoever asks keeps themselves; where a request joins two things, this is its other end.
    """
    reads = [*_reads(own), *_registry_reads(own), *_trace_reads(own)]
    changed = [*_changes(own, other), *_registry_changes(own, other), *_trace_changes(own, other)]
    return [*reads, *changed, *_ends(own)]


def _query(**fields: Any) -> str:
    return str(httpx.QueryParams({name: value for name, value in fields.items() if value is not None}))


def _reads(own: Owned) -> list[Attempt]:
    e, run, model, name = own.experiment, own.run, own.logged, own.model_name
    graph = (
        f'mlflowGetRun(input: {{runId: "{run}"}}) {{ run {{ info {{ runName }} }} }} '
        f'mlflowGetExperiment(input: {{experimentId: "{e}"}}) {{ experiment {{ name }} }} '
        f'mlflowListArtifacts(input: {{runId: "{run}"}}) {{ files {{ path }} }} '
        f'mlflowSearchRuns(input: {{experimentIds: ["{e}"]}}) {{ runs {{ info {{ runName }} }} }} '
        f"mlflowSearchModelVersions(input: {{filter: \"name='{name}'\"}}) "
        "{ modelVersions { description } }"
    )
    return [
        shown(f"{TWO}/experiments/get?{_query(experiment_id=e)}"),
        Attempt(
            "GET", f"{TWO}/experiments/get-by-name?{_query(experiment_name=f'{own.mark}-{name}')}", None, True
        ),
        shown(f"{TWO}/experiments/search?max_results=100"),
        posted(f"{TWO}/experiments/search", {"max_results": 100}, shows=True),
        posted(f"{TWO}/experiments/search-datasets", {"experiment_ids": [e]}, shows=True),
        shown(f"{TWO}/runs/get?{_query(run_id=run)}"),
        posted(f"{TWO}/runs/search", {"experiment_ids": [e]}, shows=True),
        shown(f"{TWO}/artifacts/list?{_query(run_id=run)}"),
        shown(f"{TWO}/metrics/get-history?{_query(run_id=run, metric_key=own.mark)}"),
        Attempt(
            "GET", f"{TWO}/metrics/get-history-bulk?{_query(run_id=run, metric_key=own.mark)}", None, True
        ),
        Attempt(
            "GET",
            f"{TWO}/metrics/get-history-bulk-interval?{_query(run_ids=run, metric_key=own.mark)}",
            None,
            True,
        ),
        shown(f"{TWO}/logged-models/{model}"),
        posted(f"{TWO}/logged-models/search", {"experiment_ids": [e]}, shows=True),
        shown(f"{TWO}/logged-models/{model}/artifacts/directories"),
        Attempt(
            "GET",
            f"{TWO}/logged-models/{model}/artifacts/files?artifact_file_path={own.mark}.txt",
            None,
            True,
        ),
        shown(f"/get-artifact?run_id={run}&path={own.mark}.txt"),
        shown(f"{PROXIED}?path={own.artifacts}/{e}/{run}/artifacts"),
        shown(f"{PROXIED}/{own.artifacts}/{e}/{run}/artifacts/{own.mark}.txt"),
        posted("/graphql", {"query": "{ " + graph + " }"}, shows=True),
    ]


def _registry_reads(own: Owned) -> list[Attempt]:
    e, name, ds = own.experiment, own.model_name, own.dataset
    return [
        shown(f"{TWO}/registered-models/get?name={name}"),
        shown(f"{TWO}/registered-models/search"),
        shown(f"{TWO}/registered-models/alias?name={name}&alias=mine"),
        shown(f"{TWO}/registered-models/get-latest-versions?name={name}"),
        posted(f"{TWO}/registered-models/get-latest-versions", {"name": name}, shows=True),
        shown(f"{TWO}/model-versions/get?name={name}&version=1"),
        shown(f"{TWO}/model-versions/search"),
        got(f"{TWO}/model-versions/get-download-uri?name={name}&version=1"),
        # MLflow's server cannot follow runs:/ over a database; its clients do.
        got(f"/model-versions/get-artifact?name={name}&version=1&path=MLmodel", status=500),
        shown(f"{THREE}/datasets/{ds}"),
        shown(f"{THREE}/datasets/{ds}/records"),
        got(f"{THREE}/datasets/{ds}/experiment-ids"),
        shown(f"{THREE}/datasets/search?{_query(experiment_ids=e)}"),
        posted(f"{THREE}/datasets/search", {"experiment_ids": [e]}, shows=True),
        got(f"{THREE}/scorers/get?{_query(experiment_id=e, name='none', version=1)}", status=404),
        got(f"{THREE}/scorers/list?{_query(experiment_id=e)}"),
        got(f"{THREE}/scorers/versions?{_query(experiment_id=e, name='none')}", status=404),
        got(f"{THREE}/scorers/online-configs?scorer_ids=none"),
    ]


def _trace_reads(own: Owned) -> list[Attempt]:
    e, trace = own.experiment, own.trace
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": e}}
    counted = {"aggregation_type": "COUNT"}
    return [
        shown(f"{TWO}/traces?{_query(experiment_ids=e)}"),
        shown(f"{TWO}/traces/{trace}/info"),
        shown(f"{TWO}/get-trace-artifact?request_id={trace}"),
        shown(f"{THREE}/get-trace-artifact?request_id={trace}"),
        shown(f"{THREE}/traces/{trace}"),
        shown(f"{THREE}/traces/get?trace_id={trace}"),
        shown(f"{THREE}/traces/batchGet?trace_ids={trace}"),
        posted(f"{THREE}/traces/batchGetInfos", {"trace_ids": [trace]}, shows=True),
        posted(f"{THREE}/traces/search", {"locations": [where]}, shows=True),
        posted(
            f"{THREE}/traces/calculate-filter-correlation",
            {"experiment_ids": [e], "filter_string1": "status='OK'", "filter_string2": "status='OK'"},
        ),
        posted(
            f"{THREE}/traces/metrics",
            {
                "experiment_ids": [e],
                "view_type": "TRACES",
                "metric_name": "trace_count",
                "aggregations": [counted],
                "dimensions": ["trace_name"],
            },
        ),
        shown(f"{THREE}/traces/{trace}/assessments/{own.assessment}"),
        shown(f"{THREE}/issues/{own.issue}"),
        posted(f"{THREE}/issues/search", {"experiment_id": e}, shows=True),
        shown(f"{THREE}/label-schemas/get?schema_id={own.schema}"),
        shown(f"{THREE}/label-schemas/get-by-name?{_query(experiment_id=e, name=own.mark)}"),
        shown(f"{THREE}/label-schemas/list?{_query(experiment_id=e)}"),
        shown(f"{THREE}/review-queues/get?queue_id={own.queue}"),
        shown(f"{THREE}/review-queues/get-by-name?{_query(experiment_id=e, name=own.mark)}"),
        shown(f"{THREE}/review-queues/list?{_query(experiment_id=e)}"),
        got(f"{THREE}/review-queues/items/list?queue_id={own.queue}"),
    ]


def _changes(own: Owned, other: Owned) -> list[Attempt]:
    e, run, model = own.experiment, own.run, own.logged
    one = {"key": "touched", "value": "yes"}
    source = {"name": "n", "digest": "d", "source_type": "local", "source": "s"}
    described = json.dumps({"run_id": run, "artifact_path": "m", "utc_time_created": "2026", "flavors": {}})
    return [
        posted(f"{TWO}/experiments/create", {"name": f"touched-{own.model_name}", "tags": [one]}),
        posted(f"{TWO}/experiments/update", {"experiment_id": e, "new_name": f"{own.mark}-2"}),
        posted(f"{TWO}/experiments/set-experiment-tag", {"experiment_id": e, **one}),
        posted(f"{TWO}/experiments/delete-experiment-tag", {"experiment_id": e, "key": "touched"}),
        posted(f"{TWO}/runs/create", {"experiment_id": e, "start_time": 1}),
        posted(f"{TWO}/runs/update", {"run_id": run, "run_name": "touched"}),
        posted(f"{TWO}/runs/set-tag", {"run_id": run, **one}),
        posted(f"{TWO}/runs/delete-tag", {"run_id": run, "key": "touched"}),
        posted(f"{TWO}/runs/log-metric", {"run_id": run, "key": "m", "value": 1.0, "timestamp": 1}),
        posted(f"{TWO}/runs/log-parameter", {"run_id": run, "key": "p", "value": "1"}),
        posted(f"{TWO}/runs/log-batch", {"run_id": run, "tags": [one]}),
        posted(
            f"{TWO}/runs/log-inputs",
            {"run_id": run, "datasets": [{"dataset": source, "tags": []}]},
        ),
        posted(f"{TWO}/runs/log-inputs", {"run_id": run, "models": [{"model_id": other.logged}]}),
        posted(f"{TWO}/runs/outputs", {"run_id": run, "models": [{"model_id": other.logged, "step": 0}]}),
        posted(
            f"{TWO}/runs/log-model",
            {"run_id": run, "model_json": described},
        ),
        posted(f"{TWO}/upload-artifact?run_uuid={run}&path=touched.txt", b"touched"),
        Attempt(
            "PUT",
            f"{PROXIED}/{own.artifacts}/{e}/{run}/artifacts/touched.txt",
            b"touched",
        ),
        posted(f"{TWO}/logged-models", {"experiment_id": e, "name": "touched"}),
        posted(
            f"{TWO}/logged-models/{model}/params", {"model_id": model, "params": [{"key": "b", "value": "1"}]}
        ),
        patched(f"{TWO}/logged-models/{model}/tags", {"model_id": model, "tags": [one]}),
        deleted(f"{TWO}/logged-models/{model}/tags/touched", {}),
        patched(f"{TWO}/logged-models/{model}", {"model_id": model, "status": "LOGGED_MODEL_READY"}),
    ]


def _registry_changes(own: Owned, other: Owned) -> list[Attempt]:
    e, run, name, ds = own.experiment, own.run, own.model_name, own.dataset
    one = {"key": "touched", "value": "yes"}
    return [
        posted(f"{TWO}/registered-models/create", {"name": f"touched-{name}", "tags": [one]}),
        posted(f"{TWO}/registered-models/set-tag", {"name": name, **one}),
        deleted(f"{TWO}/registered-models/delete-tag", {"name": name, "key": "touched"}),
        patched(f"{TWO}/registered-models/update", {"name": name, "description": f"{own.mark} 2"}),
        posted(f"{TWO}/registered-models/alias", {"name": name, "alias": "other", "version": "1"}),
        deleted(f"{TWO}/registered-models/alias", {"name": name, "alias": "other"}),
        posted(f"{TWO}/model-versions/set-tag", {"name": name, "version": "1", **one}),
        deleted(f"{TWO}/model-versions/delete-tag", {"name": name, "version": "1", "key": "touched"}),
        patched(f"{TWO}/model-versions/update", {"name": name, "version": "1", "description": "touched"}),
        posted(
            f"{TWO}/model-versions/transition-stage",
            {"name": name, "version": "1", "stage": "Archived", "archive_existing_versions": False},
        ),
        posted(f"{TWO}/model-versions/create", {"name": name, "source": f"runs:/{run}/model", "run_id": run}),
        posted(
            f"{THREE}/datasets/{ds}/records", {"records": json.dumps([{"inputs": {"question": "touched"}}])}
        ),
        patched(f"{THREE}/datasets/{ds}/tags", {"tags": json.dumps({"touched": "yes"})}),
        deleted(f"{THREE}/datasets/{ds}/tags/touched", {}),
        posted(f"{THREE}/datasets/{ds}/add-experiments", {"experiment_ids": [other.experiment]}),
        posted(f"{THREE}/datasets/{ds}/remove-experiments", {"experiment_ids": [other.experiment]}),
        posted(f"{THREE}/datasets/{other.dataset}/add-experiments", {"experiment_ids": [e]}),
        posted(f"{THREE}/datasets/create", {"name": f"touched-{run[:6]}", "experiment_ids": [e]}),
    ]


def _trace_changes(own: Owned, other: Owned) -> list[Attempt]:
    e, trace = own.experiment, own.trace
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": e}}
    about = {"trace_location": where, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
    assessment = {
        "assessment_name": "touched", "trace_id": trace, "source": {"source_type": "HUMAN", "source_id": "x"},
        "feedback": {"value": "touched"},
    }  # fmt: skip
    new = f"tr-{own.run[:8]}{'0' * 24}"
    one = {"key": "touched", "value": "yes"}
    queue = {"experiment_id": e, "name": "touched", "queue_type": "CUSTOM", "created_by": "x"}
    schema = {"experiment_id": e, "name": "touched", "type": "FEEDBACK", "input": {"text": {}}}
    return [
        posted(f"{TWO}/traces", {"experiment_id": e, "timestamp_ms": 1, "request_metadata": [], "tags": []}),
        patched(f"{TWO}/traces/{trace}", {"request_id": trace, "timestamp_ms": 2, "status": "OK"}),
        patched(f"{TWO}/traces/{trace}/tags", {"request_id": trace, **one}),
        deleted(f"{TWO}/traces/{trace}/tags", {"request_id": trace, "key": "touched"}),
        posted(f"{THREE}/traces", {"trace": {"trace_info": {"trace_id": new, **about}}}),
        patched(f"{THREE}/traces/{trace}/tags", {"trace_id": trace, **one}),
        deleted(f"{THREE}/traces/{trace}/tags", {"trace_id": trace, "key": "touched"}),
        posted(f"{TWO}/traces/link-to-run", {"trace_ids": [trace], "run_id": other.run}),
        posted(f"{TWO}/traces/link-to-run", {"trace_ids": [other.trace], "run_id": own.run}),
        posted(
            f"{TWO}/traces/link-prompts",
            {"trace_id": trace, "prompt_versions": [{"name": "touched", "version": "1"}]},
        ),
        posted("/v1/traces", spans_of(own.run, own.mark)),
        posted(f"{THREE}/traces/{trace}/assessments", {"assessment": assessment}),
        patched(
            f"{THREE}/traces/{trace}/assessments/{own.assessment}",
            {
                "assessment": {"assessment_id": own.assessment, "trace_id": trace, "rationale": "touched"},
                "update_mask": "rationale",
            },
        ),
        posted(f"{THREE}/issues", {"experiment_id": e, "name": "touched", "description": "touched"}),
        patched(f"{THREE}/issues/{own.issue}", {"issue_id": own.issue, "name": f"{own.mark} touched"}),
        posted(f"{THREE}/label-schemas/create", schema),
        patched(f"{THREE}/label-schemas/update", {"schema_id": own.schema, "instruction": "touched"}),
        posted(f"{THREE}/review-queues/create", queue),
        posted(
            f"{THREE}/review-queues/get-or-create-user",
            {"experiment_id": e, "user": "someone", "created_by": "x"},
        ),
        posted(
            f"{THREE}/review-queues/items/add",
            {"queue_id": own.queue, "item_type": "TRACE", "item_ids": [trace]},
        ),
        posted(
            f"{THREE}/review-queues/items/set-status",
            {"queue_id": own.queue, "item_id": trace, "status": "COMPLETE", "completed_by": "x"},
        ),
        posted(f"{THREE}/review-queues/update", {"queue_id": own.queue, "name": f"{own.mark} touched"}),
    ]


def _ends(own: Owned) -> list[Attempt]:
    """Deletions, last; what is deleted softly comes back in between."""
    e, run, trace, name = own.experiment, own.run, own.trace, own.model_name
    return [
        deleted(f"{THREE}/datasets/{own.dataset}/records", {"dataset_record_ids": ["none"]}),
        deleted(f"{THREE}/datasets/{own.dataset}", {}),
        posted(f"{THREE}/review-queues/items/remove", {"queue_id": own.queue, "item_ids": [trace]}),
        posted(f"{THREE}/review-queues/delete", {"queue_id": own.queue}),
        deleted(f"{THREE}/label-schemas/delete", {"schema_id": own.schema}),
        deleted(f"{THREE}/traces/{trace}/assessments/{own.assessment}", {}),
        posted(f"{TWO}/traces/delete-traces", {"experiment_id": e, "request_ids": [trace]}),
        posted(
            f"{THREE}/traces/delete-traces", {"experiment_id": e, "max_timestamp_millis": 9_999_999_999_999}
        ),
        deleted(f"{TWO}/model-versions/delete", {"name": name, "version": "1"}),
        posted(f"{TWO}/registered-models/rename", {"name": name, "new_name": f"{name}-2"}),
        deleted(f"{TWO}/registered-models/delete", {"name": f"{name}-2"}),
        deleted(f"{TWO}/logged-models/{own.logged}", {}),
        deleted(f"{PROXIED}/{own.artifacts}/{e}/{run}/artifacts/{own.mark}.txt"),
        posted(f"{TWO}/runs/delete", {"run_id": run}),
        posted(f"{TWO}/runs/restore", {"run_id": run}),
        posted(f"{TWO}/experiments/delete", {"experiment_id": e}),
        posted(f"{TWO}/experiments/restore", {"experiment_id": e}),
    ]
