from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from headrace.app.dashboards import FILES, shipped, write_dashboards
from headrace.core.errors import Conflict
from tests.app.queries import alert_queries, dashboard_queries


def test_every_query_is_promql() -> None:
    queries = [*dashboard_queries(), *alert_queries()]
    assert len(queries) > 40
    for query in queries:
        promql_parser.parse(query)
    with pytest.raises(ValueError, match="parenthesis"):
        promql_parser.parse("sum by (")


def test_grafana_knows_every_key_of_the_dashboard() -> None:
    """What Grafana's own schema (its foundation SDK) does not know is dropped when it reads and writes."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    given = json.loads(shipped("grafana-dashboard.json"))
    kept = json.loads(JSONEncoder(indent=2).encode(Dashboard.from_json(given)))
    assert list(_lost(given, kept)) == []
    assert kept["schemaVersion"] == 39
    panels = given["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def _lost(given: Any, kept: Any, at: str = "") -> list[str]:
    """Keys that are in the first and not in the second."""
    if isinstance(given, dict):
        gone = [f"{at}.{key}" for key in given if key not in (kept or {})]
        return gone + [
            p for key in given if key in (kept or {}) for p in _lost(given[key], kept[key], f"{at}.{key}")
        ]
    if isinstance(given, list):
        return [
            p
            for n, (one, other) in enumerate(zip(given, kept, strict=True))
            for p in _lost(one, other, f"{at}[{n}]")
        ]
    return []


def test_every_rule_says_what_happened_and_what_to_do() -> None:
    groups = yaml.safe_load(shipped("prometheus-rules.yaml"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, of Prometheus, is not on the path")
    write_dashboards(tmp_path)
    ended = subprocess.run(
        [promtool, "check", "rules", str(tmp_path / "prometheus-rules.yaml")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_they_are_written_once_and_never_over_somebodys_own(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    written = write_dashboards(folder)
    assert [path.name for path in written] == list(FILES)
    assert write_dashboards(folder) == written
    written[1].write_text("mine", encoding="utf-8")
    written[0].unlink()
    with pytest.raises(Conflict, match=r"prometheus-rules\.yaml is there already"):
        write_dashboards(folder)
    assert not written[0].exists()
