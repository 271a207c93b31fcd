from __future__ import annotations

import json
from typing import Any

import pytest

from tests.web.conftest import Site
from tests.web.making import VALIDATOR
from tests.web.seed import AUDITOR, VIEWER

CAR = {"mileage": 12_345.0, "model": "a3"}


def test_projects_are_listed_and_shown(site: Site) -> None:
    listed = site.get("/api/v1/projects", by=VIEWER).json()
    assert {project["name"] for project in listed} == {"cars", "flight-delay", "tsa-passengers"}
    shown = site.get("/api/v1/projects/cars", by=VIEWER).json()
    assert shown["project"]["data"]["target"] == "price"
    assert shown["route"]["live"] == site.seeded.cars_live
    assert shown["route"]["canary"] == shown["candidate"]["id"] == site.seeded.canary
    assert shown["rollout"]["state"] == "canary"
    assert shown["glance"]["health"] == "unmeasured"
    flights = site.get("/api/v1/projects/flight-delay").json()["glance"]
    assert flights["health"] == "degraded"
    assert flights["waiting"] == [site.seeded.waiting]
    assert flights["loss"]["name"] == "log_loss"
    assert flights["open_alerts"] == 1


def test_releases_are_listed_newest_first_and_shown_with_all_evidence(site: Site) -> None:
    listed = site.get("/api/v1/releases", params={"project": "flight-delay"}).json()
    assert [release["manifest"]["subject"]["ref"][-1] for release in listed] == ["4", "3", "2", "1"]
    assert len(site.get("/api/v1/releases", params={"limit": 2}).json()) == 2
    report = site.get(f"/api/v1/releases/{site.seeded.aborted}").json()
    assert report["release"]["state"] == "aborted"
    assert [approval["approver"] for approval in report["approvals"]] == [VALIDATOR]
    gates = {verdict["gate"]: verdict for verdict in report["verdicts"]}
    assert gates["champion"]["outcome"] == "inconclusive"
    assert gates["data"]["evidence"]["n_rows"] == 104_233
    assert gates["canary look 2"]["outcome"] == "failed"
    assert report["rollout"]["state"] == "aborted"
    by_digest = site.get(f"/api/v1/releases/{report['release']['digest'][:12]}").json()
    assert by_digest["release"]["id"] == site.seeded.aborted


def test_the_difference_is_from_the_live_release(site: Site) -> None:
    found = site.get(f"/api/v1/releases/{site.seeded.waiting}/difference").json()
    assert found["against"] == site.seeded.live
    assert found["params"] == [{"name": "n_estimators", "before": 400, "after": 600, "better": None}]
    metrics = {pair["name"]: pair for pair in found["metrics"]}
    assert metrics["log_loss"]["better"] is True


def test_what_watching_left_is_listed(site: Site) -> None:
    findings = site.get("/api/v1/projects/flight-delay/findings").json()
    assert {finding["kind"] for finding in findings} == {"data_drift", "prediction_drift", "performance"}
    alerts = site.get("/api/v1/projects/flight-delay/alerts").json()
    assert {alert["finding_id"] for alert in alerts} == {finding["id"] for finding in findings}
    performance = site.get("/api/v1/projects/flight-delay/performance").json()
    assert len(performance) == 20
    assert performance[0]["interval"][0] < performance[0]["value"] < performance[0]["interval"][1]
    measured = site.get("/api/v1/projects/flight-delay/measurements", params={"name": "shift"}).json()
    assert len(measured) == 240
    everything = site.get("/api/v1/projects/flight-delay/measurements").json()
    assert {one["name"] for one in everything} >= {"shift", "window", "log_loss", "estimated_loss"}
    counted = site.get("/api/v1/projects/flight-delay/predictions/count").json()
    assert counted == {"requests": 1284, "rows": 2568}


def test_runs_and_the_audit_log_are_listed(site: Site) -> None:
    runs = site.get("/api/v1/runs", params={"project": "cars", "limit": 1}).json()
    assert [run["state"] for run in runs] == ["finished"]
    first = site.get("/api/v1/audit", by=AUDITOR, params={"limit": 2}).json()
    assert [entry["sequence"] for entry in first] == [1, 2]
    rest = site.get("/api/v1/audit", by=AUDITOR, params={"after": 2, "limit": 1}).json()
    assert rest[0]["previous"] == first[1]["hash"]


