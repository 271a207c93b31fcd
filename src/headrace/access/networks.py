"""Where a request comes from, as coarsely as is needed to see that somebody is in two places at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where a request comes from: its address (of IPv6 the /64, which is one customer's) and its network."""

    address: str = ""
    network: str = ""


NOWHERE = Place()
"""This machine itself, or what is no address."""


def place_of(client: Sequence[Any] | None) -> Place:
    """The place of an ASGI ``client`` (host and port).

    >>> place_of(("93.184.216.34", 443))
    Place(address='93.184.216.34/32', network='93.184.0.0/16')
    """
    return _place(client[0]) if client else NOWHERE


def network_of(client: Sequence[Any] | None) -> str:
    """The network of an ASGI ``client`` (host and port): a /16 of IPv4, a /32 of IPv6.

    This machine and private addresses are one network, ``private``: they move within one site. What is no
    address, such as the peer of a Unix socket, is none.

    >>> network_of(("93.184.216.34", 443)), network_of(("10.1.2.3", 80)), network_of(None)
    ('93.184.0.0/16', 'private', '')
    """
    return place_of(client).network


@lru_cache(maxsize=10_000)
def _place(host: str) -> Place:
    try:
        address = ip_address(host)
    except ValueError:
        return NOWHERE
    mapped = None if isinstance(address, IPv4Address) else address.ipv4_mapped
    address = mapped or address
    short, long = (16, 32) if address.version == 4 else (32, 64)
    return Place(_around(address, long), "private" if address.is_private else _around(address, short))


def _around(address: IPv4Address | IPv6Address, n_bits: int) -> str:
    return str(ip_network(f"{address}/{n_bits}", strict=False))
