"""Proving on the command line, and what an administrator does about a loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import jwt
import pyotp
import pytest

from headrace.app.composition import App, open_app
from headrace.app.governance import proving
from headrace.core.identity import Session
from headrace.testing import make_settings
from tests.cli.conftest import Cli

ISSUER = "https://login.example"


class Phone:
    """The authenticator app of somebody in the home of ``cli``."""

    def __init__(self, cli: Cli, name: str) -> None:
        self._cli = cli
        with self._opened() as app:
            session = Session(token="t", began_at=app.clock.now())
            me = replace(app.identities.resolve(name), session=session)
            proving.begin_app(app, me)
            waiting = proving.pending_app(app, me)
            assert waiting is not None
            self._app = pyotp.TOTP(waiting.key)
            proving.add_app(app, me, self.code(-1))

    @contextmanager
    def _opened(self) -> Iterator[App]:
        with open_app(make_settings(self._cli.home)) as app:
            self._clock = app.clock
            yield app

    def code(self, steps: int = 0) -> str:
        return self._app.at(self._clock.now(), counter_offset=steps)


@pytest.fixture
def people(cli: Cli) -> Cli:
    """A home with an administrator and a validator."""
    assert cli("status").code == 0
    assert cli("access", "user", "add", "carol", "--role", "validator").code == 0
    return cli


def test_a_code_that_proves_nothing_ends_the_command(people: Cli) -> None:
    approve = ("release", "approve", "0000", "--as", "carol", "--code")
    assert "no authenticator app" in people(*approve, "123456").error
    phone = Phone(people, "carol")
    assert "used already" in people(*approve, phone.code(-1)).error
    assert "six digits" in people(*approve, "12").error


@pytest.mark.requirement("MCP-08")
def test_an_administrator_with_a_factor_shows_it(people: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = Phone(people, people.user)
    refused = people("access", "user", "add", "dan", "--role", "viewer")
    assert refused.code == 2
    assert "HEADRACE_CODE" in refused.error
    environment = {"HEADRACE_CODE": phone.code()}
    assert people.run(("access", "user", "add", "dan", "--role", "viewer"), environment).code == 0


def test_a_reset_ends_what_somebody_has(people: Cli) -> None:
    Phone(people, "carol")
    (listed,) = people("access", "factor", "ls", "carol", "--json").json
    assert (listed["owner"], listed["kind"]) == ("carol", "code")
    assert "Authenticator app" in people("access", "factor", "ls").out
    assert people("access", "factor", "reset", people.user).code == 2
    assert "1 second factor of carol ended" in people("access", "factor", "reset", "carol").out
    assert "No second factor yet" in people("access", "factor", "ls").out
    assert people("access", "factor", "reset", "carol", "--json").json == {"principal": "carol", "ended": 0}


def test_a_token_carries_the_proof(people: Cli) -> None:
    phone = Phone(people, "carol")
    unproved = people("access", "token", "--as", "carol").out.strip()
    proved = people("access", "token", "--as", "carol", "--code", phone.code()).out.strip()
    claims = [jwt.decode(text, options={"verify_signature": False}) for text in (unproved, proved)]
    assert "proved" not in claims[0]
    assert claims[1]["proof"] == "code"
    assert 590 <= claims[1]["proved"] - claims[1]["iat"] <= 600


def test_a_person_is_linked_to_a_provider(people: Cli) -> None:
    about = ("--issuer", ISSUER, "--subject", "00u1")
    assert f"carol may sign in at {ISSUER}" in people("access", "user", "link", "carol", *about).out
    assert people("access", "user", "link", "carol", *about, "--json").json["subject"] == "00u1"
    other = people("access", "user", "link", people.user, *about)
    assert other.code == 2
    assert people("access", "user", "unlink", "carol", *about).code == 0
    assert people("access", "user", "unlink", "carol", *about).code == 2
    wrong = people("access", "user", "link", "carol", "--issuer", "http://login.example", "--subject", "00u1")
    assert "Expected https" in wrong.error
    assert people("access", "user", "link", "nobody", *about).code == 2
    assert people("access", "user", "link", "carol", *about, "--as", "carol").code == 2
