from __future__ import annotations

from pathlib import Path

import pytest

from headrace.access.vault import Vault
from headrace.core.errors import InternalError, InvalidInput
from headrace.gateway.llm.provider_keys import KEYS_FILE, ProviderKeys


@pytest.fixture
def keys(tmp_path: Path) -> ProviderKeys:
    return ProviderKeys(tmp_path, Vault(tmp_path), {"OPENAI_API_KEY": "sk-env"})


def test_a_key_comes_back_and_is_sealed_where_it_is_kept(keys: ProviderKeys, tmp_path: Path) -> None:
    keys.put("openai", "sk-first")
    keys.put("other", "sk-other")
    keys.put("openai", "sk-second")
    assert (keys.get("openai"), keys.get("other")) == ("sk-second", "sk-other")
    assert keys.names() == ["openai", "other"]
    assert "sk-" not in (tmp_path / KEYS_FILE).read_text()
    assert (tmp_path / KEYS_FILE).stat().st_mode & 0o077 == 0


def test_a_key_is_forgotten(keys: ProviderKeys) -> None:
    keys.put("openai", "sk-first")
    assert (keys.remove("openai"), keys.remove("openai")) == (True, False)
    with pytest.raises(InvalidInput, match="no key 'openai'"):
        keys.get("openai")


def test_the_environment_has_keys_too(keys: ProviderKeys) -> None:
    assert keys.get("env:OPENAI_API_KEY") == "sk-env"
    assert keys.get("") == ""
    with pytest.raises(InvalidInput, match="'ABSENT' is not set"):
        keys.get("env:ABSENT")


@pytest.mark.parametrize(("name", "key"), [("a", ""), ("a", "two words"), ("a", "k\r\nx: y"), ("A b", "k")])
def test_what_could_not_be_sent_is_refused_and_not_told(keys: ProviderKeys, name: str, key: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        keys.put(name, key)
    assert not key or key not in str(raised.value).replace("key", "")


def test_a_key_under_another_name_does_not_open(keys: ProviderKeys, tmp_path: Path) -> None:
    keys.put("openai", "sk-first")
    path = tmp_path / KEYS_FILE
    path.write_text(path.read_text().replace("openai", "cheap"))
    with pytest.raises(InternalError, match="altered"):
        keys.get("cheap")


def test_a_broken_file_is_told(keys: ProviderKeys, tmp_path: Path) -> None:
    (tmp_path / KEYS_FILE).write_text("[")
    with pytest.raises(InvalidInput, match="broken"):
        keys.get("openai")
