"""Slack's own example of a signed request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import pytest

from headrace.core.errors import Unauthenticated
from headrace.plugins.slack import SlackChannel
from headrace.serving.callbacks import Callbacks

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
AT = datetime.fromtimestamp(1531420618, UTC)


def test_the_example_of_slacks_documentation_is_taken_and_nothing_near_it() -> None:
    channel = SlackChannel("https://hooks.slack.com/x", cast(Callbacks, None), SECRET)
    channel.check(BODY, "1531420618", SIGNATURE, AT)
    for body, at, signature in (
        (BODY + b" ", "1531420618", SIGNATURE),
        (BODY, "1531420619", SIGNATURE),
        (BODY, "1531420618", SIGNATURE[:-1] + "4"),
        (BODY, "1531420618", SIGNATURE.removeprefix("v0=")),
    ):
        with pytest.raises(Unauthenticated):
            channel.check(body, at, signature, AT)
