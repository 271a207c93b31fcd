"""Requests that are accepted now and answered later."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from headrace.core.clock import SystemClock
from tests.web.conftest import Site
from tests.web.making import AUTHOR
from tests.web.seed import AUDITOR, VIEWER

CAR = {"record": {"mileage": 12.5, "model": "a3"}}
ASYNC = "/api/v1/predict/cars?mode=async"


def _ended(site: Site, path: str) -> dict[str, Any]:
    """The request, once it is answered or given up."""
    for _ in range(400):
        found: dict[str, Any] = site.get(path).json()
        if found["state"] != "pending":
            return found
        SystemClock().sleep(0.02)
    raise AssertionError(f"{path} is pending for 8 s")


@pytest.mark.requirement("SRV-03")
def test_a_request_is_accepted_and_answered_as_it_would_have_been(site: Site) -> None:
    accepted = site.post(ASYNC, json=CAR | {"key": "ann", "keys": ["car-1"]})
    assert accepted.status_code == 202, accepted.text
    path = accepted.headers["location"]
    assert path == f"/api/v1/predictions/{accepted.json()['id']}"
    found = _ended(site, path)
    at_once = site.post("/api/v1/predict/cars", json=CAR | {"key": "ann"}).json()
    assert (found["state"], found["error"], found["project"]) == ("done", None, "cars")
    assert found["answer"]["predictions"] == at_once["predictions"]
    assert found["answer"]["release"] == at_once["release"]
    assert found["answer"].keys() == at_once.keys()
    assert site.app.store.jobs.get(found["id"]).request is None, "what was asked is not kept any longer"


TENSORS = {
    "id": "mine",
    "parameters": {"key": "ann"},
    "inputs": [
        {"name": "mileage", "shape": [1], "datatype": "FP64", "data": [12.5]},
        {"name": "model", "shape": [1], "datatype": "BYTES", "data": ["a3"]},
    ],
}
FRAME = {
    "dataframe_split": {"columns": ["mileage", "model"], "data": [[12.5, "a3"]]},
    "params": {"key": "ann"},  # both times by the same release, while a canary takes its share
}
OTHERS = [("/v2/models/cars/infer", TENSORS), ("/invocations/cars", FRAME)]
_OWN = ("id", "parameters", "prepare_ms", "infer_ms")


def _fetched(site: Site, path: str) -> Any:
    """The answer, once it is there."""
    for _ in range(400):
        found = site.get(path)
        if found.status_code != 202:
            return found
        SystemClock().sleep(0.02)
    raise AssertionError(f"{path} is pending for 8 s")


@pytest.mark.requirement("SRV-03")
@pytest.mark.parametrize(("path", "body"), OTHERS)
def test_each_protocol_is_answered_later_as_it_would_have_been(site: Site, path: str, body: Any) -> None:
    headers = {"idempotency-key": f"once for {path}"}
    accepted = site.post(f"{path}?mode=async", json=body, headers=headers)
    assert accepted.status_code == 202, accepted.text
    job_id = accepted.json()["id"]
    assert accepted.headers["location"] == f"{path}/{job_id}"
    found = _fetched(site, accepted.headers["location"])
    at_once = site.post(path, json=body)
    assert found.status_code == at_once.status_code == 200
    later, expected = found.json(), at_once.json()
    assert later.keys() == expected.keys()
    assert {name: later[name] for name in later if name not in _OWN} == {
        name: expected[name] for name in expected if name not in _OWN
    }
    if "parameters" in later:
        assert later["parameters"]["request_id"] == expected["parameters"]["request_id"] == "mine"
    everywhere = site.get(f"/api/v1/predictions/{job_id}").json()
    assert (everywhere["state"], everywhere["answer"]) == ("done", later)
    again = site.post(f"{path}?mode=async", json=body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, job_id), "it is accepted once"
    assert [job.id for job in site.app.store.jobs.list() if job.id == job_id] == [job_id]


@pytest.mark.parametrize(("path", "body"), OTHERS)
def test_another_request_under_a_key_is_refused_by_each_protocol(site: Site, path: str, body: Any) -> None:
    headers = {"idempotency-key": f"other for {path}"}
    assert site.post(f"{path}?mode=async", json=body, headers=headers).status_code == 202
    other = json.loads(json.dumps(body).replace("12.5", "7.5"))
    refused = site.post(f"{path}?mode=async", json=other, headers=headers)
    assert refused.status_code == 409
    assert "Another request was accepted" in refused.text


@pytest.mark.parametrize(("path", "body"), OTHERS)
def test_each_protocol_says_later_what_is_wrong_with_a_request(site: Site, path: str, body: Any) -> None:
    wrong = json.loads(json.dumps(body).replace("mileage", "mileages"))
    accepted = site.post(f"{path}?mode=async", json=wrong)
    found, at_once = _fetched(site, accepted.headers["location"]), site.post(path, json=wrong)
    assert (found.status_code, found.json()) == (at_once.status_code, at_once.json())
    for denied in (site.post(f"{path}?mode=async", json=body, by=VIEWER), site.get(f"{path}/none")):
        assert denied.status_code in (403, 404)


@pytest.mark.parametrize("number", ["1e999", "Infinity", "NaN", str(2**70)])
def test_a_number_that_json_has_no_form_for_is_no_gap(site: Site, number: str) -> None:
    body = f'{{"record": {{"mileage": {number}, "model": "a3"}}}}'
    headers = {"content-type": "application/json"}
    later = site.post(ASYNC, content=body, headers=headers)
    at_once = site.post("/api/v1/predict/cars", content=body, headers=headers)
    if later.status_code == 202:
        assert at_once.status_code == 200
    else:
        assert later.status_code in (400, 422)


@pytest.mark.parametrize(("path", "body"), OTHERS)
def test_a_request_is_accepted_by_the_servers_own_protocol(
    site: Site, listen: Callable[..., str], path: str, body: Any
) -> None:
    headers = {"authorization": f"Bearer {site.token(AUTHOR)}"}
    with httpx.Client(base_url=listen(site.server, site.server.protocol), headers=headers) as client:
        plain = {key: value for key, value in body.items() if key != "id"}
        accepted = client.post(f"{path}?mode=async", json=plain)
        assert accepted.status_code == 202, accepted.text
        for _ in range(400):
            found = client.get(accepted.headers["location"])
            if found.status_code != 202:
                break
            SystemClock().sleep(0.02)
        assert found.status_code == 200
        assert client.post(path, json=plain).status_code == 200


@pytest.mark.requirement("SRV-03")
def test_an_idempotency_key_accepts_a_request_once(site: Site) -> None:
    def ask(key: str, mileage: float = 1.0, by: str = AUTHOR) -> Any:
        body = {"record": {"mileage": mileage, "model": "a3"}}
        return site.post(ASYNC, json=body, by=by, headers={"idempotency-key": key})

    first, again = ask("order-7").json(), ask("order-7").json()
    assert first["id"] == again["id"]
    assert ask("order-8").json()["id"] != first["id"]
    other = ask("order-7", 2.0)
    assert other.status_code == 409
    assert "Another request was accepted under this Idempotency-Key" in other.json()["detail"]
    _ended(site, f"/api/v1/predictions/{first['id']}")
    assert ask("order-7").json()["answer"]["predictions"] == [{"predict": 1.0}]
    assert ask("x" * 257).status_code == 422


def test_a_request_that_is_at_fault_says_so_and_is_not_tried_again(site: Site) -> None:
    accepted = site.post(ASYNC, json={"record": {"mileage": "many", "model": "a3"}})
    found = _ended(site, accepted.headers["location"])
    assert (found["state"], found["answer"], found["attempts"]) == ("failed", None, 1)
    assert "Input 'mileage'" in found["error"]


def test_an_answer_is_told_to_who_asked_and_to_who_may_read_data(site: Site) -> None:
    path = site.post(ASYNC, json=CAR).headers["location"]
    _ended(site, path)
    assert site.get(path, by=AUTHOR).status_code == 200
    for name in (VIEWER, AUDITOR):
        allowed = site.app.gatekeeper.allows(site.app.identities.resolve(name), "data.read", "project:cars")
        assert site.get(path, by=name).status_code == (200 if allowed else 404)
    assert site.get("/api/v1/predictions/none").status_code == 404


@pytest.mark.parametrize(
    ("path", "callback", "detail"),
    [
        (ASYNC, "https://169.254.169.254/latest", "not in HEADRACE_CALLBACK_HOSTS"),
        (ASYNC, "http://localhost/", "does not begin with https"),
        ("/api/v1/predict/cars", "https://hooks.example/", "mode=async only"),
    ],
)
def test_an_address_that_is_not_allowed_is_not_told(
    site: Site, path: str, callback: str, detail: str
) -> None:
    answer = site.post(path, json=CAR | {"callback": callback})
    assert answer.status_code in (400, 422)
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "by", "status", "detail"),
    [
        ("/api/v1/predict/tsa-passengers?mode=async", AUTHOR, 404, "Nothing of 'tsa-passengers' is live"),
        ("/api/v1/predict/cars?mode=later", AUTHOR, 422, "mode"),
        (f"{ASYNC}&explain=true", AUTHOR, 422, "gives no explanation"),
        (ASYNC, VIEWER, 403, "may not predict"),
    ],
)
def test_what_is_not_accepted(site: Site, path: str, by: str, status: int, detail: str) -> None:
    n_before = len(site.app.store.jobs.list())
    answer = site.post(path, json=CAR, by=by)
    assert answer.status_code in (status, 400), answer.text
    assert detail in answer.json()["detail"]
    assert len(site.app.store.jobs.list()) == n_before
