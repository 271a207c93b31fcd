"""What every way of telling people promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.core.alerts import Link
from headrace.core.errors import Unavailable
from headrace.core.ports import Channel
from headrace.testing.factories import make_message


class ChannelSuite:
    """Fixtures ``channel``; ``arrived``: what arrived on the other side so far, as text, oldest first;
    ``refuse``: whether the other side takes nothing for now."""

    def test_a_message_arrives_with_its_links_and_its_id(
        self, channel: Channel, arrived: Callable[[], list[str]]
    ) -> None:
        message = make_message(title="'year' has shifted", text="PSI 0.31\nin the first week")
        channel.send(message)
        (had,) = arrived()
        wanted = (message.title, "PSI 0.31", "in the first week", message.links[0].url, message.id)
        assert [one for one in wanted if one not in had] == []

    def test_a_message_that_is_sent_again_is_known_by_its_id(
        self, channel: Channel, arrived: Callable[[], list[str]]
    ) -> None:
        message, other = make_message(), make_message()
        for one in (message, message, other):
            channel.send(one)
        assert [message.id in had for had in arrived()] == [True, True, False]

    def test_what_is_not_taken_now_can_be_sent_later(
        self, channel: Channel, arrived: Callable[[], list[str]], refuse: Callable[[bool], None]
    ) -> None:
        message = make_message()
        refuse(True)
        with pytest.raises(Unavailable):
            channel.send(message)
        before = len(arrived())
        refuse(False)
        channel.send(message)
        assert len(arrived()) == before + 1
        assert message.title in arrived()[-1]

    def test_the_links_of_a_long_message_arrive(
        self, channel: Channel, arrived: Callable[[], list[str]]
    ) -> None:
        links = (Link(title="Evidence", url="https://headrace.example/projects/cars/findings#f1"),)
        message = make_message(title="long " * 2_000, text="word and word\n" * 40_000, links=links)
        channel.send(message)
        (had,) = arrived()
        assert "long long" in had
        assert "word and word" in had
        assert links[0].url in had

    def test_a_title_of_several_lines_stays_one_message(
        self, channel: Channel, arrived: Callable[[], list[str]]
    ) -> None:
        message = make_message(title="one\r\nBcc: eve@example.org\r\n\r\ntwo", text="three\r\n.\r\nfour é 漢")
        channel.send(message)
        (had,) = arrived()
        assert "four é 漢" in had
        assert message.links[0].url in had