def test_records_are_answered_by_the_same_handler_and_logged(site: Site) -> None:
    before = site.get("/api/v1/projects/cars/predictions/count").json()["requests"]
    body = {
        "records": [CAR, {"mileage": None, "model": "unheard of"}],
        "keys": ["car-1", "car-2"],
        "event_time": "2026-02-01T00:00:00+01:00",
        "key": "customer-7",
    }
    response = site.post("/api/v1/predict/cars", json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["predictions"][0] == {"predict": 12_345.0}
    assert answer["version"] in {"1", "2"}
    assert answer["subjects"] == [f"{answer['id']}:0", f"{answer['id']}:1"]
    assert answer["unseen"] == ["model"]
    assert site.get("/api/v1/projects/cars/predictions/count").json()["requests"] == before + 1


@pytest.mark.requirement("SRV-01", "SRV-08")
def test_one_row_rows_and_columns_are_answered_alike(site: Site) -> None:
    answers = [
        site.post("/api/v1/predict/cars", json={**body, "version": "1"}).json()
        for body in ({"record": CAR}, {"records": [CAR]}, {"columns": {name: [CAR[name]] for name in CAR}})
    ]
    assert [answer["predictions"] for answer in answers] == [[{"predict": 12_345.0}]] * 3
    assert {answer["version"] for answer in answers} == {"1"}
    assert all(answer["infer_ms"] > 0 and answer["prepare_ms"] > 0 for answer in answers)


def test_labels_are_stored_once_under_both_addresses(site: Site) -> None:
    body = {"labels": [{"subject": "car-1", "value": 20_500, "observed_at": "2026-02-02T00:00:00Z"}]}
    first = site.post("/api/v1/projects/cars/labels", json=body).json()
    again = site.post("/api/v1/labels/cars", json=body).json()
    assert (first["stored"], first["notes"]) == (1, [])
    assert first["ids"] == again["ids"]
    for value in (True, "expensive", 0.5):
        body = {"labels": [{"subject": "car-1", "value": value, "kind": "rating"}]}
        assert site.post("/api/v1/projects/cars/labels", json=body).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/projects/none",
        "/api/v1/projects/NO%00NAME",
        "/api/v1/projects/%ff/findings",
        "/api/v1/projects/none/measurements",
        "/api/v1/releases/none",
        "/api/v1/releases/%00/difference",
        "/api/v1/releases?project=none",
        "/api/v1/runs?project=none",
        "/api/v1/nothing",
    ],
)
def test_what_is_not_there_is_404(site: Site, path: str) -> None:
    response = site.get(path)
    assert response.status_code == 404, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == 404


BAD_LABELS: list[Any] = [
    {},
    [],
    None,
    "x",
    {"labels": "x"},
    {"labels": [{}]},
    {"labels": [{"subject": "", "value": 1}]},
    {"labels": [{"subject": "a", "value": None}]},
    {"labels": [{"subject": "a", "value": [1]}]},
    {"labels": [{"subject": "a", "value": 10**400}]},
    {"labels": [{"subject": "a", "value": 1, "kind": "guess"}]},
    {"labels": [{"subject": "a", "value": 1, "observed_at": "yesterday"}]},
    {"labels": [{"subject": "a", "value": 1, "observed_at": "0001-01-01T00:00:00+23:59"}]},
    {"labels": [{"subject": "a", "value": 1, "extra": 1}]},
    {"labels": [], "extra": 1},
]


@pytest.mark.parametrize("body", BAD_LABELS, ids=range(len(BAD_LABELS)))
def test_a_body_of_the_wrong_shape_is_422_and_says_where(site: Site, body: Any) -> None:
    response = site.post("/api/v1/projects/cars/labels", json=body)
    assert response.status_code == 422, response.text
    found = response.json()
    assert found["what"].startswith("body")
    assert {"what", "got", "expected", "next", "errors"} <= found.keys()


