"""The demonstration of prompts reports what the record says, and the loss that it plants is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from headrace.store import open_store
from headrace.store.records import decode_prediction
from tests.journeys.conftest import Shell
from tests.journeys.server import free_port

pytestmark = [pytest.mark.journey, pytest.mark.slow]


@pytest.mark.requirement("PRM-02")
@pytest.mark.requirement("LGW-09")
@pytest.mark.usefixtures("cold")  # as a newcomer meets it
def test_four_versions_of_a_prompt_go_their_ways(shell: Shell) -> None:
    ended = shell("demo", "llm", "--once", "--json", "--port", str(free_port()), timeout_s=800)
    assert ended.code == 0, ended.err
    said = ended.json
    assert said["scripted"]
    assert "scripted" in said["model"]
    first, second, third, fourth = said["versions"]
    assert [one["state"] for one in said["versions"]] == ["live", "refused", "live", "aborted"]
    (blocked,) = (v for v in second["verdicts"] if v["outcome"] != "passed")
    assert (blocked["gate"], second["approver"], second["exit"]) == ("output_contract", None, 3)
    for one in (first, third, fourth):
        assert (one["refused"], one["approver"]) == (403, "demo-validator")
        assert {v["outcome"] for v in one["verdicts"]} == {"passed"}
    met = fourth["traffic"]
    assert met["disliked"].get(third["release"], 0) == 0
    assert met["disliked"][fourth["release"]] / met["answered"][fourth["release"]] > 0.15
    assert third["traffic"]["blocked"] > 0
    assert "disliked" in fourth["reason"]
    assert said["live_release"] == third["release"]
    assert recorded(shell) == {
        release: sum(v["traffic"]["answered"].get(release, 0) for v in (third, fourth))
        for release in (first["release"], third["release"], fourth["release"])
    }


def test_a_real_endpoint_needs_both_settings(shell: Shell) -> None:
    ended = shell("demo", "llm", "--upstream", "http://127.0.0.1:9/v1", "--json")
    assert ended.code == 2
    assert "--model NAME" in json.loads(ended.out or ended.err)["error"]["message"]


def recorded(shell: Shell) -> dict[str, int]:
    """How many answers each release gave that no guard blocked, by the record of the demonstration's home."""
    (home,) = Path(shell.home / "demo").iterdir()
    store = open_store(read_settings(shell.env() | {"HEADRACE_HOME": str(home)}), SystemClock())
    found: dict[str, int] = {}
    try:
        for segment in store.events.segments("support/predictions"):
            for record in store.events.read("support/predictions", segment.name, 0, 1_000_000)[0]:
                answer = decode_prediction(record)
                if answer.outputs["finish"] != ["blocked"]:
                    found[answer.release_id] = found.get(answer.release_id, 0) + 1
        return found
    finally:
        store.close()
