"""Every route of MLflow is in our table, and nothing reaches MLflow under another spelling."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.web.mlflow_routes import find_route, routes


@pytest.mark.slow
@pytest.mark.requirement("GOV-02")
def test_every_route_that_mlflow_registers_is_classified(tmp_path: Path) -> None:
    program = Path(__file__).with_name("mlflow_served.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    served = set(done.stdout.splitlines())
    assert served == {f"{route.method} {route.pattern}" for route in routes()}


def test_no_route_is_in_the_table_twice() -> None:
    table = [(route.method, route.pattern) for route in routes()]
    assert len(table) == len(set(table))


def test_both_prefixes_are_one_route() -> None:
    for prefix in ("/api", "/ajax-api"):
        route = find_route("POST", f"{prefix}/2.0/mlflow/registered-models/alias")
        assert route is not None
        assert (route.kind, route.pattern) == ("write", "/api/2.0/mlflow/registered-models/alias")


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/", "read"),
        ("HEAD", "/version", "read"),
        ("GET", "/static-files/static/js/main.js", "read"),
        ("GET", "/ajax-api/2.0/mlflow/logged-models/m-1", "read"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/a b.txt", "upload"),
        ("POST", "/v1/traces", "spans"),
        ("POST", "/api/2.0/mlflow/webhooks/w/test", "closed"),
        ("POST", "/api/3.0/mlflow/gateway/secrets/create", "closed"),
    ],
)
def test_routes_are_found(method: str, path: str, kind: str) -> None:
    route = find_route(method, path)
    assert route is not None
    assert route.kind == kind


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/4.0/mlflow/registered-models/alias"),
        ("POST", "/api/3.0/mlflow/registered-models/alias"),
        ("PATCH", "/api/2.0/mlflow/registered-models/alias"),
        ("OPTIONS", "/api/2.0/mlflow/runs/create"),
        ("POST", "/api/2.0/mlflow/registered-models/alias/"),
        ("POST", "//api/2.0/mlflow/registered-models/alias"),
        ("POST", "/api//2.0/mlflow/registered-models/alias"),
        ("POST", "/api/2.0/mlflow/x/../registered-models/alias"),
        ("POST", "/api/2.0/mlflow/./registered-models/alias"),
        ("POST", "/api/2.0/mlflow/registered-models/%61lias"),
        ("POST", "/API/2.0/mlflow/registered-models/alias"),
        ("POST", "/api/2.0/mlflow\\registered-models/alias"),
        ("POST", "/api/2.0/mlflow/registered-models/alias\n"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/../headrace/cars"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/%68eadrace/cars"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/a/.."),
    ],
)
def test_unknown_routes_and_odd_spellings_are_in_no_table(method: str, path: str) -> None:
    assert find_route(method, path) is None
