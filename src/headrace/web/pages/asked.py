"""``/asked/{token}``: decide as the person that was asked; and the buttons of Slack."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import parse_qs

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.asking import answer, known_in_slack, look, slack_channels
from headrace.core.errors import HeadraceError, InvalidInput, ProofNeeded, Unauthenticated
from headrace.core.ids import new_id
from headrace.plugins.slack import SlackChannel
from headrace.web.identity import principal_of
from headrace.web.pages.forms import read_comment, read_form
from headrace.web.pages.release import choice_of
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.parts import Parts

_log = logging.getLogger(__name__)
_LARGEST = 200_000


def show(request: Request) -> Response:
    """What is asked, with the buttons. Opening it decides nothing: mail scanners open links."""
    app, me, token = parts_of(request).app, principal_of(request.scope), request.path_params["token"]
    asked = look(app, me, token)
    release = app.store.releases.get(asked.release_id)
    return renderer_of(request).page(
        request, "asked.html", asked=asked, release=release, token=token, choice=choice_of(app, me, release)
    )


async def settle(request: Request) -> Response:
    """Decide, as the page's buttons say."""
    parts, me, form = parts_of(request), principal_of(request.scope), await read_form(request)
    token, decision = request.path_params["token"], form.get("decision", "")
    release = await run_in_threadpool(answer, parts.app, parts.work, me, token, decision, read_comment(form))
    return RedirectResponse(f"/releases/{release.id}", 303)


async def slack(request: Request) -> Response:
    """A button was pressed in Slack. It wants an answer within seconds, so the decision follows after it:
    until then the question stays open."""
    parts = parts_of(request)
    body = await _body(request)
    channel = _signed(parts, request, body)
    pressed = _pressed(body)
    return Response(background=BackgroundTask(_decide, parts, channel, pressed))


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise InvalidInput(f"The body is larger than {_LARGEST:,} bytes. Slack sends less.")
    return body


def _signed(parts: Parts, request: Request, body: bytes) -> SlackChannel:
    timestamp = request.headers.get("x-slack-request-timestamp", "")
    signature = request.headers.get("x-slack-signature", "")
    for channel in slack_channels(parts.app):
        try:
            channel.check(body, timestamp, signature, parts.app.clock.now())
        except Unauthenticated:
            continue
        return channel
    raise Unauthenticated("This request is not signed by Slack, or is older than five minutes.")


def _pressed(body: bytes) -> dict[str, str]:
    """Who has pressed which button; the rest of what Slack sends does not matter."""
    try:
        sent: Any = json.loads(parse_qs(body.decode("utf-8"))["payload"][0])
        (action,) = sent["actions"]
        found = {
            "team": sent["team"]["id"],
            "user": sent["user"]["id"],
            "decision": action["action_id"],
            "token": action["value"],
            "reply_to": sent.get("response_url", ""),
        }
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidInput(
            "The payload is not that of one button of ours. Expected block_actions."
        ) from error
    if not all(isinstance(value, str) for value in found.values()):
        raise InvalidInput("The payload is not that of one button of ours. Expected texts.")
    return found


def _decide(parts: Parts, channel: SlackChannel, pressed: dict[str, str]) -> None:
    app = parts.app
    try:
        me = known_in_slack(app, pressed["team"], pressed["user"])
        token, decision = pressed["token"], pressed["decision"]
        release = answer(app, parts.work, me, token, decision, "", way="slack")
        said = f"{release.manifest.subject.ref.partition(':')[2]} is {release.state.replace('_', ' ')}."
    except ProofNeeded:
        said = "This takes a second factor. Use the link, and show it there."
    except HeadraceError as error:
        said = str(error)
    try:
        channel.reply(pressed["reply_to"], new_id(app.clock.now()), said)
    except HeadraceError as error:
        _log.warning("Slack did not take what became of a button: %s", error)
