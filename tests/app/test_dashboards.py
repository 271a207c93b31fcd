from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from headrace.app.dashboards import FILES, shipped, write_dashboards
from headrace.core.errors import Conflict
from tests.app.promtool import run_promtool
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


def test_prometheus_takes_the_rules_and_the_configuration(tmp_path: Path) -> None:
    rules, scrape = (
        path
        for path in write_dashboards(tmp_path)
        if path.name in ("prometheus-rules.yaml", "prometheus-scrape.yaml")
    )
    run_promtool("check", "rules", rules)
    run_promtool("check", "config", "--syntax-only", scrape)


RATES = "1+{}x5000"
"""A counter that grows by so much a minute for three and a half days."""
UNWELL = {
    'up{job="headrace"}': "0x5000",
    "headrace_routes_age_seconds": "60x5000",
    'headrace_answers_lost_total{project="cars"}': RATES.format(1),
    'headrace_answers_unrecorded_total{project="cars"}': RATES.format(1),
    "headrace_records_waiting": "9000x5000",
    'process_cpu_seconds_total{job="headrace"}': RATES.format(55),
    'headrace_processes{job="headrace"}': "1x5000",
    'process_resident_memory_bytes{job="headrace"}': "95x5000",
    'headrace_memory_limit_bytes{job="headrace"}': "100x5000",
    'headrace_responses_total{part="pages",status="5xx"}': RATES.format(60),
    'headrace_responses_total{part="infer",project="cars",status="5xx"}': RATES.format(10),
    'headrace_responses_total{part="infer",project="cars",status="2xx"}': RATES.format(90),
    'headrace_service_level_availability{project="cars"}': "0.999x5000",
    'headrace_request_duration_seconds_bucket{part="infer",project="cars",le="0.1"}': RATES.format(1),
    'headrace_request_duration_seconds_bucket{part="infer",project="cars",le="1"}': RATES.format(90),
    'headrace_request_duration_seconds_bucket{part="infer",project="cars",le="+Inf"}': RATES.format(100),
    'headrace_service_level_p99_seconds{project="cars"}': "0.2x5000",
    'headrace_predictions_total{project="cars",principal="ada"}': RATES.format(6000),
    'headrace_service_level_requests_per_second{project="cars"}': "50x5000",
    'headrace_prediction_exceptions_total{project="cars",release="r1",exception="KeyError"}': RATES.format(1),
    'headrace_loss{project="cars",metric="log_loss"}': "0.6x5000",
    'headrace_reference_loss{project="cars",metric="log_loss"}': "0.4x5000",
    'headrace_open_alerts{project="cars",action="propose"}': "1x5000",
    'headrace_drift{project="cars",feature="age"}': "0.7x5000",
}
"""Series under which every alert has a reason to fire."""
WELL = {
    'up{job="headrace"}': "1x5000",
    "headrace_routes_age_seconds": "0.2x5000",
    'headrace_answers_lost_total{project="cars"}': "3x5000",
    'headrace_answers_unrecorded_total{project="cars"}': "3x5000",
    "headrace_records_waiting": "40x5000",
    'process_cpu_seconds_total{job="headrace"}': RATES.format(30),
    'process_resident_memory_bytes{job="headrace"}': "50x5000",
    'headrace_responses_total{part="pages",status="5xx"}': "7x5000",
    'headrace_responses_total{part="infer",project="cars",status="5xx"}': RATES.format(0.05),
    'headrace_request_duration_seconds_bucket{part="infer",project="cars",le="0.1"}': RATES.format(99.9),
    'headrace_predictions_total{project="cars",principal="ada"}': RATES.format(600),
    'headrace_prediction_exceptions_total{project="cars",release="r1",exception="KeyError"}': "5x5000",
    'headrace_loss{project="cars",metric="log_loss"}': "0.45x5000",
    'headrace_open_alerts{project="cars",action="propose"}': "0x5000",
    'headrace_drift{project="cars",feature="age"}': "0.1x5000",
}
"""What is different where all is well; counters may stand at more than 0."""


@pytest.mark.parametrize("well", [False, True], ids=["unwell", "well"])
def test_prometheus_fires_each_alert_with_its_reason_and_none_without(well: bool, tmp_path: Path) -> None:
    write_dashboards(tmp_path)
    rules = yaml.safe_load(shipped("prometheus-rules.yaml"))["groups"]
    alerts = [] if well else sorted(rule["alert"] for group in rules for rule in group["rules"])
    series = UNWELL | WELL if well else UNWELL
    case = {
        "rule_files": ["prometheus-rules.yaml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0',
                        "eval_time": "80h",
                        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump(case), encoding="utf-8")
    run_promtool("test", "rules", path)


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
