from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.core.settings import read_settings


def test_requests_wait_in_the_database_unless_a_broker_is_named() -> None:
    assert read_settings({"HEADRACE_HOME": "/h"}).broker_url == ""
    url = "amqps://headrace:secret@rabbit.example/jobs"
    settings = read_settings({"HEADRACE_HOME": "/h", "HEADRACE_BROKER_URL": url})
    assert settings.broker_url == url
    assert "secret" not in repr(settings)
    with pytest.raises(InvalidInput, match="'rabbit.example'. Expected amqp://") as refused:
        read_settings({"HEADRACE_HOME": "/h", "HEADRACE_BROKER_URL": "http://me:secret@rabbit.example"})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["kafka://127.0.0.1:9092", "kafkas://me:secret@kafka.example:9093"])
def test_a_kafka_may_be_named_too(url: str) -> None:
    assert read_settings({"HEADRACE_HOME": "/h", "HEADRACE_BROKER_URL": url}).broker_url == url


def test_nobody_is_told_of_answers_unless_hosts_are_named() -> None:
    assert read_settings({"HEADRACE_HOME": "/h"}).callback_hosts == frozenset()
    settings = read_settings(
        {"HEADRACE_HOME": "/h", "HEADRACE_CALLBACK_HOSTS": "Hooks.example, other.example:8443,"}
    )
    assert settings.callback_hosts == {"hooks.example", "other.example:8443"}
    assert not settings.callback_private
    private = read_settings({"HEADRACE_HOME": "/h", "HEADRACE_CALLBACK_PRIVATE": "yes"})
    assert private.callback_private
