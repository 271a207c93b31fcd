"""A real OpenID provider on the loopback, and tokens that it has issued."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Where it listens; ``issuer`` as its own documents say it."""

    issuer: str

    def token(self, subject: str, audience: str) -> str:
        """An id token, got by the same steps that a program takes when somebody signs in."""
        back = "https://client.example/back"
        with httpx.Client(base_url=self.issuer, trust_env=False, timeout=20) as http:
            asked = {
                "client_id": audience,
                "redirect_uri": back,
                "response_type": "code",
                "scope": "openid",
                "state": secrets.token_urlsafe(8),
            }
            sent = http.post("/oauth2/authorize", params=asked, data={"sub": subject})
            code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
            form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
            answer = http.post("/oauth2/token", data=form, auth=(audience, "any"))
        return str(answer.json()["id_token"])


@contextmanager
def providing(*, max_age: timedelta = timedelta(hours=1)) -> Iterator[Provider]:
    """A provider in a thread of its own, whose tokens live ``max_age``."""
    from oidc_provider_mock import run_server_in_thread  # type: ignore[import-untyped]

    with run_server_in_thread(access_token_max_age=max_age) as server:
        address = f"http://localhost:{server.server_port}"
        document = httpx.get(f"{address}/.well-known/openid-configuration", trust_env=False).json()
        yield Provider(issuer=document["issuer"])
