from __future__ import annotations

from pathlib import Path

import pytest

from headrace.access.key_ring import KeyRing
from headrace.app.channels import open_channels
from headrace.core.errors import InvalidInput
from headrace.core.ports import Channel
from headrace.core.settings import read_settings
from headrace.testing import FakeClock, make_message
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver


def opened(folder: Path, **environment: str) -> dict[str, Channel]:
    settings = read_settings(environment, home=folder)
    return open_channels(settings, KeyRing(folder / "keys", "callbacks"), FakeClock())


def test_each_form_of_address_makes_a_channel(tmp_path: Path) -> None:
    found = opened(
        tmp_path,
        HEADRACE_CHANNEL_EMAIL="smtp://me:p%40ss@mail.example?from=headrace@example.org",
        HEADRACE_CHANNEL_OPS="slack+https://hooks.slack.com/services/T/B/x",
        HEADRACE_CHANNEL_CHAT="teams+https://chat.example/hook?sig=1",
        HEADRACE_CHANNEL_ONCALL="pagerduty+https://K3Y@events.pagerduty.com/v2/enqueue",
        HEADRACE_CHANNEL_HOOK="webhook+https://hooks.example/a",
        HEADRACE_CHANNEL_TRACKER="github+https://t0ken@api.github.com/repos/a/b/issues",
        HEADRACE_CHANNEL_DESK="jira+https://ann:t0ken@example.atlassian.net/rest/api/2/issue?project=OPS",
    )
    assert [name for name, channel in found.items() if channel.personal] == ["email"]
    assert len(found) == 7


def test_what_a_channel_says_it_is_stays_out_of_its_address(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.status = 202
    address = f"pagerduty+http://K3Y@{receiver.host}/v2/enqueue"
    found = opened(tmp_path, HEADRACE_CHANNEL_ONCALL=address, HEADRACE_CHANNELS_PRIVATE="yes")
    found["oncall"].send(make_message())
    receiver.close()
    ((path, headers, _),) = receiver.had
    assert (path, headers["host"]) == ("/v2/enqueue", receiver.host)
    assert documents(receiver)[0]["routing_key"] == "K3Y"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://S3CRET@hooks.example/", "like none that is known"),
        ("slack+http://hooks.example/S3CRET", "does not begin with https"),
        ("fax+https://S3CRET@hooks.example/", "like none that is known"),
        ("pagerduty+https://events.example/S3CRET", "lacks ROUTING_KEY@"),
        ("jira+https://ann:S3CRET@jira.example/issue", r"lacks \?project=KEY"),
        ("jira+https://S3CRET@jira.example/issue?project=A", "lacks USER:TOKEN@"),
        ("smtp://me:S3CRET@mail.example", r"lacks \?from=ADDRESS"),
        ("smtp://me:S3CRET@mail.example?from=a@b.example&tls=none", "mail is sent with TLS"),
        ("webhook+https://hooks.example:S3CRET/", "no channel"),
        ("", "like none that is known"),
    ],
)
def test_what_is_no_channel_is_refused_without_its_secret(tmp_path: Path, address: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        opened(tmp_path, HEADRACE_CHANNEL_OPS=address)
    assert str(refused.value).startswith("HEADRACE_CHANNEL_OPS is no channel")
    assert "S3CRET" not in str(refused.value)


def test_addresses_are_in_no_representation(tmp_path: Path) -> None:
    settings = read_settings({"HEADRACE_CHANNEL_OPS": "slack+https://hooks.example/S3CRET"}, home=tmp_path)
    assert dict(settings.channels) == {"ops": "slack+https://hooks.example/S3CRET"}
    assert "S3CRET" not in repr(settings)
