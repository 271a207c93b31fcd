"""Logs of proxies are read line by line: host, user and time of each, and how many say none of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.proxy_logs import LONGEST, Asked, Unread, read_log

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SQUID = "1772600767.000    180 10.0.0.7 TCP_TUNNEL/200 411 CONNECT api.openai.com:443 {user} DIRECT/1.2.3.4 -"
HOST = "api.openai.com"


def _both(*lines: str) -> list[Asked | Unread]:
    return list(read_log(lines))


@pytest.mark.requirement("GOV-08")
@pytest.mark.parametrize(
    "lines",
    [
        [SQUID.format(user="ann")],
        ["1772600767.000 9 10.0.0.7 TCP_MISS/200 4 GET https://me:pw@API.openai.com/v1?k=sk-1 ann D/- x"],
        [
            "#Software: SGOS", "#Fields: date time c-ip cs-username cs-host cs-uri-path",
            "2026-03-04 05:06:07 10.0.0.7 ann api.openai.com /v1/chat",
        ],
        [
            "#Fields: date time c-ip cs-username cs(User-Agent) sc-filter-result x-virus-id cs-host",
            '2026-03-04 05:06:07 10.0.0.7 "ann" "Mozilla/5.0 (X11; ""Linux"")" OBSERVED "" api.openai.com',
        ],
        ["Time,Login,URL,Action", '2026-03-04 05:06:07,ann,"api.openai.com/v1/chat,x",Allowed'],
        ["datetime\tuser\thost", "Wed Mar 04 05:06:07 2026\tann\tapi.openai.com"],
        ["time;user;host", "2026-03-04T06:06:07+01:00;ann;api.openai.com"],
        [json.dumps({"Timestamp": 1772600767000, "user": "ann", "hostname": HOST, "url": "https://x/secret"})],
        ["\ufeff" + json.dumps({"ts": 1772600767, "username": "ann", "sni": HOST}), "", "# a remark"],
    ],
)  # fmt: skip
def test_each_form_says_who_asked_which_host_and_when(lines: list[str]) -> None:
    assert _both(*lines) == [Asked(HOST, "ann", AT)]


def test_where_no_user_is_named_the_address_stands() -> None:
    assert _both(SQUID.format(user="-")) == [Asked(HOST, "10.0.0.7", AT)]
    assert _both('{"host": "api.openai.com", "time": 1772600767}') == [Asked(HOST, "nobody named", AT)]


@pytest.mark.requirement("GOV-08")
def test_what_cannot_be_read_is_counted_and_never_shown() -> None:
    lines = [
        SQUID.format(user="ann"),
        "secret-word",
        "x" * (LONGEST + 1),
        "never 1 10.0.0.7 TCP/200 4 GET https://secret-word.example ann D/- -",
        "-5 1 10.0.0.7 TCP/200 4 GET https://api.openai.com ann D/- -",
        SQUID.format(user="bob"),
    ]
    found = _both(*lines)
    assert [type(one).__name__ for one in found] == ["Asked", "Unread", "Unread", "Unread", "Unread", "Asked"]
    assert [one.number for one in found if isinstance(one, Unread)] == [2, 3, 4, 5]
    assert "secret-word" not in repr(found)
    csv = _both("time,host", "2026-03-04 05:06:07,a.example,too many", '2026-03-04,"a.example', ",a.example")
    assert all(isinstance(one, Unread) for one in csv)
    assert len(csv) == 3


@pytest.mark.parametrize("line", ["hello", "a,b,c", "{", "1234 short line", "<html>"])
def test_another_form_is_refused_with_those_that_are_known(line: str) -> None:
    if line == "{":
        assert _both(line, SQUID) == [Unread(1, "it is no JSON object"), Unread(2, "it is no JSON object")]
        return
    with pytest.raises(InvalidInput, match="Squid's native access log, a W3C log"):
        _both(line)
    with pytest.raises(InvalidInput, match="names no host among its columns"):
        _both("#Fields: date time cs-username", "2026-03-04 05:06:07 ann")


@pytest.mark.requirement("GOV-08")
def test_a_quote_that_does_not_end_is_a_line_that_cannot_be_read() -> None:
    fields = "#Fields: time cs-username cs(User-Agent) cs-host"
    line = '1772600767 ann "Mozilla (X11) api.openai.com'
    assert _both(fields, line) == [Unread(2, "it has 5 columns, expected 4")]
    assert _both(fields, '1772600767 ann 6" api.openai.com') == [Asked(HOST, "ann", AT)]


@pytest.mark.parametrize(
    ("begin", "rest", "end"),
    [("", "x,", ""), ("host,", "xx", ""), ("{", "  ", "}"), ("#Fields: ", "a ", "cs-host")],
)
def test_a_line_with_the_columns_that_is_too_long_is_refused(begin: str, rest: str, end: str) -> None:
    with pytest.raises(InvalidInput, match="form the log has is longer than 65,536 characters"):
        _both(begin + rest * 100_000 + end, SQUID.format(user="ann"))


def test_a_first_line_that_is_no_csv_is_refused() -> None:
    with pytest.raises(InvalidInput, match="in no form that is known"):
        _both("time,us\rer,host", "1772600767,ann,api.openai.com")


_PRINTED = st.text(
    alphabet=st.characters(exclude_characters="#", categories=["L", "N", "P", "S"]), min_size=1
)


@given(st.lists(_PRINTED, max_size=20))
def test_every_line_is_read_or_counted(lines: list[str]) -> None:
    found = _both(SQUID.format(user="ann"), *lines)
    assert len(found) == 1 + len(lines)
