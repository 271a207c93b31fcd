"""What logs and audit entries never hold."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.access.privacy.logs import LOGGER, cleaned, mask_logs
from headrace.app.composition import open_app
from headrace.testing import FakeClock, make_settings


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a handler of the root logger, which knows nothing of us, writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    mask_logs()
    mask_logs()
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.mark.requirement("PRV-01")
def test_a_log_record_holds_nothing_recognised(written: io.StringIO) -> None:
    log = logging.getLogger(f"{LOGGER}.somewhere")
    log.warning("asked by %s with %s", "ada@example.org", "password=tr0ub4dor9xyz")
    try:
        raise ValueError("no such card: 4111 1111 1111 1111")
    except ValueError:
        log.exception("it broke")
    text = written.getvalue()
    assert "asked by <EMAIL> with password=<SECRET>" in text
    assert "ValueError: no such card: <CARD>" in text
    assert "in test_a_log_record_holds_nothing_recognised" in text


@pytest.mark.requirement("PRV-01")
def test_a_value_cannot_begin_a_record_of_its_own(written: io.StringIO) -> None:
    logging.getLogger(f"{LOGGER}.somewhere").error("user %s", "x\nERROR admin signed in\r\x1b[2J")
    assert written.getvalue() == "ERROR user x\\x0aERROR admin signed in\\x0d\\x1b[2J\n"


@pytest.mark.requirement("PRV-01")
def test_a_value_does_not_turn_the_text_around_it(written: io.StringIO) -> None:
    logging.getLogger(f"{LOGGER}.somewhere").error("user %s was refused", "\u202edevorppa\u2066\u200b\ufeff")
    assert written.getvalue() == "ERROR user \\u202edevorppa\\u2066\\u200b\\ufeff was refused\n"


def test_other_programs_logs_are_theirs(written: io.StringIO) -> None:
    logging.getLogger("other").error("ada@example.org")
    assert "ada@example.org" in written.getvalue()


@pytest.mark.requirement("PRV-01")
def test_an_audit_entry_holds_nothing_recognised(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path), FakeClock()) as app:
        app.store.audit.append("ada", "x", "project:cars", {"why": ["mail ada@example.org"], "n": 1})
        (entry,) = app.store.audit.list()
        assert entry.detail == {"why": ["mail <EMAIL>"], "n": 1}
        assert app.store.audit.verify().sequence == 1


def test_what_has_no_text_is_left_alone() -> None:
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    detail = {
        "digest": digest,
        "share": 0.5,
        "none": None,
        "ids": [1, 2],
        "id": "019b76da-a800-7003-a729-1a287d3c9d21",
    }
    assert cleaned(detail) == detail
