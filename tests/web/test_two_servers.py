"""Two servers on one home: what one knows about people, the other one knows too."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from headrace.access.credentials import GrantRefused
from headrace.access.networks import Place, network_of, place_of
from headrace.access.refresh import REPEAT_S
from headrace.access.tries import MOST, TooManyTries
from headrace.app import credentials
from headrace.app.composition import App, open_app
from headrace.app.governance import incidents, proving
from headrace.core.errors import Conflict, HeadraceError, Unauthenticated
from headrace.core.identity import Principal, Session
from headrace.core.settings import Settings
from headrace.store import open_store
from headrace.testing import FakeClock, make_settings
from headrace.web.server import Server, build_server
from tests.databases import empty_postgres
from tests.web.memory_client import MemoryClient

_T = TypeVar("_T")
HERE, THERE, ABROAD, FAR = (("93.184.216.34", 1), ("151.101.1.1", 1), ("8.8.8.8", 1), ("1.1.1.1", 1))


class Pair:
    """Two processes of one home, each with its own memory; they can begin anew."""

    def __init__(self, settings: Settings, portal: BlockingPortal) -> None:
        self.clock = FakeClock()
        self._settings = settings
        self._portal = portal
        self._opened = ExitStack()
        self.start()

    def start(self) -> None:
        """Open both."""
        self.apps = [self._opened.enter_context(open_app(self._settings, self.clock)) for _ in range(2)]
        no_work = cast(Any, SimpleNamespace(durable=SimpleNamespace(executor_id="nobody")))  # none is started
        self.servers: list[Server] = [build_server(app, no_work) for app in self.apps]
        self._clients = [MemoryClient(server, self._portal) for server in self.servers]

    def stop(self) -> None:
        """Close both, as if killed: nothing of their memory is left."""
        self._opened.close()

    def people(self, *admins: str) -> Principal:
        """Make administrators known; the first one."""
        app = self.apps[0]
        app.identities.ensure_first(admins[0])
        for name in admins[1:]:
            app.identities.add(name, ["admin", "developer"], actor=admins[0])
        return app.identities.resolve(admins[0])

    def at(self, number: int, method: str, path: str, cookie: str = "", **more: Any) -> httpx.Response:
        """A request of a browser to one of them."""
        headers = {"accept": "text/html", "sec-fetch-site": "same-origin"}
        if cookie:
            headers["cookie"] = f"headrace_session={cookie}"
        return self._clients[number].request(method, path, headers=headers, **more)

    def signed_in(self, number: int, name: str) -> str:
        """Follow a link that the other one has made; the cookie's value."""
        ticket = self.servers[1 - number].parts.tickets.issue(name)
        return _cookie(self.at(number, "GET", f"/signin?ticket={ticket}"))


def _cookie(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].partition(";")[0].partition("=")[2]


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as found:
        yield found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("empty") / "home"
    open_store(make_settings(home), FakeClock()).close()
    return home


@pytest.fixture(params=["sqlite", "postgres"])
def pair(
    request: pytest.FixtureRequest, tmp_path: Path, empty: Path, portal: BlockingPortal
) -> Iterator[Pair]:
    home = tmp_path / "home"
    if request.param == "sqlite":
        settings = make_settings(shutil.copytree(empty, home))
    else:
        url = str(request.getfixturevalue("prepared_postgres"))
        empty_postgres(url)
        settings = make_settings(home, database_url=url)
    found = Pair(settings, portal)
    yield found
    found.stop()


