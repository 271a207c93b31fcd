from __future__ import annotations

import pytest

from headrace.core.ports import Channel
from headrace.plugins.pagerduty import PagerDutyChannel
from headrace.serving.callbacks import Callbacks
from headrace.testing import ChannelSuite, make_message
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver

URL = "http://{}/hook"


class TestPagerDutyChannel(ChannelSuite):
    @pytest.fixture
    def channel(self, receiver: Receiver, callbacks: Callbacks) -> Channel:
        return PagerDutyChannel(URL.format(receiver.host), "R0UTE", callbacks)


def test_the_event_is_of_version_two(receiver: Receiver, callbacks: Callbacks) -> None:
    message = make_message(severity="critical", title="t" * 5_000)
    PagerDutyChannel(URL.format(receiver.host), "R0UTE", callbacks).send(message)
    (event,) = documents(receiver)
    assert (event["routing_key"], event["event_action"]) == ("R0UTE", "trigger")
    assert event["dedup_key"] == message.id, "the same message opens one incident"
    payload = event["payload"]
    assert (payload["severity"], payload["source"]) == ("critical", "headrace")
    assert payload["summary"] == "t" * 1_024
    assert payload["custom_details"]["alerts"] == [dict(message.details[0])]
    assert event["links"] == [{"href": message.links[0].url, "text": message.links[0].title}]