CLICK = {"kind": "reaction", "subject": "car-1", "name": "clicked", "happened_at": "2026-01-01T00:00:00Z"}


def test_feedback_is_stored_once(site: Site) -> None:
    paid = {
        **CLICK,
        "kind": "result",
        "name": "paid",
        "value": 120,
        "id": "order-7",
        "text": "gladly",
        "page": "/x",
    }
    first = site.post("/api/v1/projects/cars/feedback", json={"feedback": [CLICK, paid, CLICK]}).json()
    assert (first["stored"], len(first["ids"])) == (2, 3)
    again = site.post(
        "/api/v1/projects/cars/feedback", json={"feedback": [CLICK, {**paid, "value": 90.5}]}
    ).json()
    assert again["ids"] == first["ids"][:2], "a correction is of the same event"


def test_many_events_are_taken_at_once_and_more_are_not(site: Site) -> None:
    many = [{**CLICK, "id": str(number)} for number in range(10_000)]
    answered = site.post("/api/v1/projects/cars/feedback", json={"feedback": many})
    assert answered.json()["stored"] == 10_000
    too_many = site.post("/api/v1/projects/cars/feedback", json={"feedback": [CLICK] * 20_001})
    assert too_many.status_code == 422


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "guess"}, "kind"),
        ({"subject": ""}, "subject"),
        ({"name": ""}, "name"),
        ({"name": "n" * 65}, "name"),
        ({"happened_at": None}, "happened_at"),
        ({"happened_at": "-0100-01-01T00:00:00Z"}, "happened_at"),
        ({"happened_at": -(10**30)}, "happened_at"),
        ({"happened_at": "0001-01-01T00:00:00+23:59"}, "happened_at"),
        ({"value": [1]}, "value"),
        ({"value": 10**400}, "value"),
        ({"value": ""}, "value"),
        ({"text": "t" * 10_001}, "text"),
        ({"page": "p" * 501}, "page"),
        ({"id": ""}, "id"),
        ({"extra": 1}, "extra"),
    ],
)  # fmt: skip
def test_feedback_of_the_wrong_shape_is_422_and_says_where(
    site: Site, change: dict[str, Any], said: str
) -> None:
    response = site.post("/api/v1/projects/cars/feedback", json={"feedback": [CLICK, {**CLICK, **change}]})
    assert response.status_code == 422, response.text
    assert f"feedback[1].{said}" in response.json()["what"] or said in response.json()["what"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([{**CLICK, "happened_at": "2999-01-01T00:00:00Z"}], "feedback[0]: happened_at is '2999"),
        ([{**CLICK, "value": 1e300}], "feedback[0]: value is 1e+300"),
        (
            [{**CLICK, "id": "7"}, {**CLICK, "id": "7", "value": 1}],
            "have the same id and say different things",
        ),
    ],
)
def test_feedback_that_cannot_be_is_400_and_nothing_is_stored(site: Site, body: Any, said: str) -> None:
    before = site.app.store.events.count("cars/feedback")
    response = site.post("/api/v1/projects/cars/feedback", json={"feedback": [CLICK, *body]})
    assert response.status_code == 400, response.text
    assert said.replace("feedback[0]", "feedback[1]") in response.json()["detail"]
    assert site.app.store.events.count("cars/feedback") == before


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"\xff\xfe",
        b'{"labels": [{"subject": "a", "value": NaN}]}',
        b'{"labels": [{"subject": "a", "value": 1e999}]}',
        b'{"labels": [{"subject": "\\ud800", "value": 1}]}',
        b'{"labels": [{"subject": "a", "value": "\\ud800"}]}',
        b'{"labels": ' + b"[" * 100_000,
        b'{"labels": [{"subject": "a", "value": ' + b"9" * 5000 + b"}]}",
    ],
    ids=["cut", "bytes", "nan", "inf", "surrogate", "surrogate value", "deep", "long number"],
)
@pytest.mark.parametrize("path", ["/api/v1/projects/cars/labels", "/api/v1/predict/cars"])
def test_bytes_that_are_no_json_of_ours_are_the_callers_fault(site: Site, path: str, raw: bytes) -> None:
    response = site.post(path, content=raw, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"records": []}, 422, "records"),
        ({"records": [{}]}, 400, "missing"),
        ({"records": [{"mileage": 1.0}]}, 400, "'model' is missing"),
        ({"records": [{**CAR, "colour": "red"}]}, 400, "no input 'colour'"),
        ({"records": [CAR, {"mileage": 1.0}]}, 400, "records[0] has 'model' and records[1] has not"),
        ({"records": [{"mileage": "many", "model": "a3"}]}, 400, "Input 'mileage', row 0"),
        ({"records": [{"mileage": [1], "model": "a3"}]}, 422, "records"),
        ({"records": [CAR], "keys": ["a", "b"]}, 400, "'keys' has 2 entries"),
        ({"records": [CAR], "event_time": "soon"}, 422, "event_time"),
        ({"records": [CAR], "key": "k" * 257}, 422, "key"),
        ({}, 422, "exactly one of record, records and columns"),
        ({"record": CAR, "records": [CAR]}, 422, "exactly one of record, records and columns"),
        ({"columns": {}}, 400, "missing"),
        ({"columns": {"mileage": []}}, 422, "columns"),
        ({"columns": {"mileage": [1, 2], "model": ["a3"]}}, 400, "'model' has 1 rows"),
        ({"record": CAR, "version": "77"}, 404, "Version '77' of 'cars' does not answer now"),
    ],
)
def test_records_that_the_model_does_not_expect_are_refused(
    site: Site, body: Any, status: int, said: str
) -> None:
    response = site.post("/api/v1/predict/cars", json=body)
    assert response.status_code == status, response.text
    assert said in response.json()["detail"]


