from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def test_a_model_elsewhere_is_attached_and_its_log_imported(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{i},{2000 + i % 20},{1000.5 + 37 * i},{1000.5 + 36 * i}\n" for i in range(60))
    Path("log.csv").write_text(f"id,year,price,prediction\n{rows}")
    assert cli("init", "cars", "--data", "log.csv", "--target", "price", "--key", "id").code == 0
    monkeypatch.chdir("cars")
    charter = Path("headrace.yaml")
    text = re.sub(r"basis: .*", "basis: not_personal", charter.read_text())
    charter.write_text(re.sub(r'(name: "prediction".*?role: )numeric', r"\1ignored", text, flags=re.DOTALL))
    given = ("--version", "v7", "--reference", "../log.csv")
    refused = cli("model", "attach", *given)
    assert (refused.code, "--statement" in refused.error) == (2, True)
    ended = cli("model", "attach", *given, "--statement", "by the old team")
    assert ended.code == 0, ended.error
    assert ended.out.startswith("model:cars@1 stands for 'v7'")
    imported = cli("monitor", "import-log", "cars", "../log.csv", "--version", "v7")
    assert imported.out.splitlines()[0] == "60 answers recorded; 60 labels sent."
    again = cli("monitor", "import-log", "cars", "../log.csv", "--version", "v7", "--json").json
    assert (again["rows"], again["known"]) == (0, 60)
    assert cli("release", "ls", "cars", "--json").json[0]["state"] == "external"
