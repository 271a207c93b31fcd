"""Signing in at a real OpenID provider, by hand: the test is the browser between it and us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from headrace.app.composition import open_app
from headrace.app.governance import linking
from headrace.app.workflows import launch
from headrace.core.settings import ProviderSettings
from headrace.testing.factories import make_settings
from headrace.web.server import build_server
from tests.access.provider import providing
from tests.web.memory_client import MemoryClient, in_memory

pytestmark = pytest.mark.filterwarnings("ignore")  # the provider's own
HOST = "headrace.example"


class Desk:
    """A server whose people sign in at a provider, and somebody's browser before it."""

    def __init__(self, home: Path, issuer: str) -> None:
        self.issuer = issuer
        self.jar: dict[str, str] = {}
        self._settings = replace(
            make_settings(home),
            provider=ProviderSettings(issuer=issuer, client_id="headrace", client_secret="s"),
        )

    @contextmanager
    def serve(self) -> Iterator[Desk]:
        with open_app(self._settings) as self.app, launch(self.app, role="server") as work:
            self.app.me()
            for name, roles in (("ada", ["admin"]), ("grace", ["validator"])):
                self.app.identities.add(name, roles, actor="test")
            self.me = self.app.identities.resolve("ada")
            with in_memory(build_server(self.app, work)) as self.client:
                yield self

    client: MemoryClient

    def get(self, path: str) -> httpx.Response:
        """A page of ours; cookies are kept as a browser keeps them."""
        headers = {"host": HOST, "accept": "text/html", "x-forwarded-proto": "https"}
        if self.jar:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        answer = self.client.request("GET", path, headers=headers)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
        return answer

    def begin(self, target: str = "/") -> str:
        """Where we send the browser."""
        answer = self.get(f"/signin/oidc?next={target}")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def consent(self, address: str, subject: str = "00u1") -> str:
        """Sign in there; returns the path with which the provider sends the browser back."""
        answer = httpx.post(address, data={"sub": subject}, trust_env=False, timeout=20)
        back = urlsplit(answer.headers["location"])
        assert back.netloc == HOST
        return f"{back.path}?{back.query}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with providing() as at, Desk(tmp_path_factory.mktemp("desk"), at.issuer).serve() as found:
        linking.link(found.app, found.me, "grace", at.issuer, "00u1")
        yield found


@pytest.fixture(autouse=True)
def _fresh_browser(request: pytest.FixtureRequest) -> None:
    if "desk" in request.fixturenames:
        request.getfixturevalue("desk").jar = {}


def _with(address: str, **changes: str) -> str:
    parts = urlsplit(address)
    return parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | changes)).geturl()


def test_a_linked_person_signs_in(desk: Desk) -> None:
    page = desk.get("/signin").text
    assert f"Sign in with {urlsplit(desk.issuer).netloc}" in page
    address = desk.begin("/security")
    assert desk.get("/").status_code == 401
    done = desk.get(desk.consent(address))
    assert done.status_code == 200
    assert "Signed in as grace" in done.text
    assert "0; url=/security" in done.text
    assert set(desk.jar) == {"headrace_session"}
    assert "How you prove that it is you, grace" in desk.get("/security").text


def test_the_way_there_is_protected(desk: Desk) -> None:
    answer = desk.get("/signin/oidc")
    sent = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert sent["redirect_uri"].endswith(f"://{HOST}/signin/oidc/callback")
    assert sent["code_challenge_method"] == "S256"
    cookie = answer.headers["set-cookie"]
    for flag in ("HttpOnly", "SameSite=lax", "Path=/signin/oidc", "Max-Age=600"):
        assert flag in cookie
    assert sent["state"] not in cookie


def test_an_answer_counts_once(desk: Desk) -> None:
    address = desk.begin()
    cookie = dict(desk.jar)
    back = desk.consent(address)
    assert desk.get(back).status_code == 200
    desk.jar = cookie
    again = desk.get(back)
    assert again.status_code == 401
    assert "finished already" in again.text


def test_an_answer_in_another_browser_lets_nobody_in(desk: Desk) -> None:
    back = desk.consent(desk.begin())
    for jar in ({}, {"headrace_signin": "guessed"}):
        desk.jar = jar
        answer = desk.get(back)
        assert answer.status_code == 401
        assert "headrace_session" not in desk.jar


@pytest.mark.parametrize(
    "changes", [{"state": "x"}, {"state": ""}, {"code": "x"}, {"iss": "https://evil.example"}]
)
def test_an_altered_answer_lets_nobody_in(desk: Desk, changes: dict[str, str]) -> None:
    answer = desk.get(_with(desk.consent(desk.begin()), **changes))
    assert answer.status_code == 401
    assert "headrace_session" not in desk.jar


def test_a_code_of_another_sign_in_lets_nobody_in(desk: Desk) -> None:
    stolen = dict(parse_qsl(urlsplit(desk.consent(desk.begin())).query))["code"]
    answer = desk.get(_with(desk.consent(desk.begin()), code=stolen))
    assert answer.status_code == 401
    assert "headrace_session" not in desk.jar


@pytest.mark.parametrize("changes", [{"nonce": "another"}, {"client_id": "another"}])
def test_what_was_altered_on_the_way_there_lets_nobody_in(desk: Desk, changes: dict[str, str]) -> None:
    answer = desk.get(desk.consent(_with(desk.begin(), **changes)))
    assert answer.status_code == 401
    assert "headrace_session" not in desk.jar


def test_whoever_says_no_stays_out(desk: Desk) -> None:
    state = dict(parse_qsl(urlsplit(desk.begin()).query))["state"]
    answer = desk.get(f"/signin/oidc/callback?state={state}&error=access_denied")
    assert answer.status_code == 401
    assert "access_denied" in answer.text


def test_a_stranger_is_told_whom_to_ask(desk: Desk) -> None:
    answer = desk.get(desk.consent(desk.begin(), "<b>new@example.org"))
    assert answer.status_code == 403
    assert "headrace_session" not in desk.jar
    for text in ("Ask ada", f"--issuer {desk.issuer}", "--subject &lt;b&gt;new@example.org"):
        assert text in answer.text
    entry = desk.app.store.audit.list()[-1]
    assert entry.action == "session.refused"
    assert "new@example.org" not in str(entry.detail)


def test_a_frozen_person_stays_out(desk: Desk) -> None:
    desk.app.identities.add("lin", ["viewer"], actor="ada")
    linking.link(desk.app, desk.me, "lin", desk.issuer, "00u2")
    desk.app.identities.freeze("lin", "looked odd", actor="ada")
    answer = desk.get(desk.consent(desk.begin(), "00u2"))
    assert answer.status_code == 401
    assert "looked odd" in answer.text
    assert "headrace_session" not in desk.jar


def test_a_link_that_has_ended_lets_nobody_in(desk: Desk) -> None:
    linking.link(desk.app, desk.me, "grace", desk.issuer, "00u3")
    linking.unlink(desk.app, desk.me, "grace", desk.issuer, "00u3")
    assert desk.get(desk.consent(desk.begin(), "00u3")).status_code == 403
