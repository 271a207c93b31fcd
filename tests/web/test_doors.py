"""Every route there is, taken from the route tables, with every credential that must not open it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from starlette.routing import Route

from headrace.core.identity import ROLES, Principal
from headrace.testing import FakeClock, make_tokens
from headrace.web.api.application import api_application
from headrace.web.pages.application import OPEN_PATHS, page_application
from headrace.web.pages.rendering import Renderer
from tests.web.conftest import Site
from tests.web.making import AUTHOR

OPEN_API = frozenset({"/api/v1/tokens", "/api/v1/tokens/revoke"})
"""Addresses of the API at which one gets a token, and therefore has none yet."""
INFER = [
    ("GET", "/v2"),
    ("GET", "/v2/models/{project}"),
    ("GET", "/v2/models/{project}/ready"),
    ("GET", "/v2/models/{project}/config"),
    ("GET", "/v2/models/{project}/stats"),
    ("GET", "/v2/models/stats"),
    ("GET", "/v2/models/{project}/versions/{version}/config"),
    ("GET", "/v2/models/{project}/versions/{version}/stats"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/{project}/load"),
    ("POST", "/v2/repository/models/{project}/unload"),
    ("GET", "/v2/models/{project}/versions/{version}"),
    ("GET", "/v2/models/{project}/versions/{version}/ready"),
    ("POST", "/v2/models/{project}/infer"),
    ("POST", "/invocations"),
    ("POST", "/invocations/{project}"),
    ("GET", "/version"),
    ("POST", "/v2/models/{project}/versions/{version}/infer"),
]
"""The inference protocols have no route table: their paths are matched in one place, by hand."""
BODY = {"inputs": [{"name": "mileage", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
ELSEWHERE = "north"


@pytest.fixture(scope="module")
def routes(site: Site) -> list[tuple[str, str]]:
    """Method and path, with names of the main workspace filled in, of everything that needs an identity."""
    openapi = api_application(site.server.parts).openapi()["paths"]
    api = [(method.upper(), path) for path, methods in openapi.items() for method in methods]
    pages = [
        (method, route.path)
        for route in page_application(site.server.parts, Renderer(site.app.clock)).routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    found = [(method, _filled(site, path)) for method, path in [*api, *pages, *INFER]]
    return sorted({(method, path) for method, path in found if not _is_open(path)})


def _filled(site: Site, path: str) -> str:
    known = {
        "project": "cars",
        "name": "cars",
        "version": "1",
        "release_id": site.seeded.cars_live,
        "file": "performance.csv",
    }
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: known.get(found[1], "some"), path)


def _is_open(path: str) -> bool:
    return path in OPEN_API or any(
        path == one or (one.endswith("/") and path.startswith(one)) for one in OPEN_PATHS
    )


def _ask(site: Site, method: str, path: str, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"authorization": authorization}
    return site.client.request(method, path, headers=headers, json=BODY if method == "POST" else None)


@pytest.fixture(scope="module")
def bad_credentials(site: Site) -> dict[str, str | None]:
    """What must open nothing, by what is wrong with it."""
    me = site.app.identities.resolve(AUTHOR)
    keys, now = site.app.settings.home / "keys", site.app.clock.now()
    good = site.app.tokens.issue(me)
    head, body, signature = good.split(".")
    flipped = ("B" if body[10] != "B" else "C").join((body[:10], body[11:]))
    ended = replace(me, name="gone", expires_at=now - timedelta(seconds=1))
    frozen = replace(me, name="frozen", frozen="looked odd")
    for principal in (ended, frozen):
        site.app.store.principals.save(principal)
    site.app.store.epoch.advance()
    lost = site.app.tokens.mint(me)
    site.app.access.revocations.end(me, "token", lost.id)
    nobody = Principal(name="nobody", kind="person", roles=("admin",), created_at=now)
    return {
        "absent": None,
        "empty": "Bearer ",
        "no token": "Bearer x.y.z",
        "another scheme": f"Basic {good}",
        "altered": f"Bearer {head}.{flipped}.{signature}",
        "cut short": f"Bearer {good[:-4]}",
        "oversized": f"Bearer {good}{'a' * 9000}",
        "expired": f"Bearer {make_tokens(keys, FakeClock(now - timedelta(hours=1))).issue(me)}",
        "for another audience": f"Bearer {site.app.tokens.issue(me, audience='elsewhere')}",
        "for another workspace": f"Bearer {site.app.tokens.issue(replace(me, workspace=ELSEWHERE))}",
        "revoked": f"Bearer {lost.text}",
        "of nobody": f"Bearer {site.app.tokens.issue(nobody)}",
        "of an identity that has expired": f"Bearer {site.app.tokens.issue(ended)}",
        "of a frozen identity": f"Bearer {site.app.tokens.issue(frozen)}",
    }


@pytest.fixture(scope="module")
def strangers(site: Site) -> list[Principal]:
    """One person of another workspace in each role, and one with all of them."""
    made = [
        Principal(
            name=f"north-{'-'.join(held)[:40]}",
            kind="person",
            roles=held,
            created_at=site.app.clock.now(),
            workspace=ELSEWHERE,
        )
        for held in [*((role,) for role in ROLES), ROLES]
    ]
    for principal in made:
        site.app.store.principals.save(principal)
    site.app.store.epoch.advance()
    return made


def test_the_table_is_not_empty(routes: list[tuple[str, str]]) -> None:
    paths = {path for _, path in routes}
    assert {"/", "/audit", "/api/v1/projects", "/v2/models/cars/infer", "/metrics"} <= paths
    assert {"/policy/rules/1/decision", "/policy/check", "/policy/waivers/some"} <= paths


@pytest.mark.requirement("MCP-05")
def test_no_route_opens_without_a_good_credential(
    site: Site, routes: list[tuple[str, str]], bad_credentials: dict[str, str | None]
) -> None:
    opened = [
        (why, method, path, response.status_code)
        for method, path in routes
        for why, authorization in bad_credentials.items()
        if (response := _ask(site, method, path, authorization)).status_code != 401
    ]
    assert opened == []


@pytest.mark.requirement("MCP-06")
def test_nobody_of_another_workspace_sees_or_changes_anything(
    site: Site, routes: list[tuple[str, str]], strangers: list[Principal]
) -> None:
    secrets = [
        "flight-delay",
        "tsa-passengers",
        *(release.id for release in site.app.store.releases.list()),
        *(release.digest for release in site.app.store.releases.list()),
    ]
    before = {release.id: release.state for release in site.app.store.releases.list()}
    leaks = []
    for stranger in strangers:
        authorization = f"Bearer {site.app.tokens.issue(stranger)}"
        for method, path in routes:
            response = _ask(site, method, path, authorization)
            shown = response.text
            for asked in (path, *path.split("/")):  # an error repeats what was asked for
                shown = shown.replace(asked, "") if asked else shown
            if response.status_code >= 500 or any(secret in shown for secret in secrets):
                leaks.append((stranger.roles, method, path, response.status_code, response.text[:200]))
            if response.status_code < 400 and ("cars" in path or re.search(r'[">/]cars["<]', shown)):
                leaks.append((stranger.roles, method, path, response.status_code, response.text[:200]))
    assert leaks == []
    after = {release.id: release.state for release in site.app.store.releases.list()}
    assert {release_id: after[release_id] for release_id in before} == before


@pytest.mark.requirement("MCP-06")
def test_a_release_of_another_workspace_is_answered_as_one_that_is_not_there(
    site: Site, routes: list[tuple[str, str]], strangers: list[Principal]
) -> None:
    release = site.app.store.releases.get(site.seeded.cars_live)
    pairs = [
        (release.id, "00000000" + release.id[8:]),
        (release.id[:4], "zzzz"),
        (release.id[:8], "zzzzzzzz"),
        (release.digest, "f" * 64),
    ]
    told = []
    for stranger in strangers:
        authorization = f"Bearer {site.app.tokens.issue(stranger)}"
        for method, path in routes:
            if site.seeded.cars_live not in path:
                continue
            for real, absent in pairs:
                answers = []
                for one in (real, absent):
                    response = _ask(site, method, path.replace(site.seeded.cars_live, one), authorization)
                    answers.append((response.status_code, _plain(response.text, one)))
                if answers[0] != answers[1]:
                    told.append((stranger.roles, method, path, real, answers))
    assert told == []


def _plain(text: str, asked: str) -> str:
    """An answer without what was asked for, and without the time at which it was given."""
    return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d[.\d]*)?(Z|\+00:00)?", "", text.replace(asked, ""))
