"""The door for browsers of other sites: a token, and no identity."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.web.prompted import HELLO, PROJECT, Desk, client


def answered(desk: Desk) -> str:
    raw = client(desk).chat.completions.with_raw_response.create(model=PROJECT, messages=HELLO)
    return raw.headers["headrace-answer"]


def post(desk: Desk, path: str, body: Any, *, by: str | None = None, **headers: str) -> httpx.Response:
    more = {"content-type": "application/json"}
    more |= {"authorization": f"Bearer {desk.token(by)}"} if by else {}
    return httpx.post(desk.url + path, content=json.dumps(body), headers={**more, **headers}, timeout=60)


@pytest.mark.requirement("FBK-01", "FBK-02")
def test_a_browser_says_something_of_one_answer_of_a_language_model(desk: Desk) -> None:
    answer = answered(desk)
    here = f"/api/v1/projects/{PROJECT}/answers/{answer}"
    direct = post(desk, f"{here}/feedback", {"rating": 4, "by": "customer-7"}, by="uma")
    assert direct.status_code == 200, direct.text
    (live,) = {one.release_id for one in desk.answers()}
    assert (direct.json()["subject"], direct.json()["release_id"]) == (f"{answer}:0", live)
    offered = post(desk, f"{here}/feedback-token", {"ttl_s": 600}, by="uma").json()
    sent = {"token": offered["token"], "thumbs": "down", "dwell_s": 3.5}
    kept = post(desk, "/feedback", sent, origin="https://shop.example", **{"content-type": "text/plain"})
    assert (kept.status_code, kept.json()) == (200, {"subject": f"{answer}:0", "stored": 3})
    assert kept.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in kept.headers
    told = httpx.get(f"{desk.url}{here}/feedback", headers={"authorization": f"Bearer {desk.token('ada')}"})
    found = {
        one["name"]: (one["value"], one["source"], one["principal"]) for one in told.json()[0]["feedback"]
    }
    assert found == {
        "rating": (4.0, None, "uma"),
        "thumbs_up": (0.0, "widget", "uma"),
        "thumbs_down": (1.0, "widget", "uma"),
        "dwell_s": (3.5, "widget", "uma"),
    }


def test_it_takes_nothing_else_and_says_why(desk: Desk) -> None:
    answer = answered(desk)
    here = f"/api/v1/projects/{PROJECT}/answers/{answer}"
    token = post(desk, f"{here}/feedback-token", {}, by="uma").json()["token"]
    refused = [
        (post(desk, "/feedback", {"token": token, "rating": 9}), 400, "rating is 9"),
        (post(desk, "/feedback", {"token": token, "subject": "x:0"}), 400, "unknown field 'subject'"),
        (post(desk, "/feedback", {"token": desk.token("uma"), "rating": 1}), 401, "no token for feedback"),
        (post(desk, f"{here}/feedback", {"rating": 1}, authorization=f"Bearer {token}"), 401, "token"),
        (post(desk, f"{here}/feedback", {"rating": 9}, by="uma"), 422, "rating"),
        (post(desk, f"{here}/feedback", {"rating": 1}, by="vic"), 403, ""),
    ]
    for answer_, status, said in refused:
        assert (answer_.status_code, said in answer_.text) == (status, True), answer_.text
    assert refused[0][0].headers["access-control-allow-origin"] == "*"


def test_other_sites_may_load_the_widget_and_nothing_else_of_ours(desk: Desk) -> None:
    widget = httpx.get(f"{desk.url}/static/feedback.js")
    assert widget.status_code == 200
    assert widget.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "immutable" not in widget.headers["cache-control"]
    ours = httpx.get(f"{desk.url}/static/headrace.js")
    assert ours.headers["cross-origin-resource-policy"] == "same-origin"
