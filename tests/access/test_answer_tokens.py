"""A token for feedback stands for one answer and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from headrace.access.answer_tokens import AnswerTokens
from headrace.app.composition import App, open_app
from headrace.core.errors import InvalidInput, Unauthenticated
from headrace.testing import FakeClock, make_settings

ROW = "01980000-0000-7000-8000-000000000001:0"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path), FakeClock()) as app:
        app.me()
        yield app


@pytest.fixture
def tokens(app: App) -> AnswerTokens:
    return AnswerTokens(app.access.keys, app.clock)


def test_it_says_of_which_answer_it_is(tokens: AnswerTokens) -> None:
    read = tokens.read(tokens.make("support", ROW, "r-1", "shop"))
    assert (read.project, read.subject, read.release_id, read.principal) == ("support", ROW, "r-1", "shop")


@pytest.mark.parametrize("ttl_s", [0, 86_401])
def test_it_lives_for_a_day_at_most(tokens: AnswerTokens, ttl_s: int) -> None:
    with pytest.raises(InvalidInput, match="Expected 1 to 86400 s"):
        tokens.make("support", ROW, "r-1", "shop", ttl_s=ttl_s)


def test_it_ends(app: App, tokens: AnswerTokens) -> None:
    token = tokens.make("support", ROW, "r-1", "shop", ttl_s=60)
    assert isinstance(app.clock, FakeClock)
    app.clock.advance(59)
    tokens.read(token)
    app.clock.advance(1)
    with pytest.raises(Unauthenticated, match="has ended"):
        tokens.read(token)


def test_neither_kind_of_token_is_taken_for_the_other(app: App, tokens: AnswerTokens) -> None:
    with pytest.raises(Unauthenticated):
        app.tokens.verify(tokens.make("support", ROW, "r-1", app.me().name))
    with pytest.raises(Unauthenticated, match="no token for feedback"):
        tokens.read(app.tokens.issue(app.me()))
    with pytest.raises(Unauthenticated, match="no token for feedback"):
        tokens.read(app.access.tokens.issue(app.me(), audience="headrace-feedback"))


def test_what_was_altered_or_is_made_elsewhere_is_refused(app: App, tokens: AnswerTokens) -> None:
    token = tokens.make("support", ROW, "r-1", "shop")
    header, body, signature = token.split(".")
    other = tokens.make("support", ROW.replace(":0", ":1"), "r-1", "shop").split(".")[1]
    claims = jwt.decode(token, options={"verify_signature": False})
    named = {name: word for name, word in jwt.get_unverified_header(token).items() if name != "alg"}
    forged = [
        f"{header}.{other}.{signature}",
        f"{header}.{body}.{signature[:-4]}AAAA",
        jwt.encode(claims, "", "none", headers=named),
        jwt.encode(claims, "s" * 32, "HS256", headers=named),
        jwt.encode(claims | {"row": 7}, app.access.keys.now().private, "EdDSA", headers=named),
        jwt.encode(claims | {"exp": None}, app.access.keys.now().private, "EdDSA", headers=named),
        "",
        "a.b.c",
        "x" * 10_000,
    ]
    for text in forged:
        with pytest.raises(Unauthenticated, match="no token for feedback"):
            tokens.read(text)
