"""The reference names every route and metric, and no other."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from headrace.testing import make_prediction
from tests.web.conftest import Site


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
    assert set(re.findall(r"`(headrace_[a-z_]+)`", page)) == exposed


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
