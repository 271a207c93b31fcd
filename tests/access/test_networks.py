from __future__ import annotations

import pytest

from headrace.access.networks import network_of


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("93.184.216.34", "93.184.0.0/16"),
        ("93.184.1.1", "93.184.0.0/16"),
        ("2606:2800:220:1::1", "2606:2800::/32"),
        ("::ffff:93.184.216.34", "93.184.0.0/16"),
        ("127.0.0.1", "private"),
        ("::1", "private"),
        ("192.168.7.7", "private"),
        ("testclient", ""),
        ("", ""),
    ],
)
def test_an_address_belongs_to_a_wide_network(host: str, network: str) -> None:
    assert network_of((host, 1234)) == network


def test_who_has_no_address_has_no_network() -> None:
    assert network_of(None) == ""
