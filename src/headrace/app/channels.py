"""The ways by which people are told, as the settings name them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from headrace.core.errors import InvalidInput
from headrace.core.ports import Channel, Clock
from headrace.core.settings import Settings
from headrace.plugins.email import EmailChannel
from headrace.plugins.pagerduty import PagerDutyChannel
from headrace.plugins.slack import SlackChannel
from headrace.plugins.teams import TeamsChannel
from headrace.plugins.tickets import GitHubChannel, JiraChannel
from headrace.plugins.webhook import WebhookChannel
from headrace.serving.callbacks import Callbacks, Signs

EMAIL = "email"
"""The channel by which people are told unless a project says otherwise."""


@dataclass(frozen=True, kw_only=True)
class _Address:
    """A channel's address in its parts; ``url`` is what is called, without whom we say we are."""

    url: str
    host: str
    port: int | None
    user: str = field(repr=False)
    password: str = field(repr=False)
    options: dict[str, str]
    callbacks: Callbacks


def _github(address: _Address) -> Channel:
    return GitHubChannel(address.url, _given(address.user, "TOKEN@"), address.callbacks)


def _jira(address: _Address) -> Channel:
    return JiraChannel(
        address.url.partition("?")[0],
        address.callbacks,
        user=_given(address.user, "USER:TOKEN@"),
        token=_given(address.password, "USER:TOKEN@"),
        project=_given(address.options.get("project", ""), "?project=KEY"),
        kind=address.options.get("type", "Task"),
    )


_FORMS: dict[str, tuple[str, Callable[[_Address], Channel]]] = {
    "slack": (
        "slack+https://[SIGNING_SECRET@]hooks.slack.com/services/...",
        lambda a: SlackChannel(a.url, a.callbacks, a.user),
    ),
    "teams": ("teams+https://HOST/...", lambda a: TeamsChannel(a.url, a.callbacks)),
    "pagerduty": (
        "pagerduty+https://ROUTING_KEY@events.pagerduty.com/v2/enqueue",
        lambda a: PagerDutyChannel(a.url, _given(a.user, "ROUTING_KEY@"), a.callbacks),
    ),
    "webhook": ("webhook+https://HOST/...", lambda a: WebhookChannel(a.url, a.callbacks)),
    "github": ("github+https://TOKEN@api.github.com/repos/OWNER/NAME/issues", _github),
    "jira": ("jira+https://USER:TOKEN@HOST/rest/api/2/issue?project=KEY", _jira),
}
_MAIL = "smtp://USER:PASSWORD@HOST:587?from=ADDRESS"


def open_channels(settings: Settings, ring: Signs, clock: Clock) -> dict[str, Channel]:
    """Every channel that the settings name, by its name; nothing is called yet.

    Raises:
        InvalidInput: an address is of no form that is known; the message holds nothing of it.

    >>> import tempfile
    >>> from headrace.core.clock import SystemClock
    >>> from headrace.core.settings import read_settings
    >>> settings = read_settings({"HEADRACE_CHANNEL_OPS": "slack+https://hooks.slack.com/services/T/B/x"})
    >>> sorted(open_channels(settings, None, SystemClock()))
    ['ops']
    """
    callbacks = Callbacks(
        ring,
        clock,
        hosts=None,
        private=settings.channels_private,
        what="The channel",
        instead="(HEADRACE_CHANNELS_PRIVATE=yes permits http, this machine and private networks)",
    )
    found: dict[str, Channel] = {}
    for name, text in settings.channels.items():
        try:
            found[name] = _opened(text, callbacks, private=settings.channels_private)
        except ValueError as error:  # whose words hold what could not be read
            raise InvalidInput(f"HEADRACE_CHANNEL_{name.upper()} is no channel: it is no address.") from error
        except InvalidInput as error:
            raise InvalidInput(f"HEADRACE_CHANNEL_{name.upper()} is no channel: {error}") from error
    return found


def _opened(text: str, callbacks: Callbacks, *, private: bool) -> Channel:
    parts = urlsplit(text)
    kind, _, scheme = parts.scheme.partition("+")
    query = f"?{parts.query}" if parts.query else ""
    address = _Address(
        url=f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}",
        host=parts.hostname or "",
        port=parts.port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options=dict(parse_qsl(parts.query)),
        callbacks=callbacks,
    )
    if parts.scheme in ("smtp", "smtps"):
        return _mail(address, implicit=parts.scheme == "smtps", private=private)
    if kind not in _FORMS or not scheme:
        known = ", ".join([_MAIL, *(form for form, _ in _FORMS.values())])
        raise InvalidInput(f"it begins like none that is known. Expected one of {known}.")
    callbacks.check(address.url)
    return _FORMS[kind][1](address)


def _mail(address: _Address, *, implicit: bool, private: bool) -> Channel:
    tls = "tls" if implicit else address.options.get("tls", "starttls")
    if tls not in ("tls", "starttls") and not (tls == "none" and private):
        raise InvalidInput(
            "mail is sent with TLS: leave 'tls' out, or permit tls=none with HEADRACE_CHANNELS_PRIVATE=yes."
        )
    return EmailChannel(
        _given(address.host, "a host"),
        address.port or (465 if implicit else 587),
        sender=_given(address.options.get("from", ""), "?from=ADDRESS"),
        tls=tls,
        user=address.user,
        password=address.password,
    )


def _given(value: str, what: str) -> str:
    if not value:
        raise InvalidInput(f"it lacks {what}.")
    return value
