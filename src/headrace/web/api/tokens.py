"""Tokens: the token endpoint (RFC 6749), and how they end before their time."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from headrace.access.credentials import GrantRefused
from headrace.access.networks import place_of
from headrace.access.tries import TooManyTries
from headrace.app import credentials
from headrace.app.token_exchange import GRANT_TYPES, Client, UnsupportedGrant, exchange, give_back
from headrace.core.canonical import plain
from headrace.core.errors import InvalidInput, Unavailable
from headrace.web.api.request import Me, Server, Text

TOKEN_PATH = "/api/v1/tokens"
OPEN_PATHS = (TOKEN_PATH, f"{TOKEN_PATH}/revoke")
"""Answered for anybody: whoever asks here has no token yet, or gives one back."""
router = APIRouter(tags=["tokens"])
_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 20
_Id = Annotated[Text | None, Field(max_length=200)]
_FIELDS: dict[str, Any] = {
    "grant_type": {"type": "string", "enum": list(GRANT_TYPES)},
    "client_id": {"type": "string"},
    "client_secret": {"type": "string"},
    "refresh_token": {"type": "string"},
    "subject_token": {"type": "string"},
    "subject_token_type": {"type": "string"},
    "scope": {"type": "string"},
}
_BODY = {
    "required": True,
    "content": {_FORM: {"schema": {"type": "object", "required": ["grant_type"], "properties": _FIELDS}}},
}
_GIVEN_BACK = {
    "required": True,
    "content": {
        _FORM: {
            "schema": {
                "type": "object",
                "required": ["token"],
                "properties": {"token": {"type": "string"}, "token_type_hint": {"type": "string"}},
            }
        }
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "access_token, token_type, expires_in and, where asked for, refresh_token"},
    400: {"description": "error and error_description (RFC 6749, section 5.2)"},
    401: {"description": "The client is not known, or its secret is wrong"},
    429: {"description": "Too many wrong secrets: wait as Retry-After says"},
    503: {"description": "The outside provider does not answer: try again"},
}


class Revocation(BaseModel):
    """Whose tokens end: all of them, or the one with the id ``token``, or those of ``run``."""

    model_config = ConfigDict(extra="forbid")

    principal: Text = Field(max_length=63)
    token: _Id = None
    run: _Id = None


@router.post("/access/revoke")
def revoke(server: Server, me: Me, body: Revocation) -> credentials.Revoked:
    """End tokens before their time; every worker refuses them at its next request."""
    return credentials.revoke_tokens(server.app, me, body.principal, token=body.token, run=body.run)


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/tokens", responses=_ANSWERS, openapi_extra={"requestBody": _BODY})
def issue(server: Server, request: Request, body: Annotated[bytes, Depends(_body)]) -> Response:
    """Get a token for a client's secret, a refresh token, or another provider's token.

    OAuth 2.0's token endpoint: a form with `grant_type` `client_credentials`, `refresh_token` or
    `urn:ietf:params:oauth:grant-type:token-exchange`. The client's id and secret come in the form or by
    `Authorization: Basic`.
    """
    authorization = request.headers.get("authorization")
    try:
        form = _form(request.headers.get("content-type", ""), body)
        client = _client(authorization, form)
        if client is not None:
            client = client._replace(place=place_of(request.scope.get("client")))
        granted = exchange(server.app, form, client)
    except GrantRefused as error:
        headers = {"www-authenticate": 'Basic realm="headrace"'} if authorization else {}
        status = 401 if error.code == "invalid_client" else 400
        return _error(status, error.code, error, headers)
    except TooManyTries as error:
        return _error(429, "slow_down", error, {"retry-after": str(error.retry_after_s)})
    except UnsupportedGrant as error:
        return _error(400, "unsupported_grant_type", error)
    except InvalidInput as error:
        return _error(400, "invalid_request", error)
    except Unavailable as error:
        return _error(503, "temporarily_unavailable", error, {"retry-after": "1"})
    fields = {name: value for name, value in plain(granted).items() if value is not None}
    return JSONResponse(fields, headers={"cache-control": "no-store", "pragma": "no-cache"})


@router.post(
    "/tokens/revoke",
    response_class=Response,  # without a body
    responses={400: _ANSWERS[400]},
    openapi_extra={"requestBody": _GIVEN_BACK},
)
def end(server: Server, request: Request, body: Annotated[bytes, Depends(_body)]) -> Response:
    """Give back a token that is not needed any more (RFC 7009): a form with `token`.

    A refresh token ends with every token that came of the same sign-in.
    """
    try:
        give_back(server.app, _form(request.headers.get("content-type", ""), body).get("token", ""))
    except InvalidInput as error:
        return _error(400, "invalid_request", error)
    return Response(status_code=200)


def _error(status: int, code: str, error: Exception, headers: dict[str, str] | None = None) -> Response:
    # Only these characters may stand in a description (RFC 6749, section 5.2).
    said = "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in str(error))
    return JSONResponse({"error": code, "error_description": said}, status, headers=headers)


def _form(kind: str, body: bytes) -> dict[str, str]:
    """The fields of the form, each there once."""
    if kind.partition(";")[0].strip().lower() != _FORM:
        raise InvalidInput(f"The body is {kind[:80]!r}. Expected a form ({_FORM}).")
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise InvalidInput(f"The form cannot be read ({error}). Expected {_FORM}.") from error
    form = dict(pairs)
    if len(form) < len(pairs):
        raise InvalidInput("A field of the form came twice. Expected each once.")
    return form


def _client(authorization: str | None, form: dict[str, str]) -> Client | None:
    """Who asks, from the header or from the form, but not from both (RFC 6749, section 2.3)."""
    if authorization is None:
        name = form.get("client_id")
        return None if not name else Client(name, form.get("client_secret") or None)
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidInput(f"The Authorization header is {scheme[:20]!r}. Expected Basic, or none.")
    if "client_secret" in form:
        raise InvalidInput("The client's secret came in the header and in the form. Send it once.")
    try:
        name, separator, secret = base64.b64decode(text, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidInput(
            "The Authorization header cannot be read. Expected Basic base64(id:secret)."
        ) from error
    client = Client(unquote_plus(name), unquote_plus(secret) if separator else None)
    if not client.id or form.get("client_id", client.id) != client.id:
        raise InvalidInput("The client's id differs between header and form. Send it once.")
    return client
