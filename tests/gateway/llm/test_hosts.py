"""Hosts at which language models answer are data, and matched by whole names."""

from __future__ import annotations

import re

import pytest

from headrace.gateway.llm.hosts import at_host, known, of_key


@pytest.mark.requirement("GOV-08")
@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "OpenAI"),
        ("API.OpenAI.com.", "OpenAI"),
        ("eu.api.openai.com", "OpenAI"),
        ("our-team.openai.azure.com", "Azure OpenAI"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "Amazon Bedrock"),
        ("us-central1-aiplatform.googleapis.com", "Google Vertex AI"),
        ("claude.ai", "Claude"),
        ("openai.com", None),
        ("notclaude.ai", None),
        ("api.openai.com.evil.example", None),
        ("s3.eu-central-1.amazonaws.com", None),
        ("bedrock-runtime.a.b.amazonaws.com", None),
        ("storage.googleapis.com", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_a_host_is_known_by_its_name_or_one_above(host: str, provider: str | None) -> None:
    found = at_host(host)
    assert (None if found is None else found.provider) == provider


def test_the_list_is_sound() -> None:
    hosts = [host for one in known() for host in one.hosts]
    assert len(hosts) == len(set(hosts)) > 50
    assert all(re.fullmatch(r"[a-z0-9.*-]+\.[a-z0-9.-]+", host) for host in hosts)
    assert {one.kind for one in known()} == {"API", "assistant", "coding assistant"}


def test_a_key_says_whose_it_looks_like() -> None:
    assert [of_key(key) for key in ("sk-ant-1", "sk-proj-1", "sk-1", "gsk_1", "hello")] == [
        "Anthropic",
        "OpenAI",
        "OpenAI or alike",
        "Groq",
        "",
    ]
