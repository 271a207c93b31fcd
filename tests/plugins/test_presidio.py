from __future__ import annotations

import importlib.util
import socket
from typing import Any

import pytest

from headrace.access.privacy.redacting import Span, builtin, redactor
from headrace.core.errors import Unavailable
from headrace.plugins.presidio import MODELS, presidio

needs_presidio = pytest.mark.skipif(
    importlib.util.find_spec("presidio_analyzer") is None, reason="needs presidio-analyzer, headrace[privacy]"
)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to reach something fails the test."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@needs_presidio
@pytest.mark.requirement("PRV-01")
@pytest.mark.usefixtures("offline")
# spaCy and what it brings use what newer Pythons and libraries have deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_presidio_recognises_more_and_reaches_for_nothing() -> None:
    recognise = presidio()
    assert recognise("Write to ada@example.org") == [Span("EMAIL", 9, 24)]
    assert list(recognise("no such host: ada@example.notadomain")) == []
    redact = redactor([builtin, recognise])
    assert redact("NHS number 401 023 2137") == "NHS number <UK_NHS>"
    assert redact("driver license A1234567, ada@example.org") == (
        "driver license <US_DRIVER_LICENSE>, <EMAIL>"
    )
    assert redact("card 4111 1111 1111 1111 on 2024-05-01") == "card <CARD> on 2024-05-01"
    assert redact("") == ""


@needs_presidio
@pytest.mark.skipif(
    all(importlib.util.find_spec(name) is None for name in MODELS), reason=f"needs one of {', '.join(MODELS)}"
)
def test_with_a_model_names_are_recognised() -> None:
    assert redactor([presidio()])("Please ask Barack Obama about it") == "Please ask <PERSON> about it"


def test_without_presidio_the_error_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    presidio.cache_clear()
    with pytest.raises(Unavailable, match=r"pip install 'headrace\[privacy\]', or take presidio out"):
        presidio()
