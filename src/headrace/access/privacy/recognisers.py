"""Finds in text what points at a person or opens a door: by form, and by arithmetic where a kind has some.

Each kind begins with something rare (an ``@``, a run of digits, a well-known prefix), which is what the text
is searched for; only there the exact form is tried. Names and addresses have no form, and are not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import AddressValueError, IPv6Address
from math import log2
from typing import Literal, NamedTuple

from headrace.access.privacy.checksums import (
    is_card,
    is_dni,
    is_iban,
    is_nir,
    is_pesel,
    is_ssn,
    is_steuer_id,
)

Kind = Literal["secret", "email", "iban", "card", "national_id", "ip", "phone"]
KINDS: tuple[Kind, ...] = ("secret", "email", "iban", "card", "national_id", "ip", "phone")
"""Where two overlap, the one that stands first here wins."""


_SHORTEST, _SHORTEST_KEY = 6, 20
"""Characters of an address, and of a key that may be letters only."""


class Found(NamedTuple):
    """Something recognised: ``text[start:end]``."""

    kind: Kind
    start: int
    end: int


def find(text: str) -> list[Found]:
    """Everything recognised, in order and without overlaps.

    >>> find("Write to ada@example.org from 203.0.113.7")
    [Found(kind='email', start=9, end=24), Found(kind='ip', start=30, end=41)]
    """
    if _is_nothing(text):
        return []
    return _apart([*_secrets(text), *_emails(text), *_ibans(text), *_numbers(text), *_ipv6(text)])


def find_secrets(text: str) -> list[Found]:
    """As :func:`find`, of what opens a door only.

    >>> find_secrets("ada@example.org: password=Tr0ub4dor-3xy")
    [Found(kind='secret', start=26, end=39)]
    """
    return [] if _is_nothing(text) else _apart([*_secrets(text)])


def _is_nothing(text: str) -> bool:
    """Most texts are a word, and none of those is anything: the shortest has a sign or a digit in it."""
    return len(text) < _SHORTEST or (len(text) < _SHORTEST_KEY and text.isalpha())


def _apart(found: list[Found]) -> list[Found]:
    if len(found) < 2:
        return found
    kept: list[Found] = []
    for one in sorted(found, key=lambda f: (f.start, KINDS.index(f.kind))):
        if not kept or kept[-1].end <= one.start:
            kept.append(one)
        elif KINDS.index(one.kind) < KINDS.index(kept[-1].kind):
            kept[-1] = one
    return kept


def replace_found(text: str, by: Callable[[Kind, str], str]) -> str:
    """``text`` with everything recognised replaced by what ``by`` makes of its kind and its characters."""
    found = find(text)
    if not found:
        return text
    parts, position = [], 0
    for one in found:
        parts += [text[position : one.start], by(one.kind, text[one.start : one.end])]
        position = one.end
    return "".join([*parts, text[position:]])


def mask(text: str) -> str:
    """``text`` with the names of what was recognised in its place.

    >>> mask("card 4111 1111 1111 1111, order 4111-1112")
    'card <CARD>, order 4111-1112'
    """
    return text if _is_nothing(text) else replace_found(text, _named)


def _named(kind: Kind, _: str) -> str:
    return f"<{kind.upper()}>"


_LOCAL = re.compile(r"[\w.%+'-]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}(?![\w@])")


def _emails(text: str) -> Iterator[Found]:
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        local = _LOCAL.search(text, max(0, at - 64), at) if domain else None
        if local and domain:
            kept = local[0].lstrip(".'")
            if kept and not kept.endswith("."):
                yield Found("email", at - len(kept), domain.end())
        at = text.find("@", at + 1)


_IBAN = re.compile(r"[A-Z](?<!\w.)[A-Z][0-9]{2}(?: ?[A-Z0-9]){11,27}(?!\w)")


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN.finditer(text):
        compact, end = match[0].replace(" ", ""), match.end()
        if is_iban(compact):
            yield Found("iban", match.start(), end)
            continue
        # What follows a space may be a word of its own, written in capitals.
        words = match[0].split(" ")
        while len(words) > 1:
            end -= len(words.pop()) + 1
            if is_iban("".join(words)):
                yield Found("iban", match.start(), end)
                break


_START = re.compile(
    r"[0-9+(XYZ](?:(?<![\w.+#/-].)(?<![XYZ])[0-9. ](?=[0-9 ()./-]{4})|(?<=[XYZ])(?<!\w.)[0-9]{7})"
)
"""One set of characters begins it, which a search skips to."""
_DATE = re.compile(r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4})(?![\d./-])[ T]?")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}(?![\w-]|\.\w)")
_VERSION = re.compile(r"(?:version|release|build|ver|rev|firmware|v)[\s:=\"']{0,3}\Z", re.IGNORECASE)
_CARD = re.compile(
    r"[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?![\w-]|\.\d)|3\d{3}([ -]?)\d{6}\2\d{4,5}(?![\w-])"
)
_SSN = re.compile(r"(\d{3})([- ])(\d{2})\2(\d{4})(?![\w-])")
_ELEVEN = re.compile(r"\d{2} ?\d{3} ?\d{3} ?\d{3}(?![\w-]|\.\d)")
_NIR = re.compile(r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}(?![\w-])")
_DNI = re.compile(r"([XYZ]|\d)(\d{7})-?([A-Z])(?!\w)")
_E164 = re.compile(r"(?:\+|00)[1-9](?:[ .()/-]{0,2}\d){6,14}(?![\w-])")
_NANP = re.compile(r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}(?![\w-]|\.\d)")
_TRUNK = re.compile(
    r"(?:\(0[1-9]\d{0,4}\)|0[1-9])(?:[ /-]{0,2}\d){5,10}(?![\w-]|\.\d)|0[1-9](?:\.\d{2}){4}(?![\w.-])"
)
_SAID = re.compile(
    r"(?:tel|phone|mobile|cell|call|fax|telefon|handy|whatsapp)[a-z]{0,3}[\s.:#=]{1,3}\Z", re.IGNORECASE
)
_FEWEST_IN_PHONE = 8
_ANY_PHONE = re.compile(r"\d(?:[ ./-]{0,2}\d){6,14}(?![\w-])")
_WORD = re.compile(r"[0-9][0-9)./+-]*")


def _numbers(text: str) -> Iterator[Found]:
    """Cards, national ids, addresses and phones: whatever begins where a run of digits does."""
    position = 0
    while start := _START.search(text, position):
        position = start.start()
        date = _DATE.match(text, position)
        if date:
            position = date.end()
            continue
        found = _number(text, position)
        if found:
            yield found
            position = found.end
        else:
            word = _WORD.match(text, position)
            position = word.end() if word else position + 1


def _number(text: str, at: int) -> Found | None:
    if (match := _CARD.match(text, at)) and is_card(_digits(match[0])):
        return Found("card", at, match.end())
    if (match := _IPV4.match(text, at)) and not _VERSION.search(text, max(0, at - 12), at):
        return Found("ip", at, match.end())
    return _national_id(text, at) or _phone(text, at)


def _national_id(text: str, at: int) -> Found | None:
    if (match := _SSN.match(text, at)) and is_ssn(match[1], match[3], match[4]):
        return Found("national_id", at, match.end())
    if match := _ELEVEN.match(text, at):
        digits = _digits(match[0])
        if is_steuer_id(digits) or (" " not in match[0] and is_pesel(digits)):
            return Found("national_id", at, match.end())
    if (match := _NIR.match(text, at)) and is_nir(_digits(match[0])):
        return Found("national_id", at, match.end())
    if match := _DNI.match(text, at):
        first = str("XYZ".index(match[1])) if match[1] in "XYZ" else match[1]
        if is_dni(first + match[2], match[3]):
            return Found("national_id", at, match.end())
    return None


def _phone(text: str, at: int) -> Found | None:
    for form in (_E164, _NANP, _TRUNK):
        match = form.match(text, at)
        if match and len(_digits(match[0])) >= _FEWEST_IN_PHONE:
            return Found("phone", at, match.end())
    if (match := _ANY_PHONE.match(text, at)) and _SAID.search(text, max(0, at - 16), at):
        return Found("phone", at, match.end())
    return None


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


_COLONS = re.compile(r":(?::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:)")
_HEX_BEFORE = re.compile(r"[0-9A-Fa-f:]*\Z")
_HEX_AFTER = re.compile(r"[0-9A-Fa-f:]*(?:\d{1,3}(?:\.\d{1,3}){3})?")
_SHORTEST_IPV6 = 6


def _ipv6(text: str) -> Iterator[Found]:
    position = 0
    while colons := _COLONS.search(text, position):
        before = _HEX_BEFORE.search(text, max(0, colons.start() - 40), colons.start())
        start = before.start() if before else colons.start()
        after = _HEX_AFTER.match(text, colons.start())
        end = position = max(after.end() if after else 0, colons.end())
        whole = text[start:end].rstrip(":") if not text[start:end].endswith("::") else text[start:end]
        edges = text[start - 1 : start] + text[start + len(whole) : start + len(whole) + 1]
        if len(whole) >= _SHORTEST_IPV6 and not re.search(r"[\w]", edges) and _is_ipv6(whole):
            yield Found("ip", start, start + len(whole))


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return any(c.isdigit() for c in text)


_PREFIXED = re.compile(
    r"A(?<!\w.)(?:KIA|SIA)[A-Z0-9]{16}(?!\w)"
    r"|A(?<!\w.)Iza[\w-]{35}(?![\w-])"
    r"|g(?<!\w.)(?:h[pousr]_[A-Za-z0-9]{36,255}|ithub_pat_\w{22,255}|lpat-[\w-]{20,255})(?![\w-])"
    r"|x(?<!\w.)ox[abeoprs]-[\w-]{10,255}"
    r"|e(?<!\w.)yJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|s(?<!\w.)k(?:_live_|_test_|-)[\w-]{20,255}"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:[^-]{0,20000}-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
)
_ASSIGNED = re.compile(r"[=:\n](?<=[DEHLNSTYdehlnsty\"' ][=:\n])")
_SECRET_NAMES = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "credentials",
    "authorization", "auth", "key",
)  # fmt: skip
_OPENS_NOTHING = re.compile(
    r"(?:primary|foreign|partition|sort|cache|routing|idempotency|issue|object|message|public)[_. -]?key\Z"
)
_LONGEST_NAME = 24
_QUOTED = re.compile(
    r"[=:]\s{0,3}(?P<quote>[\"'])(?:Bearer\s+|Basic\s+)?(?P<value>(?:(?!(?P=quote))\S){8,512})(?P=quote)"
)
_VALUE = re.compile(r"[=:]\s{0,3}[\"']?(?:Bearer\s+|Basic\s+)?(?P<value>[^\s\"'`,;<>(){}\[\]]{8,512})")
_LINE = re.compile(r"\n(?:Bearer |Basic )?(?P<value>\S{8,512})(?:\n|\Z)")
_PLAIN_BITS = 3.0
_UNLIKELY = re.compile(
    r"[a-z]+(?:[_.-](?:[a-z]+|\d{1,5}))*|[\d.,:_/-]+|https?://.*|[\w.-]*/[\w./-]*"
    r"|[a-z_.:-]*(?:\$?[<{]{1,2}[a-z_.|-]*[>}]{1,2}[a-z_.:-]*)+",
    re.IGNORECASE,
)
"""Words, numbers, addresses, and places that are left for a secret: ``<your-key>``, ``${DB_PASSWORD}``."""


def _secrets(text: str) -> Iterator[Found]:
    for match in _PREFIXED.finditer(text):
        yield Found("secret", match.start(), match.end())
    seen = 0
    for sign in _ASSIGNED.finditer(text):
        at = sign.start()
        if at < seen or not names_secret(text[max(0, at - _LONGEST_NAME) : at]):
            continue
        value = _line(text, at) if text[at] == "\n" else _QUOTED.match(text, at) or _VALUE.match(text, at)
        if value:
            seen = value.end("value")
            if not _UNLIKELY.fullmatch(value["value"]) and _bits(value["value"]) >= _PLAIN_BITS:
                yield Found("secret", *value.span("value"))


def names_secret(name: str) -> bool:
    """Whether what is called so may open a door, whatever is before it in the name.

    >>> names_secret("DB_PASSWORD"), names_secret("n_tokens"), names_secret("cacheKey")
    (True, False, False)
    """
    name = name.rstrip().lower()
    name = name[:-1] if name.endswith(('"', "'")) else name
    return name.endswith(_SECRET_NAMES) and not _OPENS_NOTHING.search(name)


def _line(text: str, at: int) -> re.Match[str] | None:
    """A value alone on its line, below its name alone on its own: so are fields of a document read."""
    name = text[text.rfind("\n", 0, at) + 1 : at]
    return _LINE.match(text, at) if len(name.split()) == 1 else None


def _bits(text: str) -> float:
    """Shannon's entropy of the characters, in bits per character."""
    shares = (text.count(c) / len(text) for c in set(text))
    return -sum(share * log2(share) for share in shares)
