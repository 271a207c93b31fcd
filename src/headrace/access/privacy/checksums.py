"""Arithmetic that numbers about people are made by: what fails it is some other number."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[str], bool]
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24,
    "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21,
    "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21,
    "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30,
    "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24,
    "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "XK": 20,
}  # fmt: skip
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_CARD_LENGTHS = (
    ("34", (15,)),
    ("37", (15,)),
    ("30", (14,)),
    ("36", (14,)),
    ("38", (14,)),
    ("35", (16,)),
    ("4", (13, 16, 19)),
    ("51", (16,)),
    ("52", (16,)),
    ("53", (16,)),
    ("54", (16,)),
    ("55", (16,)),
    ("6011", (16,)),
    ("64", (16,)),
    ("65", (16,)),
    ("62", (16, 17, 18, 19)),
    ("50", (13, 16, 19)),
    ("56", (16, 19)),
    ("57", (16, 19)),
    ("58", (16, 19)),
    ("67", (16, 18, 19)),
)


def is_card(digits: str) -> bool:
    """A payment card's number: an issuer's first digits, their length, and Luhn's check digit (ISO 7812)."""
    if "2221" <= digits[:4] <= "2720":
        return len(digits) == 16 and _luhn(digits)
    return any(
        digits.startswith(first) and len(digits) in lengths for first, lengths in _CARD_LENGTHS
    ) and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = (2 * int(d) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """An account number of ISO 13616: the country's length, and remainder 1 by 97."""
    if _IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def is_ssn(area: str, group: str, serial: str) -> bool:
    """A number that the United States' social security gives out; it has no check digit."""
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_steuer_id(digits: str) -> bool:
    """A German tax number: of the first ten digits one is there two or three times; ISO 7064 mod 11, 10."""
    if len(digits) != 11 or digits[0] == "0":
        return False
    repeats = [n for n in map(digits[:10].count, set(digits[:10])) if n > 1]
    if repeats not in ([2], [3]):
        return False
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_pesel(digits: str) -> bool:
    """A Polish number: a day of birth, with the century in the month, and a weighted check digit."""
    if len(digits) != 11 or not 1 <= int(digits[2:4]) % 20 <= 12 or not 1 <= int(digits[4:6]) <= 31:
        return False
    return sum(int(d) * w for d, w in zip(digits, (1, 3, 7, 9) * 2 + (1, 3, 1), strict=True)) % 10 == 0


def is_nir(digits: str) -> bool:
    """A French number of social security: sex, year and month of birth, and a key by 97."""
    return len(digits) == 15 and digits[0] in "12" and (97 - int(digits[:13]) % 97) == int(digits[13:])


def is_dni(digits: str, letter: str) -> bool:
    """A Spanish identity number: eight digits (a foreigner's first one is X, Y or Z) and a letter."""
    return _DNI[int(digits) % 23] == letter
