from __future__ import annotations

from pathlib import Path

from headrace.access.signing import KEY_FILE
from tests.checks import hostile
from tests.cli.conftest import Cli


def test_a_scan_says_what_it_found_and_ends_with_3(cli: Cli) -> None:
    Path("model.pkl").write_bytes(hostile.RUNS)
    ended = cli("model", "scan", "model.pkl")
    assert (ended.code, ended.error) == (3, "model.pkl is refused: 1 found.")
    assert "it would load posix.system, which is not trusted" in ended.out
    ended = cli("model", "scan", "model.pkl", "--json")
    assert ended.code == 3
    assert ended.json["threats"][0]["kind"] == "code"
    audit = cli("audit", "ls", "--json").json
    assert any(entry["action"] == "artefact.refused" for entry in audit)


def test_a_scan_of_a_harmless_file_ends_with_0(cli: Cli) -> None:
    Path("model.json").write_text("{}")
    ended = cli("model", "scan", "model.json")
    assert ended.code == 0
    assert "model.json holds nothing that would run (asked: headrace, picklescan, skops)." in ended.out
    assert cli("model", "scan", "absent").code == 2


def test_code_that_can_be_seen_may_be_allowed(cli: Cli) -> None:
    Path("project.py").write_text("x = 1")
    assert cli("model", "scan", "project.py").code == 3
    assert cli("model", "scan", "project.py", "--allow-code").code == 0


def test_keys_of_releases_are_listed_and_rotated(cli: Cli) -> None:
    (first,) = cli("release", "keys", "ls", "--json").json
    second = cli("release", "keys", "rotate", "--json").json["key"]
    listed = cli("release", "keys", "ls", "--json").json
    assert [(key["name"], key["signs"]) for key in listed] == [(second, True), (first["name"], False)]
    assert "from now on" in cli("release", "keys", "rotate").out
    assert (cli.home / "keys" / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_folder_without_a_bundle_is_named(cli: Cli) -> None:
    Path("model").mkdir()
    ended = cli("model", "verify", "model", "--key", "model.pub")
    assert ended.code == 2
    assert "There is no file model/model.sig" in ended.error
