from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def busy(cli: Cli) -> Cli:
    """A home in which two people were made known."""
    for name in ("grace", "otto"):
        assert cli("access", "user", "add", name, "--role", "auditor").code == 0
    return cli


@pytest.mark.requirement("GOV-01")
def test_verifying_says_how_far_the_log_is_sealed(busy: Cli) -> None:
    ended = busy("audit", "verify", "--json").json
    assert ended["intact"] is True
    assert ended["sealed_until"] == ended["entries"] > 0
    said = busy("audit", "verify").out
    assert f"{ended['entries']} entries, chain intact." in said
    assert f"Sealed up to entry {ended['entries']}" in said


def test_seals_kept_elsewhere_are_compared(busy: Cli) -> None:
    assert "Sealed up to entry" in busy("audit", "seal").out
    kept = Path("seals.jsonl")
    kept.write_bytes((busy.home / "audit" / "seals.jsonl").read_bytes())
    assert (
        "The 1 seals in seals.jsonl are the same here." in busy("audit", "verify", "--seals", str(kept)).out
    )
    kept.write_text(kept.read_text().replace('"sequence":', '"sequence":1'))
    ended = busy("audit", "verify", "--seals", str(kept))
    assert ended.code == 1
    assert "seal 1 is not the one in the copy" in ended.error


def test_seals_can_lie_on_other_storage(busy: Cli, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert busy.run(["audit", "seal"], {"HEADRACE_AUDIT_SEALS": str(elsewhere)}).code == 0
    assert len((elsewhere / "seals.jsonl").read_text().splitlines()) == 1
    assert not (busy.home / "audit").exists()
    ended = busy("audit", "verify")
    assert ended.code == 1
    assert "ends before seal 1. If it lies on a disk of its own, mount that." in ended.error


@pytest.mark.requirement("GOV-01")
def test_the_log_is_exported_as_lines_and_goes_on(busy: Cli) -> None:
    lines = busy("audit", "export").out.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["metadata"]["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert {event["class_uid"] for event in events} == {3004}
    assert f"{len(events)} entries added to log.jsonl." in busy("audit", "export", "--to", "log.jsonl").out
    assert busy("access", "user", "add", "vera", "--role", "viewer").code == 0
    assert busy("audit", "export", "--to", "log.jsonl", "--json").json["entries"] == 1
    assert len(Path("log.jsonl").read_text().splitlines()) == len(events) + 1
    assert busy("audit", "export", "--until", "2020-01-01").out == ""
    rest = busy("audit", "export", "--after", str(len(events)), "--since", "2020-01-01T00:00").out
    assert len(rest.splitlines()) == 1


def test_keys_of_seals_are_listed_and_rotated(busy: Cli) -> None:
    (first,) = busy("audit", "keys", "ls", "--json").json
    second = busy("audit", "keys", "rotate", "--json").json["key"]
    listed = busy("audit", "keys", "ls", "--json").json
    assert [(key["name"], key["signs"]) for key in listed] == [(second, True), (first["name"], False)]
    assert busy("audit", "verify", "--json").json["key"] == second
    assert "may not access.write" in busy("audit", "keys", "rotate", "--as", "otto").error


@pytest.mark.requirement("GOV-01")
def test_what_somebody_types_forges_no_line_of_the_list(busy: Cli) -> None:
    forged = "odd\n9999  2026-01-01 00:00:00  root  access.write  principal:eve\x1b[2K\u202e"
    assert busy("access", "flag", "otto", "--why", forged).code in (0, 1, 2)
    busy("project", "show", forged)
    for line in busy("audit", "ls").out.splitlines():
        assert not line.startswith("9999")
        assert line.isprintable()
