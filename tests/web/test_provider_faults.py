"""Providers that are away, late or not there; each test has a home of its own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from headrace.app.governance import linking
from tests.access.provider import providing
from tests.web.conftest import Site
from tests.web.test_provider import Desk

pytestmark = pytest.mark.filterwarnings("ignore")  # the provider's own


def test_an_expired_identity_token_lets_nobody_in(tmp_path: Path) -> None:
    with providing(max_age=timedelta(minutes=-5)) as at, Desk(tmp_path, at.issuer).serve() as desk:
        linking.link(desk.app, desk.me, "grace", at.issuer, "00u1")
        answer = desk.get(desk.consent(desk.begin()))
        assert answer.status_code == 401
        assert "identity token is not good here" in answer.text
        assert "headrace_session" not in desk.jar


def test_a_provider_that_is_away_leaves_the_other_ways(tmp_path: Path) -> None:
    with Desk(tmp_path, "http://localhost:9").serve() as desk:
        answer = desk.get("/signin/oidc")
        assert answer.status_code == 503
        assert "does not answer" in answer.text
        assert "headrace access token" in answer.text


def test_without_a_provider_there_is_no_such_door(own_site: Site) -> None:
    for path in ("/signin/oidc", "/signin/oidc/callback?state=x&code=y"):
        assert own_site.get(path, by=None, headers={"accept": "text/html"}).status_code == 404
    assert "Sign in with" not in own_site.get("/signin", by=None).text
