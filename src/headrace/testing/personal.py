"""Text with made-up people in it, and with much that only looks like them.

Every number is made by the arithmetic that its kind prescribes, from the standards and not from any
recogniser, so that a recogniser can be measured on it. Nobody has these numbers but by chance.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Callable
from random import Random
from typing import NamedTuple

_FIRST = "anna jonas li maria omar zoe björn chloé ivan noor".split()
_LAST = "meier o'neil garcia kowalska dubois smith tanaka rossi öztürk van-dyk".split()
_HOSTS = "example.org mail.example.com firma.example.de uni.example.ac.uk société.example.fr x.io".split()
_COUNTRIES = {"DE": 18, "FR": 23, "GB": 18, "NL": 14, "PL": 24, "CH": 17, "NO": 11}
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_HEX = "0123456789abcdef"
_AROUND = (
    "Please contact {} about the delivery.",
    "customer={}",
    "The value was {}, which is fine.",
    "<{}>",
    '{{"value": "{}"}}',
    "{}",
    "before noon ({}) and after",
    "seen: {};next",
)


class Sample(NamedTuple):
    """A text; ``kind`` of what stands at ``text[start:end]``, or None where nothing personal is in it."""

    text: str
    kind: str | None
    start: int
    end: int


def personal_texts(n_each: int, seed: int = 0) -> list[Sample]:
    """``n_each`` texts of every kind, and as many with each of the things that are often mistaken for one.

    >>> sample = personal_texts(1)[0]
    >>> sample.kind, len(sample.text[sample.start : sample.end]) > 5
    ('email', True)
    """
    random = Random(seed)
    made = [(kind, make) for kind, makers in _KINDS.items() for make in makers]
    shares = {kind: -(-n_each // len(makers)) for kind, makers in _KINDS.items()}
    samples = [_placed(random, make(random), kind) for kind, make in made for _ in range(shares[kind])]
    samples += [_placed(random, make(random), None) for make in _LOOKALIKES for _ in range(n_each // 4 or 1)]
    return samples


def _placed(random: Random, value: str, kind: str | None) -> Sample:
    """``value`` in a sentence; where only a part of it is personal, that stands between two zero bytes."""
    around = random.choice(_AROUND)
    start = around.replace("{{", "{").replace("}}", "}").index("{}")
    before, _, rest = value.rpartition("\0")[0].partition("\0")
    if not rest:
        return Sample(around.format(value), kind, start, start + len(value))
    start += len(before)
    return Sample(around.format(value.replace("\0", "")), kind, start, start + len(rest))


def _some(random: Random, alphabet: str, n: int) -> str:
    return "".join(random.choice(alphabet) for _ in range(n))


def _number(random: Random, n: int) -> str:
    return _some(random, string.digits, n)


def _email(random: Random) -> str:
    first, last = random.choice(_FIRST), random.choice(_LAST)
    forms = [f"{first}.{last}", f"{first}{random.randint(1, 99)}", f"{first}+news", f"{first[0]}_{last}"]
    return f"{random.choice(forms)}@{random.choice(_HOSTS)}"


def _phone_abroad(random: Random) -> str:
    parts = [f"+{random.choice(['1', '44', '49', '33', '34', '48', '351', '91'])}"]
    parts += [_number(random, n) for n in random.choice([(3, 3, 4), (3, 7), (2, 4, 4), (9,)])]
    return random.choice([" ", "-", "", "."]).join(parts)


def _phone_us(random: Random) -> str:
    area, exchange = (f"{random.randint(2, 9)}{_number(random, 2)}" for _ in range(2))
    line = _number(random, 4)
    forms = [f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}", f"{area}.{exchange}.{line}"]
    return random.choice(forms)


def _phone_at_home(random: Random) -> str:
    start = f"0{random.randint(1, 9)}"
    pairs = [start, *(_number(random, 2) for _ in range(4))]
    return random.choice(
        [
            " ".join(pairs),
            f"{start}{_number(random, 2)} {_number(random, 7)}",
            f"{start}{_number(random, 1)}/{_number(random, 7)}",
            f"{start}{_number(random, 2)}-{_number(random, 7)}",
            f"({start}{_number(random, 1)}) {_number(random, 4)} {_number(random, 4)}",
        ]
    )


def _card(random: Random) -> str:
    first, size = random.choice([("4", 16), ("5", 16), ("37", 15), ("6011", 16), ("2300", 16)])
    first += str(random.randint(1, 5)) if first == "5" else ""
    body = first + _number(random, size - 1 - len(first))
    # ISO/IEC 7812-1, annex B: from the right, every second digit counts double.
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(body)))
    digits = body + str(-total % 10)
    gap = random.choice(["", " ", "-"])
    if size == 15:
        return gap.join([digits[:4], digits[4:10], digits[10:]])
    return gap.join(digits[i : i + 4] for i in range(0, size, 4))


def _iban(random: Random) -> str:
    country = random.choice(list(_COUNTRIES))
    account = _number(random, _COUNTRIES[country])
    if country == "GB":
        account = _some(random, string.ascii_uppercase, 4) + account[4:]
    # ISO 13616-1: 98 less the remainder of account, country and 00 by 97, with letters as 10 to 35.
    value = "".join(c if c.isdigit() else str(ord(c) - 55) for c in account + country + "00")
    whole = f"{country}{98 - int(value) % 97:02}{account}"
    return random.choice([whole, " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))])


def _ssn(random: Random) -> str:
    area = random.choice([random.randint(1, 665), random.randint(667, 899)])
    return f"{area:03}-{random.randint(1, 99):02}-{random.randint(1, 9999):04}"


def _steuer_id(random: Random) -> str:
    digits = random.sample(string.digits, 9)
    digits.insert(random.randint(0, 9), random.choice(digits))
    if digits[0] == "0":
        return _steuer_id(random)
    product = 10
    for digit in digits:
        total = (int(digit) + product) % 10
        product = (10 if total == 0 else total) * 2 % 11
    check = 11 - product
    whole = "".join(digits) + str(0 if check == 10 else check)
    return random.choice([whole, f"{whole[:2]} {whole[2:5]} {whole[5:8]} {whole[8:]}"])


def _pesel(random: Random) -> str:
    year, month, day = random.randint(1900, 2019), random.randint(1, 12), random.randint(1, 28)
    body = f"{year % 100:02}{month + (20 if year >= 2000 else 0):02}{day:02}{_number(random, 4)}"
    total = sum(
        int(digit) * weight for digit, weight in zip(body, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3], strict=True)
    )
    return body + str((10 - total % 10) % 10)


def _dni(random: Random) -> str:
    number = random.randint(0, 99_999_999)
    if random.random() < 0.7:
        return f"{number:08}{random.choice(['', '-'])}{_DNI_LETTERS[number % 23]}"
    number %= 30_000_000
    return f"{'XYZ'[number // 10_000_000]}{number % 10_000_000:07}{_DNI_LETTERS[number % 23]}"


def _nir(random: Random) -> str:
    body = f"{random.randint(1, 2)}{_number(random, 2)}{random.randint(1, 12):02}{_number(random, 8)}"
    key = f"{97 - int(body) % 97:02}"
    cut = [body[0], body[1:3], body[3:5], body[5:7], body[7:10], body[10:13], key]
    return random.choice(["", " "]).join(cut)


def _ipv4(random: Random) -> str:
    return ".".join(str(random.randint(0 if i else 1, 255)) for i in range(4))


def _ipv6(random: Random) -> str:
    groups = [f"{random.randint(0, 0xFFFF):x}" for _ in range(8)]
    if random.random() < 0.5:
        return ":".join(groups)
    return f"2001:db8:{groups[0]}::{groups[1]}:{groups[2]}"


def _aws(random: Random) -> str:
    return random.choice(["AKIA", "ASIA"]) + _some(random, string.ascii_uppercase + string.digits, 16)


def _github(random: Random) -> str:
    return random.choice(["ghp_", "gho_", "ghs_"]) + _some(random, string.ascii_letters + string.digits, 36)


def _slack(random: Random) -> str:
    letters = string.ascii_letters + string.digits
    return f"xoxb-{_number(random, 12)}-{_number(random, 12)}-{_some(random, letters, 24)}"


def _jwt(random: Random) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    claims = b'{"sub":"u%d"}' % random.randint(1, 999)
    return ".".join([part(b'{"alg":"EdDSA"}'), part(claims), part(random.randbytes(32))])


def _pem(random: Random) -> str:
    body = "\n".join(base64.b64encode(random.randbytes(48)).decode() for _ in range(4))
    kind = random.choice(["", "RSA ", "EC "])
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


def _assigned(random: Random) -> str:
    name = random.choice(
        ["password=", "api_key: ", "SECRET_KEY = '", '"token": "', "client-secret=", "DB_PWD="]
    )
    letters = string.ascii_letters + string.digits
    value = random.choice(
        [
            _some(random, letters, 16) + str(random.randint(0, 9)),
            _some(random, _HEX, 32),
            _some(random, letters + "!%&+$#", 24) + "7a",
        ]
    )
    return f"{name}\0{value}\0"


_KINDS: dict[str, tuple[Callable[[Random], str], ...]] = {
    "email": (_email,),
    "phone": (_phone_abroad, _phone_us, _phone_at_home),
    "card": (_card,),
    "iban": (_iban,),
    "national_id": (_ssn, _steuer_id, _pesel, _dni, _nir),
    "ip": (_ipv4, _ipv6),
    "secret": (_aws, _github, _slack, _jwt, _pem, _assigned),
}


def _version(random: Random) -> str:
    parts = [str(random.randint(0, 40)) for _ in range(random.choice([2, 3]))]
    return ".".join(parts) + random.choice(["", "-rc1", "+build.7", f".post{random.randint(1, 9)}"])


def _long_version(random: Random) -> str:
    parts = [random.randint(1, 20), random.randint(0, 30), random.randint(0, 250), random.randint(0, 250)]
    return random.choice(["v", "version ", "release: "]) + ".".join(map(str, parts))


def _date(random: Random) -> str:
    y, m, d = random.randint(1990, 2030), random.randint(1, 12), random.randint(1, 28)
    clock = f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}"
    return random.choice(
        [f"{y}-{m:02}-{d:02}", f"{d:02}.{m:02}.{y}", f"{m:02}/{d:02}/{y}", f"{y}-{m:02}-{d:02}T{clock}Z",
         f"{y}-{m:02}-{d:02} {clock}.{random.randint(0, 999):03}", f"{y}{m:02}{d:02}"]
    )  # fmt: skip


def _build(random: Random) -> str:
    return random.choice(
        [
            f"{random.randint(2020, 2030)}{_number(random, 4)}.{random.randint(1, 400)}",
            f"#{_number(random, 7)}",
            f"build-{_number(random, 10)}",
            f"r{_number(random, 6)}-g{_some(random, _HEX, 7)}",
        ]
    )


def _digest(random: Random) -> str:
    return _some(random, _HEX, random.choice([7, 12, 32, 40, 64]))


def _uuid(random: Random) -> str:
    return "-".join(_some(random, _HEX, n) for n in (8, 4, 4, 4, 12))


def _order(random: Random) -> str:
    return random.choice(
        [
            f"ORD-{_number(random, 8)}",
            f"{random.randint(1, 99_999_999)}",
            f"{random.randint(2020, 2030)}-{_number(random, 6)}",
            f"INV{_number(random, 10)}",
            f"17{_number(random, 8)}",
            f"17{_number(random, 11)}",
            f"2026{_number(random, 12)}",
        ]
    )


def _long_number(random: Random) -> str:
    """By chance one in ten passes a check by 10, and one in 23 a letter's."""
    sizes = random.choice([(10,), (11,), (12,), (16,), (4, 4, 4, 4), (3, 2, 5), (8, 1)])
    if sizes == (8, 1):
        return f"{_number(random, 8)}{random.choice(string.ascii_uppercase)}"
    return "-".join([str(random.randint(1, 9)) + _number(random, n - 1) for n in sizes])


def _amount(random: Random) -> str:
    return random.choice(
        [
            f"{random.uniform(0, 1e6):,.2f}",
            f"{random.uniform(0, 1):.9f}",
            f"-{random.uniform(0, 1e4):.6f}",
            f"{random.randint(1, 999)} {_number(random, 3)} {_number(random, 3)}",
            f"{random.uniform(0, 1e9):.3e}",
        ]
    )


def _code(random: Random) -> str:
    return random.choice([*_CODE, f"sha256:{_some(random, _HEX, 16)}", f"digest={_digest(random)}"])


_CODE = (
    "std::vector<int>", "primary_key=customer_id", "token_count: 123456789", "key: value", "a::b::c", "x@y",
    "aa:bb:cc:dd:ee:ff", "12:30:45", "@decorator", "user@localhost", "git@", "secret: none of this",
    "https://example.org/a/b?c=d", "password: required", "api_key: str | None", "key=order_2026_11",
)  # fmt: skip
_LOOKALIKES = (_version, _long_version, _date, _build, _digest, _uuid, _order, _long_number, _amount, _code)
