"""What is recognised in text, and what is left alone."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.privacy.recognisers import KINDS, find, mask
from headrace.testing.personal import personal_texts
from tests.pace import times_as_long


@pytest.mark.requirement("PRV-01")
def test_recall_and_precision_of_every_kind_are_above_98_percent() -> None:
    right, wrong, there = Counter[str](), Counter[str](), Counter[str]()
    for sample in personal_texts(250, seed=3):
        there[sample.kind or ""] += 1
        for found in find(sample.text):
            hit = (found.kind, found.start, found.end) == (sample.kind, sample.start, sample.end)
            (right if hit else wrong)[found.kind] += 1
    for kind in KINDS:
        assert right[kind] / there[kind] >= 0.98, f"recall of {kind}"
        assert right[kind] / (right[kind] + wrong[kind]) >= 0.98, f"precision of {kind}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("to=ada@example.org; cc='b.c+d@x.co.uk'.", "to=<EMAIL>; cc='<EMAIL>'."),
        ("2026-11-21 12:08:38 4111 1111 1111 1111 ok", "2026-11-21 12:08:38 <CARD> ok"),
        ("pay GB82 WEST 1234 5698 7654 32 NOW PLEASE", "pay <IBAN> NOW PLEASE"),
        ("from 8.8.8.8:53 and [2001:db8::8a2e:370:7334]", "from <IP>:53 and [<IP>]"),
        ("call 415-555-2671, (030) 1234567 or +49 30 1234567", "call <PHONE>, <PHONE> or <PHONE>"),
        ("mobile: 612 345 678", "mobile: <PHONE>"),
        ("Authorization: Bearer abcDEF123456ghiJKL7890", "Authorization: Bearer <SECRET>"),
        ('{"password": "tr0ub4dor&3xyz"}', '{"password": "<SECRET>"}'),
        ("{'pwd' : 'tr0(ub,4d;or'}", "{'pwd' : '<SECRET>'}"),
        ("DB_PASSWORD\ntr0ub4dor&3xyz\nhost", "DB_PASSWORD\n<SECRET>\nhost"),
        ("Steuer-ID 86 095 742 719, DNI 12345678-Z", "Steuer-ID <NATIONAL_ID>, DNI <NATIONAL_ID>"),
    ],
)
def test_what_is_recognised_is_replaced_by_its_kind(text: str, expected: str) -> None:
    assert mask(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4, v10.0.19.1, python-3.11.7-2",
        "std::vector a::b 12:30:45 aa:bb:cc:dd:ee:ff ::",
        "0.123456789 1,234,567.89 612 345 678 1e-05",
        "019b76da-a800-7003-a729-1a287d3c9d21:0",
        "4111 1111 1111 1112 and DE89370400440532013001",
        "secret: none of this, key=order_2026_11, token_count: 123456789012, password: ${DB_PASSWORD}",
        'api_key=\'<YOUR_API_KEY>\', password: "${DB_PASSWORD}", auth="<user>:<password>"',
        "token='{self.token}', key: PROJ-12345, password\n<PASSWORD>, eos_token: \"<|end_of_text|>\"",
        'cache_key=user:12345:v2, "sortKey": "created_at:desc4", idempotency-key: 9f86d081-884c-4d63',
        "the api key\ntr0ub4dor-3xyz, or a token\nof 12 signs: 7Fx",
        "@decorator user@host a@b @@ x@.y",
        "01.02.2026 08:15, 2026/11/21, 20261121.42, #1234567",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert mask(text) == text


@given(
    text=st.text(alphabet=st.one_of(st.characters(), st.sampled_from("0123456789@.:-+()= aA")), max_size=200)
)
def test_spans_are_in_order_and_never_overlap(text: str) -> None:
    found = find(text)
    for one, after in pairwise(found):
        assert one.end <= after.start
    assert all(0 <= f.start < f.end <= len(text) for f in found)


@pytest.mark.parametrize(
    "part",
    [
        "1",
        "1 ",
        "0 1-",
        "1.",
        "::",
        "a:",
        "=",
        "a=",
        "token=",
        "@",
        "a@a.",
        "A",
        "AA00 ",
        "eyJ.",
        "(",
        "+1",
        "-----BEGIN ",
    ],
)
def test_no_text_is_slow(part: str) -> None:
    """Of a text that was made to be slow twice as much takes twice as long: every step looks a bounded way
    ahead."""
    text = part * (100_000 // len(part))
    half = text[: len(text) // 2]
    assert times_as_long(lambda: find(text), lambda: find(half)) < 3


_SHORT = st.text(st.sampled_from("@.:=-_+/ abAKIA0159x"), max_size=5) | st.text(
    st.characters(categories=["L"]), max_size=19
)


@given(_SHORT)
def test_a_word_that_is_passed_over_would_not_have_been_recognised(word: str) -> None:
    assert find(word) == find(word + " " * 20)