def _at_once(*acts: Callable[[], _T]) -> list[_T | HeadraceError]:
    """What each comes to when all begin at the same instant."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], _T]) -> _T | HeadraceError:
        barrier.wait()
        try:
            return act()
        except HeadraceError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(run, acts))


@pytest.mark.requirement("MCP-04")
def test_a_browser_is_signed_in_at_both_and_signed_out_at_both(pair: Pair) -> None:
    pair.people("ann")
    cookie, other = pair.signed_in(0, "ann"), pair.signed_in(1, "ann")
    assert [pair.at(n, "GET", "/security", cookie).status_code for n in (0, 1)] == [200, 200]
    assert pair.at(1, "POST", "/signout", cookie).status_code == 303
    assert [pair.at(n, "GET", "/security", cookie).status_code for n in (0, 1)] == [401, 401]
    assert [pair.at(n, "GET", "/security", other).status_code for n in (0, 1)] == [200, 200]
    pair.stop()
    pair.start()
    assert [pair.at(n, "GET", "/security", other).status_code for n in (0, 1)] == [200, 200]
    third = pair.signed_in(0, "ann")
    assert pair.at(0, "POST", "/security/signout", third).status_code == 303
    for cookie in (other, third):
        assert [pair.at(n, "GET", "/security", cookie).status_code for n in (0, 1)] == [401, 401]


@pytest.mark.requirement("MCP-03")
def test_a_session_ends_by_itself_at_both(pair: Pair) -> None:
    pair.people("ann")
    idle, used = pair.signed_in(0, "ann"), pair.signed_in(0, "ann")
    for _ in range(23):
        pair.clock.advance(1_800)
        assert pair.at(1, "GET", "/security", used).status_code == 200
    assert pair.at(0, "GET", "/security", used).status_code == 200
    assert pair.at(0, "GET", "/security", idle).status_code == 401
    pair.clock.advance(1_800)
    assert [pair.at(n, "GET", "/security", used).status_code for n in (0, 1)] == [401, 401]
    store = pair.apps[0].store.expiring
    assert store.clean() >= 2
    assert store.clean() == 0


@pytest.mark.requirement("MCP-03")
def test_a_link_signs_one_browser_in_whoever_comes_first(pair: Pair) -> None:
    pair.people("ann")
    for _ in range(3):
        path = f"/signin?ticket={pair.servers[0].parts.tickets.issue('ann')}"
        follow = [partial(pair.at, number, "GET", path) for number in (0, 1)]
        answers = [cast(httpx.Response, one).status_code for one in _at_once(*follow)]
        assert sorted(answers) == [200, 401]


@pytest.mark.requirement("MCP-04")
@pytest.mark.parametrize("hours", [0, 5])
def test_a_session_that_began_with_a_token_ends_with_that_token(pair: Pair, hours: int) -> None:
    ann = pair.people("ann")
    token, other = (pair.apps[0].tokens.mint(ann) for _ in range(2))
    cookies = [_cookie(pair.at(0, "POST", "/signin", data={"token": one.text})) for one in (token, other)]
    assert [pair.at(1, "GET", "/security", cookie).status_code for cookie in cookies] == [200, 200]
    credentials.revoke_tokens(pair.apps[0], ann, "ann", token=token.id)
    for _ in range(hours * 2):
        pair.clock.advance(1_800)
        assert pair.at(0, "GET", "/security", cookies[1]).status_code == 200
    assert [pair.at(n, "GET", "/security", cookies[0]).status_code for n in (1, 0)] == [401, 401]
    assert pair.at(1, "GET", "/security", cookies[1]).status_code == 200


@pytest.mark.requirement("MCP-04")
def test_a_session_ends_with_the_sign_in_that_its_token_came_of(pair: Pair) -> None:
    ann = pair.people("ann")
    issued, begun = credentials.issue_refresh_token(pair.apps[0], ann)
    cookie = _cookie(pair.at(0, "POST", "/signin", data={"token": issued.text}))
    second = pair.apps[1].access.refreshing.use(begun.text)
    assert pair.at(1, "GET", "/security", cookie).status_code == 200
    pair.apps[0].access.refreshing.use(second.text)
    with pytest.raises(GrantRefused, match="second time"):
        pair.apps[1].access.refreshing.use(begun.text)
    assert pair.at(0, "GET", "/security", cookie).status_code == 401


@pytest.mark.requirement("MCP-08")
def test_a_second_factor_begun_at_one_is_finished_at_the_other(pair: Pair) -> None:
    import pyotp

    pair.people("ann")
    cookie = pair.signed_in(0, "ann")
    assert pair.at(0, "POST", "/security/app", cookie).status_code == 303
    signed = pair.servers[1].parts.sessions.find(cookie)
    assert signed is not None
    ann = replace(pair.apps[1].identities.resolve("ann"), session=signed.session)
    waiting = proving.pending_app(pair.apps[1], ann)
    assert waiting is not None
    code = pyotp.TOTP(waiting.key).at(pair.clock.now())
    assert pair.at(1, "POST", "/security/app/code", cookie, data={"code": code}).status_code == 303
    proved = pair.servers[0].parts.sessions.find(cookie)
    assert proved is not None
    assert proved.session.proof == "code"


@pytest.mark.requirement("MCP-04")
def test_a_refresh_token_that_comes_to_each_server_once_ends_its_family_at_both(pair: Pair) -> None:
    ann = pair.people("ann")
    here, there = pair.apps
    issued, begun = credentials.issue_refresh_token(here, ann)
    assert [app.tokens.verify(issued.text).name for app in pair.apps] == ["ann", "ann"]
    following = here.access.refreshing.use(begun.text)
    renewed = here.tokens.issue(ann, family=following.family)
    pair.clock.advance(REPEAT_S + 1)
    with pytest.raises(GrantRefused, match="a second time"):
        there.access.refreshing.use(begun.text)
    for app in pair.apps:
        with pytest.raises(GrantRefused, match="has ended"):
            app.access.refreshing.use(following.text)
        for text in (issued.text, renewed):
            with pytest.raises(Unauthenticated, match="revoked"):
                app.tokens.verify(text)
    (raised,) = incidents.incidents(here, ann)
    assert (raised.kind, raised.subject) == ("token_reuse", "ann")


@pytest.mark.requirement("MCP-04")
def test_of_two_servers_that_are_shown_one_refresh_token_at_one_instant_one_line_goes_on(pair: Pair) -> None:
    ann = pair.people("ann")
    _, begun = credentials.issue_refresh_token(pair.apps[0], ann)
    done = _at_once(*(partial(app.access.refreshing.use, begun.text) for app in pair.apps))
    named = {one.text for one in done if not isinstance(one, HeadraceError)}
    # One that came just behind the other repeated it: it got another successor, and the first one is dead.
    found = {text: pair.apps[0].access.refreshing.find(text) for text in named}
    (good,) = [text for text, record in found.items() if record is not None and record.state == "live"]
    following = pair.apps[0].access.refreshing.use(good)
    assert pair.apps[1].access.refreshing.use(following.text).name == "ann"


@pytest.mark.requirement("MCP-04")
def test_a_token_that_is_revoked_at_one_server_is_refused_at_the_other_at_once(pair: Pair) -> None:
    ann = pair.people("ann")
    here, there = pair.apps
    token = here.tokens.mint(ann)
    assert there.tokens.verify(token.text).name == "ann"
    here.access.revocations.end(ann, "token", token.id)
    for app in pair.apps:
        with pytest.raises(Unauthenticated, match="revoked"):
            app.tokens.verify(token.text)


@pytest.mark.requirement("MCP-03")
def test_wrong_secrets_are_counted_at_both_together_and_shut_no_stranger_in(pair: Pair) -> None:
    ann = pair.people("ann")
    app = pair.apps[0]
    app.identities.add("ci", ["developer"], actor="ann", kind="service", owner="ann", purpose="builds")
    made = credentials.new_secret(app, ann, "ci")

    def guess(number: int, text: str, place: Place) -> bool:
        try:
            return pair.apps[number].access.secrets.check("ci", text, place).id == made.record.id
        except GrantRefused:
            return False

    for number in range(MOST):
        assert not guess(number % 2, "wrong", place_of(THERE))
    for number in (0, 1):
        with pytest.raises(TooManyTries):
            guess(number, made.text, place_of(THERE))
        assert guess(number, made.text, place_of(HERE)), "it was not the service that guessed"
    (raised,) = incidents.incidents(app, ann)
    assert (raised.kind, raised.subject) == ("secret_guessing", "ci")


def _seen(app: App, client: tuple[str, int], token: str, action: str = "project.read") -> None:
    session = Session(token=token, network=network_of(client))
    bob = replace(app.identities.resolve("bob"), session=session)
    app.access.activity.note(bob, action, "project:cars")


def _kinds(pair: Pair) -> set[str]:
    """What all look-outs of a second or two find."""
    for _ in range(3):
        for app in pair.apps:
            incidents.notice(app)
        pair.clock.advance(1)
    return {one.kind for one in pair.apps[0].store.incidents.list() if one.subject == "bob"}


@pytest.mark.requirement("IDN-07")
@pytest.mark.requirement("IDN-08")
@pytest.mark.requirement("MCP-04")
@pytest.mark.parametrize(
    ("steps", "kinds"),
    [
        ([(0, HERE, "t"), (1, THERE, "t")], {"token_reuse"}),
        ([(0, HERE, "t"), (1, THERE, "u")], set()),
        ([(0, HERE, "t"), (1, THERE, "u"), (0, HERE, "t")], {"impossible_travel"}),
        ([(0, HERE, ""), (1, THERE, ""), (0, ABROAD, ""), (1, FAR, "")], {"shared_secret"}),
    ],
)  # fmt: skip
def test_what_is_odd_at_two_servers_together_is_found(
    pair: Pair, steps: list[tuple[int, tuple[str, int], str]], kinds: set[str]
) -> None:
    pair.people("ann", "bob")
    found = _kinds(pair)
    for number, client, token in steps:
        _seen(pair.apps[number], client, token)
        found |= _kinds(pair)
    assert found == kinds
    pair.stop()
    pair.start()
    for one in pair.apps[0].store.incidents.list():
        pair.apps[0].store.incidents.change(replace(one, state="closed", revision=one.revision + 1))
    _kinds(pair)
    standing = [one.state for one in pair.apps[0].store.incidents.list()]
    assert standing == ["closed"] * len(kinds), "what was found is not found again by who begins anew"


@pytest.mark.requirement("MCP-04")
def test_who_begins_anew_knows_where_a_token_was(pair: Pair) -> None:
    pair.people("ann", "bob")
    _seen(pair.apps[0], HERE, "t")
    assert _kinds(pair) == set()
    pair.stop()
    pair.start()
    _seen(pair.apps[0], THERE, "t")
    incidents.notice(pair.apps[0])
    assert _kinds(pair) == {"token_reuse"}
    pair.clock.advance(3_700)
    assert pair.apps[0].access.activity.forget() >= 2
    assert pair.apps[0].store.sightings.since(0) == []


def test_the_last_two_administrators_do_not_take_each_other_away_at_one_instant(pair: Pair) -> None:
    pair.people("ann", "bob")
    one, other = (app.identities for app in pair.apps)
    for _ in range(5):
        done = _at_once(
            lambda: one.freeze("ann", "odd", actor="bob"), lambda: other.freeze("bob", "odd", actor="ann")
        )
        refused = [found for found in done if isinstance(found, HeadraceError)]
        assert [type(found) for found in refused] == [Conflict]
        frozen = [p.name for p in pair.apps[0].store.principals.list() if p.frozen is not None]
        assert len(frozen) == 1
        one.unfreeze(frozen[0], actor="x")


def test_of_two_changes_of_one_identity_at_one_instant_none_is_lost(pair: Pair) -> None:
    pair.people("ann", "bob")
    pair.apps[0].identities.add("eve", ["developer"], actor="ann")
    one, other = (app.identities for app in pair.apps)
    for _ in range(5):
        done = _at_once(
            lambda: one.freeze("eve", "odd", actor="bob"),
            lambda: other.add("eve", ["viewer"], actor="ann"),
        )
        eve = pair.apps[0].store.principals.get("eve")
        refused = [isinstance(found, Conflict) for found in done]
        assert [eve.frozen is None, eve.roles == ("developer",)] == refused
        with suppress(HeadraceError):
            one.unfreeze("eve", actor="x")
        one.add("eve", ["developer"], actor="x")
