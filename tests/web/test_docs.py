"""The reference names every route and metric, and no other."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from headrace.testing import make_prediction
from tests.web.conftest import Site

_SELDOM = {
    "headrace_answers_lost_total",
    "headrace_answers_unrecorded_total",
    "headrace_availability",
    "headrace_downtime_seconds",
    "headrace_error_budget_left",
    "headrace_explanations_total",
    "headrace_guard_hits_total",
    "headrace_llm_cache_total",
    "headrace_guarded_requests_total",
    "headrace_kpi",
    "headrace_prediction_exceptions_total",
    "headrace_spans_total",
    *(f"headrace_service_level_{part}" for part in ("p99_seconds", "requests_per_second", "availability")),
    *(f"headrace_gpu_{part}" for part in ("busy_ratio", "memory_used_bytes", "memory_bytes")),
}
"""Metrics that are there only once something has happened, is declared, or is built in."""


def test_every_route_is_in_the_reference_and_no_other(site: Site, project_root: Path) -> None:
    page = (project_root / "docs/reference/api.md").read_text(encoding="utf-8")
    described = site.get("/api/openapi.json").json()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    assert set(re.findall(r"^### `([A-Z]+ [^`]+)`$", page, re.MULTILINE)) == served


def test_every_metric_is_in_the_reference_and_no_other(site: Site, project_root: Path) -> None:
    page = (project_root / "docs/reference/api.md").read_text(encoding="utf-8")
    assert site.post("/api/v1/predict/cars", json={"records": [{"mileage": 1.0, "model": "a3"}]}).is_success
    assert site.post("/api/v1/predict/cars", json={"record": {"mileage": 1.0}}).status_code == 400
    _ask_a_shadow(site)
    exposed = set(re.findall(r"^# TYPE (\S+) ", site.get("/metrics").text, re.MULTILINE))
    described = set(re.findall(r"`((?:headrace|process)_[a-z0-9_]+)`", page))
    assert exposed <= described
    assert described - exposed == _SELDOM - exposed


def _ask_a_shadow(site: Site) -> None:
    shadows, answered = site.server.parts.shadows, make_prediction(project="cars")
    shadows.offer(site.seeded.canary, answered, answered.columns)
    until_s, looked = time.monotonic() + 20, threading.Event()
    while not shadows.comparisons():
        assert time.monotonic() < until_s, "the shadow was not asked"
        looked.wait(0.005)


def test_every_operation_says_what_it_does(site: Site) -> None:
    described = site.get("/api/openapi.json").json()["paths"]
    operations = [operation for methods in described.values() for operation in methods.values()]
    assert [one["operationId"] for one in operations if not one.get("description")] == []
    assert all(one["tags"] for one in operations)
