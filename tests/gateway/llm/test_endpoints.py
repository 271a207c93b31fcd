from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from headrace.core.errors import InvalidInput, NotFound
from headrace.gateway.llm.endpoints import (
    Endpoint,
    ProviderModel,
    Target,
    parse_providers,
    read_providers,
)
from headrace.gateway.llm.terms import Terms

_TEXT = """
providers:
  openai:
    url: https://api.openai.com/v1/
    secret: env:OPENAI_API_KEY
    owner: ann
    service_level: 99.9 % of a month
    total_timeout_s: 90
    terms:
      {retains_days: 30, trains_on_data: false, region: us, compliant_with: [SOC2], stated_in: contract 7}
    models:
      - {name: gpt-4.1-2025-04-14, trained_until: 2024-06-01}
      - {name: gpt-4.1, is_alias: true}
  local:
    url: http://vllm.internal:8000/v1
    plain_http: true
    terms: {self_hosted: true}
"""


def test_a_file_says_where_models_are_and_on_what_terms(tmp_path: Path) -> None:
    path = tmp_path / "providers.yaml"
    path.write_text(_TEXT)
    read = read_providers(path)
    assert read.endpoints()["openai"] == Endpoint(
        name="openai",
        models=("gpt-4.1-2025-04-14", "gpt-4.1"),
        base_url="https://api.openai.com/v1",
        secret="env:OPENAI_API_KEY",
        total_timeout_s=90,
    )
    assert read.get("openai").terms == Terms(
        retains_days=30,
        trains_on_data=False,
        region="us",
        compliant_with=("SOC2",),
        stated_in="contract 7",
    )
    exact = read.model(Target("openai", "gpt-4.1-2025-04-14"))
    assert (exact.is_alias, exact.trained_until) == (False, date(2024, 6, 1))
    assert read.model(Target("openai", "gpt-4.1")).is_alias
    assert read.model(Target("openai", "other")) == ProviderModel(name="other")


@pytest.mark.requirement("REG-10")
def test_of_what_others_run_only_registered_models_may_be_asked() -> None:
    read = parse_providers(_TEXT).endpoints()
    read["openai"].check("gpt-4.1")
    with pytest.raises(NotFound, match=r"no registered model 'gpt-5' \(has: gpt-4.1-2025-04-14, gpt-4.1\)"):
        read["openai"].check("gpt-5")
    read["local"].check("whatever")


@pytest.mark.parametrize(
    ("line", "is_external"),
    [
        ("url: 'https://p.example/v1'", True),
        ("url: 'https://p.example/v1', terms: {self_hosted: true}", False),
        ("url: 'http://127.0.0.1:8000/v1'", False),
        ("url: 'http://localhost/v1'", False),
    ],
)
def test_what_we_run_ourselves_is_told_from_what_others_run(line: str, is_external: bool) -> None:
    assert parse_providers(f"providers: {{p: {{{line}}}}}").get("p").is_external is is_external


def test_without_a_file_there_is_no_provider(tmp_path: Path) -> None:
    read = read_providers(tmp_path / "providers.yaml")
    with pytest.raises(NotFound, match=r"no provider 'openai' \(has: none\)"):
        read.get("openai")


def test_what_is_not_said_of_a_provider_is_assumed_to_be_the_worst() -> None:
    terms = parse_providers("providers: {p: {url: 'https://p.example/v1'}}").get("p").terms
    assert terms == Terms(retains_days=None, trains_on_data=True, compliant_with=(), self_hosted=False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("url: http://p.example/v1", "no address"),
        ("url: ftp://p.example/v1", "no address"),
        ("url: http://p.example/v1, plain_http: true", "self_hosted"),
        ("url: 'https://u:secret@p.example/v1'", "no address"),
        ("url: 'https://p.example/v1', key: sk-1", "key"),
        ("url: 'https://p.example/v1', api: other", "api"),
        ("url: 'https://p.example/v1', idle_timeout_s: 0", "above 0"),
        ("url: 'https://p.example/v1', total_timeout_s: .inf", "at most 3600"),
        ("url: 'https://p.example/v1', max_connections: 0", "expected 1"),
        ("url: 'https://p.example/v1', key_header: 'a: b'", "no name of a header"),
        ("url: 'https://p.example/v1', terms: {retains_days: -1}", "0 or more"),
        ("url: 'https://p.example/v1', models: [{name: a}, {name: a}]", "declared twice"),
        ("secret: k", "url"),
    ],
)
def test_a_mistake_is_named_with_its_place(line: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as raised:
        parse_providers(f"providers:\n  p: {{{line}}}\n")
    assert "line 2" in str(raised.value)
    assert "secret@" not in str(raised.value)


def test_a_name_that_no_prompt_could_use_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no name"):
        parse_providers("providers: {'Open AI': {url: 'https://p.example/v1'}}")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "providers.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_providers(path)


@pytest.mark.parametrize("text", ["gpt-4", "/gpt-4", "openai/", "Open AI/x", "a/b\nc", "a/" + "x" * 300])
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="names no model"):
        Target.parse(text)


def test_a_target_is_written_as_it_is_read() -> None:
    assert str(Target.parse("local/meta/llama-3")) == "local/meta/llama-3"


@pytest.mark.parametrize(
    ("endpoint", "headers"),
    [
        (Endpoint(name="o", base_url="u"), {"authorization": "Bearer k"}),
        (Endpoint(name="o", base_url="u", key_header="Api-Key"), {"api-key": "k"}),
        (
            Endpoint(name="a", base_url="u", api="anthropic"),
            {"x-api-key": "k", "anthropic-version": "2023-06-01"},
        ),
    ],
)
def test_each_api_is_given_its_key_in_its_own_header(endpoint: Endpoint, headers: dict[str, str]) -> None:
    assert endpoint.key_headers("k") == headers
    assert "k" not in endpoint.key_headers("").values()
