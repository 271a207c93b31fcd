"""The arithmetic of numbers about people: published examples pass, and one wrong digit fails."""

from __future__ import annotations

import pytest

from headrace.access.privacy import checksums


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (checksums.is_card, "4111111111111111", "4111111111111112"),
        (checksums.is_card, "378282246310005", "378282246310006"),
        (checksums.is_card, "2223003122003222", "2020003122003222"),
        (checksums.is_iban, "GB82WEST12345698765432", "GB82WEST12345698765433"),
        (checksums.is_iban, "NO9386011117947", "NO93860111179470"),
        (checksums.is_steuer_id, "86095742719", "86095742718"),
        (checksums.is_steuer_id, "65929970489", "01234567890"),
        (checksums.is_pesel, "44051401359", "44051401358"),
        (checksums.is_pesel, "02070803628", "44991401359"),
        (checksums.is_nir, "255081416802538", "255081416802539"),
    ],
)
def test_a_check_digit_decides(check: checksums.Check, right: str, wrong: str) -> None:
    assert check(right)
    assert not check(wrong)


def test_numbers_of_parts() -> None:
    assert checksums.is_dni("12345678", "Z")
    assert not checksums.is_dni("12345678", "A")
    assert checksums.is_ssn("123", "45", "6789")
    for parts in (("000", "45", "6789"), ("666", "45", "6789"), ("901", "45", "6789"), ("123", "00", "6789")):
        assert not checksums.is_ssn(*parts)
