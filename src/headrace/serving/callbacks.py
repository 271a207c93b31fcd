"""Telling a caller that an answer is there: signed, once more when it did not arrive, and only where allowed.

The form is that of Standard Webhooks: ``webhook-id`` names the request and is the same each time, by which
a receiver knows what it has had; ``webhook-timestamp`` is in seconds since 1970; ``webhook-signature`` is
``v1a,`` and the Ed25519 signature (RFC 8032), in base64, of ``ID.TIMESTAMP.BODY``. A receiver refuses an old
time stamp, so that nobody can send it again what was once overheard.

A caller could otherwise have this server ask for it what only this server may reach. So an address must be of
a host that is allowed by name, every network address of that host must be a public one, the one that was
looked at is the one that is connected to, and no redirect is followed.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, urlsplit

import msgspec

from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.ports import Clock

if TYPE_CHECKING:
    from ssl import SSLContext

_WAIT_S = 10.0
_LONGEST = 2048
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses that a translator at the network's edge makes IPv4 ones of (RFC 6052)."""
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that is given to anybody on the internet (RFC 4291)."""
Resolve = Callable[[str, int], Collection[str]]
"""Host and port to network addresses."""


class Signs(Protocol):
    """What signs a message: the signature is ``NAME:BASE64URL``."""

    def sign(self, message: bytes) -> str:
        """The signature of ``message``."""


def addresses_of(host: str, port: int) -> list[str]:
    """The network addresses of a host.

    Raises:
        OSError: it is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[4][0]) for address in found})


@cache
def _trusted() -> SSLContext:
    """Whom everybody trusts; read once by each process, because to read them takes longer than to send."""
    import httpx

    return httpx.create_ssl_context(trust_env=False)


class Callbacks:
    """Sends answers to addresses that are allowed.

    Args:
        hosts: ``HOST`` or ``HOST:PORT`` that may be told; 443 is the port unless said. None: any host.
        private: whether addresses of this machine and of private networks may be told, also by http.
        what: how an address is called where it is refused; ``instead``: what to do then.

    Example::

        callbacks = Callbacks(ring, clock, hosts=["hooks.example"])
        callbacks.check("https://hooks.example/answers")
        await callbacks.send("https://hooks.example/answers", "0198c0de", b"{}")
    """

    def __init__(
        self,
        ring: Signs,
        clock: Clock,
        *,
        hosts: Collection[str] | None = (),
        private: bool = False,
        resolve: Resolve = addresses_of,
        what: str = "'callback'",
        instead: str = "with a host that is allowed here; or leave it out, and fetch the answer",
    ) -> None:
        self._ring = ring
        self._clock = clock
        self._hosts = None if hosts is None else frozenset(hosts)
        self._private = private
        self._resolve = resolve
        self._what = what
        self._instead = instead

    def check(self, url: str) -> None:
        """Whether ``url`` may be told.

        Raises:
            InvalidInput: it may not; the message says why.
        """
        self._allowed(url)

    async def send(
        self, url: str, message_id: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Tell it; returns once the receiver has answered with a status of the 2xx.

        Args:
            headers: beside those of the signature, such as what the receiver asks who we are by.

        Raises:
            InvalidInput: it may not be told (any more).
            Unavailable: the receiver was not reached, or did not take it.
        """
        import httpx  # late: most homes tell nobody

        parts = self._allowed(url)
        trusted = await asyncio.to_thread(_trusted)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = await asyncio.to_thread(self._address, parts.hostname or "", port)
        literal = f"[{address}]" if ":" in address else address
        query = f"?{parts.query}" if parts.query else ""
        target = f"{parts.scheme}://{literal}:{port}{parts.path or '/'}{query}"
        own = {"host": parts.netloc, "content-type": "application/json", **self._signed(message_id, body)}
        try:
            async with (
                asyncio.timeout(_WAIT_S),  # of each step is httpx's own: many slow ones would have no end
                httpx.AsyncClient(
                    timeout=_WAIT_S, trust_env=False, follow_redirects=False, verify=trusted
                ) as client,
            ):
                request = client.build_request(
                    "POST", target, content=body, headers={**(headers or {}), **own},
                    extensions={"sni_hostname": parts.hostname or ""},
                )  # fmt: skip
                answer = await client.send(request, stream=True)
                await answer.aclose()  # what it says beside its status does not matter
        except (httpx.HTTPError, OSError) as error:
            raise Unavailable(f"The receiver was not reached ({type(error).__name__}).") from error
        if not answer.is_success:
            raise Unavailable(f"The receiver answered {answer.status_code}. Expected a status of the 2xx.")

    def tell(
        self, url: str, message_id: str, content: object, headers: Mapping[str, str] | None = None
    ) -> None:
        """:meth:`send` ``content`` as JSON, from a thread that waits for it."""
        asyncio.run(self.send(url, message_id, msgspec.json.encode(content), headers))

    def _allowed(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise self._refused(f"it is no address ({error})") from error
        if len(url) > _LONGEST or not url.isprintable() or not url.isascii() or " " in url:
            raise self._refused(f"it is no address of at most {_LONGEST} printable ASCII characters")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._private):
            raise self._refused("it does not begin with https://")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise self._refused("it holds a name, a password or a fragment")
        host = (parts.hostname or "").lower()
        own_port = port in (None, 443 if parts.scheme == "https" else 80)
        if self._hosts is None:
            return parts
        if f"{host}:{port}" not in self._hosts and not (own_port and host in self._hosts):
            raise self._refused(f"the host {parts.netloc[:100]!r} is not in HEADRACE_CALLBACK_HOSTS")
        return parts

    def _address(self, host: str, port: int) -> str:
        """The address to connect to. All that a host has are looked at: one of them may be within."""
        try:
            found = list(self._resolve(host, port))
        except OSError as error:
            raise Unavailable(f"The host {host!r} is not known ({error.strerror}).") from error
        for address in found:
            if not self._private and not _is_public(address):
                raise self._refused(f"the host {host!r} has the address {address}, which is not a public one")
        if not found:
            raise Unavailable(f"The host {host!r} has no address.")
        return found[0]

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        stamp = str(int(self._clock.now().timestamp()))
        signature = self._ring.sign(f"{message_id}.{stamp}.".encode() + body).partition(":")[2]
        standard = base64.b64encode(base64.urlsafe_b64decode(signature)).decode()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1a,{standard}",
        }

    def _refused(self, why: str) -> InvalidInput:
        return InvalidInput(
            f"{self._what} may not be told: {why}. Expected https://HOST/... {self._instead}."
        )


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if found.version == 4:
        return found.is_global and not found.is_multicast
    if found in _TRANSLATED:
        inside: ipaddress.IPv4Address | None = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    elif found in _UNICAST:
        inside = found.sixtofour
    else:  # among them many forms of IPv4 addresses, of which some hosts make the address within
        inside = found.ipv4_mapped
        return inside is not None and _is_public(str(inside))
    return found.is_global and (inside is None or _is_public(str(inside)))
