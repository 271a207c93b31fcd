"""Nobody gets anywhere without an identity, and nobody further than their roles."""

from __future__ import annotations

import pytest

from headrace.core.errors import Denied
from headrace.web.identity import cookie, require_same_origin
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import AUDITOR, VIEWER

ELSEWHERE = [("GET", "/nothing"), ("GET", "/api"), ("GET", "/api/v1/nothing"), ("DELETE", "/api/v1/projects")]


@pytest.mark.parametrize(("method", "path"), [*ELSEWHERE, ("GET", "/api/openapi.json")])
def test_without_a_token_the_answer_is_401(site: Site, method: str, path: str) -> None:
    response = site.ask(method, path, by=None)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "authorization", ["Bearer x.y.z", "Bearer", "Basic YTpi", "bearer \xff", "Bearer " + "a" * 9000]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/v1/projects"), ("GET", "/"), ("POST", "/v2/models/cars/infer")]
)
def test_a_bad_token_is_401(site: Site, method: str, path: str, authorization: str) -> None:
    headers = {"authorization": authorization.encode("latin-1")}
    response = site.client.request(method, path, headers=headers)
    assert response.status_code == 401


def test_refusals_are_written_for_who_asks(site: Site) -> None:
    for program in (site.get("/api/v1/projects", by=None), site.get("/projects/cars", by=None)):
        assert program.headers["content-type"] == "application/problem+json"
        assert "headrace access token" in program.json()["detail"]
    browser = site.ask("GET", "/projects/cars", by=None, headers={"accept": "text/html"})
    assert browser.status_code == 401
    assert browser.headers["content-type"].startswith("text/html")
    assert 'name="next" value="/projects/cars"' in browser.text
    assert "error" in site.get("/v2/models/cars", by=None).json()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/signin", "/static/headrace.css", "/favicon.ico"])
def test_some_paths_are_open_to_all(site: Site, path: str) -> None:
    assert site.get(path, by=None).status_code == 200


@pytest.mark.parametrize(
    ("by", "method", "path"),
    [
        (VIEWER, "POST", "/api/v1/projects/cars/rollback"),
        (VIEWER, "POST", "/api/v1/projects/cars/fallback"),
        (VIEWER, "POST", "/api/v1/projects/cars/watch"),
        (VIEWER, "POST", "/api/v1/projects/cars/labels"),
        (VIEWER, "POST", "/api/v1/labels/cars"),
        (VIEWER, "POST", "/api/v1/projects/cars/feedback"),
        (VIEWER, "POST", "/api/v1/predict/cars"),
        (VIEWER, "POST", "/v2/models/cars/infer"),
        (VIEWER, "GET", "/api/v1/audit"),
        (VALIDATOR, "GET", "/api/v1/audit"),
        (VALIDATOR, "GET", "/api/v1/audit/search"),
        (VALIDATOR, "POST", "/api/v1/audit/verify"),
        (VALIDATOR, "GET", "/audit"),
        (VALIDATOR, "POST", "/audit/verify"),
        (VALIDATOR, "POST", "/api/v1/projects/cars/rollback"),
        (VALIDATOR, "POST", "/api/v1/predict/cars"),
        (AUDITOR, "POST", "/api/v1/projects/cars/watch"),
        (VIEWER, "POST", "/projects/cars/watch"),
        (VIEWER, "POST", "/projects/cars/rollback"),
        (VIEWER, "POST", "/projects/cars/fallback"),
    ],
)
def test_the_wrong_role_is_403_and_the_refusal_is_audited(
    site: Site, by: str, method: str, path: str
) -> None:
    bodies = {
        "labels": {"labels": []},
        "feedback": {"feedback": []},
        "predict": {"records": [{"mileage": 1.0, "model": "a3"}]},
        "v2": {"inputs": [{"name": "mileage", "shape": [1], "datatype": "FP64", "data": [1.0]}]},
    }
    body = next((value for key, value in bodies.items() if key in path), None)
    before = len(site.app.store.audit.list(limit=100_000))
    response = site.ask(method, path, by=by, json=body)
    assert response.status_code == 403, response.text
    added = site.app.store.audit.list(after=before, limit=100_000)
    # The deliveries of the seeded home go on meanwhile, and are audited too.
    assert [entry.action for entry in added if entry.actor == by] == ["access.denied"]


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.parametrize("by", [AUTHOR, VIEWER, AUDITOR])
def test_only_a_validator_who_is_not_the_author_decides(site: Site, by: str, decision: str) -> None:
    response = site.post(f"/api/v1/releases/{site.seeded.waiting}/{decision}", by=by)
    assert response.status_code == 403
    assert response.json()["type"] == "urn:headrace:problem:denied"
    assert site.app.store.releases.get(site.seeded.waiting).state == "waiting"


def _scope(**headers: str) -> dict[str, object]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"headers": pairs}


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "a:1", "origin": "http://b:1"},
        {"host": "a:1", "origin": "null"},
        {"host": "a:1", "origin": "http://a:1", "sec_fetch_site": "cross-site"},
        {"host": "a:1", "sec_fetch_site": "same-site"},
        {"host": "a:1", "sec_fetch_site": "none"},
        {"host": "a:1"},
        {"host": "a:1", "origin": "http://a:1.evil"},
    ],
)
def test_a_change_that_another_site_asks_for_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Denied):
        require_same_origin(_scope(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "a:1", "origin": "http://a:1"},
        {"host": "a:1", "origin": "http://a:1", "sec_fetch_site": "same-origin"},
        {"host": "a:1", "sec_fetch_site": "same-origin"},
    ],
)
def test_a_change_from_our_own_page_is_not(headers: dict[str, str]) -> None:
    require_same_origin(_scope(**headers))


def test_an_unreadable_cookie_is_no_cookie() -> None:
    assert cookie(_scope(cookie="headrace_session=abc; a=b")) == "abc"
    assert cookie(_scope(cookie="a=b")) is None
    assert cookie(_scope(cookie='x[]="; =')) is None
    assert cookie(_scope()) is None
