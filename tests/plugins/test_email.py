from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.ports import Channel
from headrace.plugins.email import EmailChannel
from headrace.testing import ChannelSuite, make_message

pytest.importorskip("aiosmtpd", reason="needs aiosmtpd: pip install 'headrace[dev]'")
from tests.plugins.mailbox import Mailbox, certificate

SENDER = "Headrace <headrace@example.org>"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.close()


@pytest.fixture
def channel(mailbox: Mailbox) -> EmailChannel:
    return EmailChannel("127.0.0.1", mailbox.port, sender=SENDER, tls="none")


class TestEmailChannel(ChannelSuite):
    @pytest.fixture
    def channel(self, mailbox: Mailbox) -> Channel:
        return EmailChannel("127.0.0.1", mailbox.port, sender=SENDER, tls="none")

    @pytest.fixture
    def arrived(self, mailbox: Mailbox) -> Callable[[], list[str]]:
        return mailbox.texts

    @pytest.fixture
    def refuse(self, mailbox: Mailbox) -> Callable[[bool], None]:
        def refuse(out_of_order: bool) -> None:
            mailbox.says = "451 4.3.0 later" if out_of_order else ""

        return refuse


def test_a_mail_is_for_one_person_and_answered_by_no_absence_note(
    mailbox: Mailbox, channel: EmailChannel
) -> None:
    message = make_message(to="ann@example.org")
    channel.send(message)
    ((to, mail),) = mailbox.had
    assert to == ["ann@example.org"]
    assert mail["From"] == SENDER
    assert mail["Message-ID"] == f"<{message.id}@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    ("said", "error"), [("550 5.1.1 nobody", InvalidInput), ("450 4.2.1 full", Unavailable)]
)
def test_whom_nobody_knows_is_not_tried_again(
    mailbox: Mailbox, channel: EmailChannel, said: str, error: type[Exception]
) -> None:
    mailbox.refuses["gone@example.org"] = said
    with pytest.raises(error, match=f"'gone@example.org': {said[:3]}"):
        channel.send(make_message(to="gone@example.org"))
    assert mailbox.had == []


def test_a_server_that_is_not_there(mailbox: Mailbox, channel: EmailChannel) -> None:
    mailbox.close()
    with pytest.raises(Unavailable, match="did not take it"):
        channel.send(make_message())


def test_nothing_goes_in_clear_unless_that_is_said(mailbox: Mailbox) -> None:
    with pytest.raises(Unavailable, match="SMTPNotSupportedError"):
        EmailChannel("127.0.0.1", mailbox.port, sender=SENDER).send(make_message())
    assert mailbox.had == []


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Mailbox, ssl.SSLContext]]:
    """A server that asks for TLS and a login, and whom to trust for it."""
    server, client = certificate(tmp_path)
    made = Mailbox(tls=server, login=("headrace", "s3cret"))
    yield made, client
    made.close()


def test_mail_goes_with_tls_and_a_login(secured: tuple[Mailbox, ssl.SSLContext]) -> None:
    mailbox, trusted = secured
    channel = EmailChannel(
        "localhost", mailbox.port, sender=SENDER, user="headrace", password="s3cret", context=trusted
    )
    channel.send(make_message(title="by TLS"))
    assert [mail["Subject"] for _, mail in mailbox.had] == ["by TLS"]


def test_a_wrong_password_and_an_unknown_certificate_send_nothing(
    secured: tuple[Mailbox, ssl.SSLContext],
) -> None:
    mailbox, trusted = secured
    wrong = EmailChannel(
        "localhost", mailbox.port, sender=SENDER, user="headrace", password="no", context=trusted
    )
    with pytest.raises(Unavailable, match="did not let 'headrace' in") as refused:
        wrong.send(make_message())
    assert "no" not in str(refused.value).split()
    stranger = EmailChannel("localhost", mailbox.port, sender=SENDER, user="headrace", password="s3cret")
    with pytest.raises(Unavailable, match="SSLCertVerificationError"):
        stranger.send(make_message())
    assert mailbox.had == []