def test_a_project_without_a_live_release_says_what_to_do(site: Site) -> None:
    response = site.post("/api/v1/predict/tsa-passengers", json={"records": [{"x": 1}]})
    assert response.status_code == 404
    assert "headrace run" in response.json()["detail"]


def test_a_body_that_is_too_long_is_413_whether_it_says_so_or_not(site: Site) -> None:
    long = b'{"labels": []' + b" " * (8 << 20) + b"}"
    declared = site.post("/api/v1/projects/cars/labels", content=long)
    assert declared.status_code == 413
    parts = (long[start : start + (1 << 20)] for start in range(0, len(long), 1 << 20))

    async def hidden() -> Any:
        for part in parts:
            yield part

    headers = {"content-type": "application/json"}
    chunked = site.post("/api/v1/projects/cars/labels", content=hidden(), headers=headers)
    assert chunked.status_code == 413
    assert "several requests" in chunked.json()["detail"]


def test_the_wrong_method_is_405_and_names_the_right_one(site: Site) -> None:
    response = site.ask("DELETE", "/api/v1/projects")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "path",
    ["/api/v1/releases?limit=0", "/api/v1/releases?limit=many", "/api/v1/audit?after=-1", "/api/v1/runs"],
)
def test_a_bad_query_is_422(site: Site, path: str) -> None:
    response = site.get(path)
    assert response.status_code == 422
    assert response.json()["what"].startswith("query")


def test_answers_carry_security_headers_and_are_not_cached(site: Site) -> None:
    headers = site.get("/api/v1/projects").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_the_description_needs_an_identity_and_is_valid_json(site: Site) -> None:
    described = site.get("/api/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert "/api/v1/projects/{project}/labels" in described["paths"]
    assert json.dumps(described)


@pytest.mark.requirement("GOV-01")
def test_the_log_is_exported_as_lines_of_json(site: Site) -> None:
    answer = site.get("/api/v1/audit/export", by=AUDITOR)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [event["metadata"]["sequence"] for event in events[:3]] == [1, 2, 3]
    rest = site.get("/api/v1/audit/export", by=AUDITOR, params={"after": len(events) - 1}).text
    assert rest.splitlines()[0] == answer.text.splitlines()[-1]
    early = {"until": "2000-01-01T00:00:00Z"}
    assert site.get("/api/v1/audit/export", by=AUDITOR, params=early).text == ""
    assert site.get("/api/v1/audit/export", by=AUDITOR, params={"since": "yesterday"}).status_code == 422
    assert site.get("/api/v1/audit/export", by=VIEWER).status_code == 403
