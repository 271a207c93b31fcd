"""A release that carries a high risk and waits for somebody, and people with second factors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pyotp

from headrace.app.composition import App
from headrace.app.workflows import Workflows
from headrace.core.identity import Role
from headrace.core.project import Trigger
from headrace.releases import delivery
from headrace.testing.factories import make_approval, make_project
from tests.access.authenticator import Authenticator
from tests.web.conftest import Site
from tests.web.making import Cause, add_release, add_verdicts

HOST = "localhost"


def add_risky(app: App, work: Workflows, name: str = "loans") -> str:
    """Id of a waiting release of a new project with a high risk, which one of two people has approved."""
    triggers = (Trigger(when="drift", do="warn"), Trigger(when="performance", do="warn"))
    project = make_project(name=name, risk="high", triggers=triggers)
    app.store.projects.save(project, f"/nowhere/{name}")
    release = add_release(app, project, 1, Cause("", "run by hand"), at=app.clock.now(), loss=0.4)
    add_verdicts(app, project, release)
    delivery.move(app.store, release.id, "gates_passed")
    app.store.evidence.approve(
        make_approval(release, approver="lin"),
        needed=2,
    )
    # Not in a thread with an event loop, which Playwright keeps running in the tests'.
    with ThreadPoolExecutor(1) as aside:
        aside.submit(work.durable.start, "deliver", f"deliver:{release.id}", release.id).result()
    return release.id


class Visitor:
    """Somebody who has signed in with a browser that runs no scripts: the test does what they would."""

    def __init__(self, site: Site, name: str, *roles: Role) -> None:
        self.site, self.name, self.key = site, name, ""
        if roles:
            site.app.identities.add(name, roles, actor="ada")
        entered = self._send("GET", site.server.new_ticket(site.app.identities.resolve(name)), {})
        self.cookie = entered.headers["set-cookie"].partition(";")[0]

    def _send(self, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        headers = {"host": HOST, "origin": f"http://{HOST}", "accept": "text/html"} | headers
        return self.site.client.request(method, path, headers=headers, **more)

    def get(self, path: str) -> httpx.Response:
        """A page."""
        return self._send("GET", path, {"cookie": self.cookie})

    def send(self, path: str, *, came_from: str = "/", **fields: str) -> httpx.Response:
        """A form."""
        headers = {"cookie": self.cookie, "referer": f"http://{HOST}{came_from}"}
        return self._send("POST", path, headers, data=fields or {"": ""})

    def call(self, path: str, body: Any) -> httpx.Response:
        """What our script asks."""
        return self._send("POST", path, {"cookie": self.cookie, "accept": "application/json"}, json=body)

    def code(self, steps: int = 0) -> str:
        """What the phone shows, or showed or will show so many steps away."""
        return pyotp.TOTP(self.key).at(self.site.app.clock.now(), counter_offset=steps)

    def add_app(self) -> httpx.Response:
        """Set up an authenticator app with the code of the step before: this one is then still unused."""
        self.send("/security/app", came_from="/security")
        page = self.get("/security/app").text
        self.key = "".join(page.partition('aria-label="Key">')[2].partition("</p>")[0].split())
        self.key = self.key.replace("<code>", "").replace("</code>", "")
        return self.send("/security/app/code", code=self.code(-1))

    def add_passkey(self, device: Authenticator) -> httpx.Response:
        """Make a passkey."""
        made = device.make(self.call("/security/passkey/options", {}).json())
        return self.call("/security/passkey", {"answer": made, "label": "stick"})

    def forget_proof(self) -> None:
        """As if ten minutes had passed since."""
        now = self.site.app.clock.now()
        value = self.cookie.partition("=")[2]
        assert self.site.server.parts.sessions.prove(value, now, "code")
