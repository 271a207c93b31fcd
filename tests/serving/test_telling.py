"""What only an operator can mend is told as an id, and stands in the log."""

from __future__ import annotations

import pytest

from headrace.core.errors import HeadraceError, InternalError, NotFound, Unanswered, Unavailable
from headrace.serving.telling import told
from headrace.testing import START


@pytest.mark.parametrize(
    "error",
    [
        InternalError("the password of the database is 1234"),
        Unavailable("Could not write /srv/1234/events/a.log: No space left on device."),
        Unavailable("Release 7 cannot be loaded: OSError: [Errno 5] Input/output error: '/srv/1234/x.bin'."),
        Unavailable("The database at 1234 did not take the call. Check HEADRACE_DATABASE_URL."),
    ],
)
def test_of_what_an_operator_has_to_mend_only_an_id_is_told(
    error: HeadraceError, caplog: pytest.LogCaptureFixture
) -> None:
    message = told(error, START)
    assert "1234" not in message
    assert "/srv" not in message
    (record,) = caplog.records
    incident = record.args[0] if isinstance(record.args, tuple) else ""
    assert isinstance(incident, str)
    assert incident in message
    assert "1234" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        NotFound("There is nothing at '/v1/nothing/here'."),
        Unavailable("local/small broke off in the middle of its answer. Ask again."),
        Unavailable("https://login.example.org/oauth2/keys answered 500. Expected a JSON document."),
        Unanswered("The model of release 7 could not answer; it is recorded as failure 8."),
    ],
)
def test_what_a_caller_can_act_on_is_told_in_full(
    error: HeadraceError, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(error) == str(error)
    assert not caplog.records
