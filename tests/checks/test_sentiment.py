"""Comments are sorted by their words."""

from __future__ import annotations

import pytest

from headrace.checks.sentiment import BLAME, PRAISE, sentiment


@pytest.mark.requirement("FBK-04")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Great answer, thank you", "positive"),
        ("This is wrong and useless.", "negative"),
        ("not helpful at all", "negative"),
        ("It isn't wrong", "positive"),
        ("It can fail, and did", "negative"),
        ("I don't like it", "negative"),
        ("Never saw a better one; the first part is good", "positive"),
        ("good but wrong", "neutral"),
        ("fourteen days", "neutral"),
        ("", "neutral"),
        ("GREAT!!!", "positive"),
    ],
)
def test_the_words_decide(text: str, expected: str) -> None:
    assert sentiment(text) == expected


def test_no_word_is_both() -> None:
    assert not PRAISE & BLAME
