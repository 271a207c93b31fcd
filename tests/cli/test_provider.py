from __future__ import annotations

import pytest

from tests.cli.conftest import Cli

_PROVIDERS = """
providers:
  openai:
    url: https://api.openai.com/v1
    secret: openai
    owner: ann
    contact: support@openai.example
    service_level: 99.9 % of a month
    remediation: ann switches to local, see the runbook
    terms: {retains_days: 30, trains_on_data: false, region: us, compliant_with: [SOC2]}
    models:
      - {name: gpt-4o-mini-2024-07-18, trained_until: 2023-10-01}
      - {name: gpt-4.1, is_alias: true, trained_until: 2999-01-01}
  local:
    url: http://127.0.0.1:8000/v1
    terms: {self_hosted: true}
"""


@pytest.mark.requirement("REG-10")
def test_language_models_are_listed_with_version_age_terms_and_price(cli: Cli) -> None:
    listing = ("model", "provider", "ls")
    assert "Declare one in providers.yaml" in cli(*listing).out
    (cli.home / "providers.yaml").write_text(_PROVIDERS)
    local, exact, alias = cli(*listing, "--json").json
    assert (exact["model"], exact["is_alias"], exact["is_stale"]) == ("gpt-4o-mini-2024-07-18", False, True)
    assert exact["days_behind"] > 365
    assert (exact["trained_until"], exact["price_in"], exact["price_out"]) == ("2023-10-01", 0.15, 0.6)
    assert exact["lacks"] == []
    assert (alias["is_alias"], alias["is_stale"], alias["lacks"]) == (True, False, ["exact version"])
    assert (local["model"], local["price_in"]) == ("", None)
    assert local["lacks"] == [
        "owner",
        "service level",
        "contact",
        "remediation",
        "exact version",
        "training cut-off",
    ]
    shown = cli(*listing).out
    assert "alias, may change" in shown
    assert "stale" in shown
    assert "kept 30 days, not trained on, us, SOC2" in shown
    assert "self-hosted" in shown


def test_a_key_is_put_into_the_vault_and_never_shown(cli: Cli) -> None:
    group = ("model", "provider")
    put = cli(*group, "set-key", "openai", given="sk-S3CRET\n")
    assert "secret: openai" in put.out
    listed = cli(*group, "keys", "--json")
    assert listed.json == ["openai"]
    audit = cli("audit", "ls", "--json")
    assert [e["detail"]["key"] for e in audit.json if e["action"] == "provider_key.put"] == ["openai"]
    kept = b"".join(path.read_bytes() for path in (cli.home / "keys").iterdir() if path.is_file())
    assert "S3CRET" not in put.out + listed.out + audit.out + kept.decode("latin-1")
    assert "cannot be sent" in cli(*group, "set-key", "openai", given="\n").error
    assert cli("access", "user", "add", "vera", "--role", "viewer").code == 0
    assert "may not access.write" in cli(*group, "set-key", "x", "--as", "vera", given="k\n").error
    assert cli(*group, "remove-key", "openai", "--json").json == {"key": "openai", "removed": True}
    assert "There was no key openai" in cli(*group, "remove-key", "openai").out
