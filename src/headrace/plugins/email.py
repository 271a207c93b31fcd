"""E-mail by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from headrace.core.alerts import Message
from headrace.core.errors import InvalidInput, Unavailable

_WAIT_S = 15.0
_MOST_TITLE, _MOST_TEXT = 200, 100_000


class EmailChannel:
    """Implements ``Channel``: one message to one person, with TLS unless said otherwise.

    Args:
        sender: what it comes from.
        tls: ``starttls`` on an ordinary connection, ``tls`` from its first byte, or ``none``.
        user, password: to log in with; nobody logs in without.
        context: whom to trust; the authorities that this machine trusts unless said.

    Example::

        channel = EmailChannel("mail.example", 587, sender="headrace@example.org")
        channel.send(message)
    """

    personal = True

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        tls: str = "starttls",
        user: str = "",
        password: str = "",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._tls = tls
        self._user = user
        self._password = password
        self._context = context

    def send(self, message: Message) -> None:
        try:
            with self._connected() as server:
                server.send_message(mail(message, self._sender))
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _refusal(code, message.to, said) from error
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise _refusal(error.smtp_code, message.to, error.smtp_error) from error
        except smtplib.SMTPAuthenticationError as error:
            raise Unavailable(
                f"The mail server did not let {self._user!r} in ({error.smtp_code})."
            ) from error
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable(
                f"The mail server at {self._host}:{self._port} did not take it ({type(error).__name__})."
            ) from error

    def _connected(self) -> smtplib.SMTP:
        context = self._context or ssl.create_default_context()
        if self._tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=_WAIT_S, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=_WAIT_S)
        try:
            if self._tls == "starttls":
                server.starttls(context=context)  # raises where the server has none: nothing goes in clear
            if self._user:
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def mail(message: Message, sender: str) -> EmailMessage:
    r"""The mail.

    >>> from headrace.testing.factories import make_message
    >>> mail(make_message(title="two\nlines"), "headrace@example.org")["subject"]
    'two lines'
    """
    made = EmailMessage()
    made["From"] = sender
    made["To"] = message.to
    made["Subject"] = " ".join(message.title.split())[:_MOST_TITLE]
    made["Date"] = format_datetime(message.at)
    made["Message-ID"] = f"<{message.id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence note answers it
    links = [f"{one.title}:\n  {one.url}" for one in message.links]
    made.set_content("\n".join([message.title, "", message.text[:_MOST_TEXT], "", *links, ""]))
    return made


def _refusal(code: int, to: str, said: bytes | str) -> Exception:
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    text = f"The mail server does not take mail for {to!r}: {code} {words[:200]}."
    return InvalidInput(text) if code >= 500 else Unavailable(text)
