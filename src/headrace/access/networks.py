"""Where a request comes from, as coarsely as is needed to see that somebody is in two places at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any


def network_of(client: Sequence[Any] | None) -> str:
    """The network of an ASGI ``client`` (host and port): a /16 of IPv4, a /32 of IPv6.

    This machine and private addresses are one network, ``private``: they move within one site. What is no
    address, such as the peer of a Unix socket, is none.

    >>> network_of(("93.184.216.34", 443)), network_of(("10.1.2.3", 80)), network_of(None)
    ('93.184.0.0/16', 'private', '')
    """
    return _network(client[0]) if client else ""


@lru_cache(maxsize=10_000)
def _network(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    mapped = None if isinstance(address, IPv4Address) else address.ipv4_mapped
    address = mapped or address
    if address.is_private:
        return "private"
    return str(ip_network(f"{address}/{16 if address.version == 4 else 32}", strict=False))
