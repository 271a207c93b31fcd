"""Who can be told, and whether it works."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.app.composition import App
from headrace.core.alerts import Link, Message
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import new_id


@dataclass(frozen=True, kw_only=True)
class Way:
    """A channel; ``personal``: it tells the people that a project names, each at their address."""

    name: str
    personal: bool


def ways(app: App, me: Principal) -> list[Way]:
    """The channels that projects can name, without their addresses. Raises Denied."""
    app.gatekeeper.require(me, "project.read", f"workspace:{me.workspace}")
    return [Way(name=name, personal=channel.personal) for name, channel in app.channels.items()]


def is_sending(app: App) -> bool:
    """Whether a process of this home is up that sends what people are to be told."""
    return any(app.store.executors.living(role) for role in ("server", "monitor"))


def try_channel(app: App, me: Principal, name: str, to: str = "") -> Message:
    """Send a message that says it is a test; the other side has taken it when this returns.

    Args:
        to: the address, for a channel that tells persons.

    Raises:
        Denied: ``me`` does not run monitoring here.
        NotFound: there is no such channel.
        InvalidInput: it needs an address, or will never take one such as this.
        Unavailable: it was not taken now.
    """
    permitted = app.gatekeeper.require(me, "monitor.run", f"workspace:{me.workspace}")
    channel = app.channels.get(name)
    if channel is None:
        known = ", ".join(app.channels) or "none"
        raise NotFound(
            f"There is no channel {name!r} here (known: {known}). Set HEADRACE_CHANNEL_{name.upper()}."
        )
    if channel.personal and not to:
        raise InvalidInput(f"The channel {name!r} tells persons. Say whom: --to ADDRESS.")
    now = app.clock.now()
    message = Message(
        id=new_id(now),
        at=now,
        project="",
        severity="info",
        title="Test: Headrace can tell you",
        text=f"{me.name} has tried the channel {name}. Nothing is wrong, and there is nothing to do.",
        links=(Link(title="Headrace", url=app.settings.url),),
        to=to,
    )
    channel.send(message)
    detail = {"channel": name, "message": message.id} | permitted.basis
    app.store.audit.append(me.name, "channel.try", f"workspace:{me.workspace}", detail)
    return message
