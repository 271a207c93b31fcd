"""Access logs of proxies: who asked which host, and when; nothing else of a line is looked at or kept.

Four forms are told apart by their first line: Squid's native access log, W3C extended logs (a line
``#Fields:``), CSV with a header, and JSON Lines.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from headrace.core.errors import InvalidInput

LONGEST = 65_536
"""Characters of a line that is read."""
_NAMES = {
    "host": (
        "host", "cs-host", "cs(host)", "hostname", "r-host", "r-dns", "dest_host", "desthost", "destination",
        "destinationhostname", "server_name", "sni", "domain",
    ),
    "url": ("url", "cs-uri", "cs-url", "requesturl", "request_url", "uri"),
    "user": (
        "user", "cs-username", "username", "login", "cs-user", "user_name", "sourceuser", "suser", "ident",
        "email",
    ),
    "client": ("client", "c-ip", "clientip", "client_ip", "cip", "src_ip", "sourceip", "src", "source"),
    "time": ("time", "timestamp", "datetime", "@timestamp", "date_time", "ts", "eventtime"),
    "date": ("date",),
}  # fmt: skip
"""What columns are called, in lower case; the first that is there counts."""
_FORMATS = ("%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S %z", "%d/%b/%Y:%H:%M:%S", "%Y/%m/%d %H:%M:%S")
_CELL = re.compile(r'"(?:[^"]|"")*"(?=\s|$)|\S+')
"""Of a W3C extended log: between blanks, or in quotes, where a quote is written twice."""
_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@\s]*@)?(\[[0-9a-f:]+\]|[^/:?#\s@]+)", re.IGNORECASE)
_NONE = ("", "-", "(null)", "none", "unknown")
_LATEST_S = 253_402_300_799.0
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Asked(NamedTuple):
    """One line: somebody asked a host. ``user`` is whoever the log names, or else the client's address."""

    host: str
    user: str
    at: datetime


class Unread(NamedTuple):
    """A line that cannot be read, counted from 1, and why; nothing of what stands in it."""

    number: int
    why: str


class _Broken(ValueError):
    """What is wrong with a line."""


def read_log(lines: Iterable[str]) -> Iterator[Asked | Unread]:
    """Every line of a log, read or not; comments and empty lines are none.

    Raises:
        InvalidInput: it is in none of the forms that are known, or names no host.

    >>> line = "1286536308.779 180 10.0.0.7 TCP_TUNNEL/200 411 CONNECT api.openai.com:443 ann HIER/1.2.3.4 -"
    >>> [(one.host, one.user) for one in read_log([line])]
    [('api.openai.com', 'ann')]
    """
    numbered = ((number, line.lstrip("\ufeff").rstrip("\r\n")) for number, line in enumerate(lines, start=1))
    read: Callable[[str], Asked] | None = None
    for number, line in numbered:
        if line.startswith("#"):
            if line.lower().startswith("#fields:"):
                _require_short(line)
                read = _columns(line[8:].split(), _quoted)
            continue
        if not line.strip():
            continue
        if read is None:
            read, has_header = _form(line)
            if has_header:
                continue
        try:
            if len(line) > LONGEST:
                raise _Broken(f"it has more than {LONGEST:,} characters")
            yield read(line)
        except _Broken as error:
            yield Unread(number, str(error))


def _form(line: str) -> tuple[Callable[[str], Asked], bool]:
    """How the lines of a log are read by its first, and whether that one is a header."""
    _require_short(line)
    if line.lstrip().startswith("{"):
        return _json, False
    words = line.split()
    if len(words) >= 7 and re.fullmatch(r"\d{9,11}\.\d+", words[0]):
        return _squid, False
    delimiter = max(",;\t", key=line.count)
    try:
        names = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        names = []
    if _place([name.strip().lower() for name in names], "host", "url") is not None:
        return _columns(names, lambda text: _cells(text, delimiter)), True
    raise InvalidInput(
        "The log is in no form that is known. Expected Squid's native access log, a W3C log with a line "
        "#Fields:, CSV with a header that names a host (host, cs-host, url, ...), or JSON Lines with such "
        "names."
    )


def _require_short(line: str) -> None:
    if len(line) > LONGEST:
        raise InvalidInput(
            f"The line that says which form the log has is longer than {LONGEST:,} characters, so it cannot "
            "be told. Take that line out, or check that the file has a line for each request."
        )


def _quoted(text: str) -> list[str]:
    return [
        cell[1:-1].replace('""', '"') if cell[:1] == cell[-1:] == '"' and len(cell) > 1 else cell
        for cell in _CELL.findall(text)
    ]


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise _Broken(f"it is no CSV ({error})") from error


def _place(names: list[str], *wanted: str) -> int | None:
    known = chain.from_iterable(_NAMES[one] for one in wanted)
    return next((names.index(name) for name in known if name in names), None)


def _columns(names: Iterable[str], split: Callable[[str], list[str]]) -> Callable[[str], Asked]:
    heads = [name.strip().lower() for name in names]
    if _place(heads, "host", "url") is None:
        raise InvalidInput(
            f"The log names no host among its columns ({', '.join(heads)[:200]}). Expected one of: "
            f"{', '.join(_NAMES['host'][:6])}, url."
        )

    def read(line: str) -> Asked:
        cells = split(line)
        if len(cells) != len(heads):
            raise _Broken(f"it has {len(cells)} columns, expected {len(heads)}")
        return _asked(dict(zip(heads, cells, strict=True)))

    return read


def _json(line: str) -> Asked:
    try:
        raw = _decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _Broken("it is no JSON object") from error
    return _asked({name.lower(): value for name, value in raw.items()})


def _squid(line: str) -> Asked:
    words = line.split()
    if len(words) < 7:
        raise _Broken(f"it has {len(words)} words, expected 10")
    user = words[7] if len(words) > 7 else "-"
    return _asked({"time": words[0], "client": words[2], "url": words[6], "user": user})


def _asked(fields: Mapping[str, Any]) -> Asked:
    host = _host(_first(fields, "host") or _first(fields, "url"))
    user = _first(fields, "user") or _first(fields, "client") or "nobody named"
    when, day = _first(fields, "time"), _first(fields, "date")
    return Asked(host, user[:128], _moment(f"{day} {when}" if day and when else day or when))


def _first(fields: Mapping[str, Any], what: str) -> str:
    for name in _NAMES[what]:
        value = fields.get(name)
        if isinstance(value, str | int | float) and str(value).strip().lower() not in _NONE:
            return str(value).strip()
    return ""


def _host(text: str) -> str:
    found = _HOST.match(text)
    if found is None:
        raise _Broken("it names no host")
    return found[1].lower()[:253]


def _moment(text: str) -> datetime:
    if not text:
        raise _Broken("it has no time")
    try:
        seconds = float(text)
    except ValueError:
        return _written(text)
    seconds = seconds / 1_000 if seconds > 1e11 else seconds
    if not 0 < seconds < _LATEST_S:  # also where it is no number
        raise _Broken("its time cannot be")
    return datetime.fromtimestamp(seconds, UTC)


def _written(text: str) -> datetime:
    for read in (datetime.fromisoformat, *(_by(form) for form in _FORMATS)):
        try:
            moment = read(text)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    raise _Broken("its time cannot be read")


def _by(form: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, form)  # noqa: DTZ007  made UTC by who asks
