"""A mail server of the test's own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as CRLF
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headrace.core.clock import SystemClock


class Mailbox:
    """Takes mail on a port of its own; ``had`` is what came, and to whom.

    Attributes:
        says: what the server answers to a message instead of taking it, such as ``"451 later"``.
        refuses: what it answers to these recipients.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None) -> None:
        self.had: list[tuple[list[str], EmailMessage]] = []
        self.says = ""
        self.refuses: dict[str, str] = {}
        self._login = login
        options: dict[str, Any] = {} if tls is None else {"tls_context": tls, "require_starttls": True}
        if login is not None:
            options |= {"authenticator": self._knows, "auth_required": True}
        self._loop = asyncio.new_event_loop()
        self._connections: list[SMTP] = []

        def connected() -> SMTP:
            self._connections.append(SMTP(self, loop=self._loop, **options))
            return self._connections[-1]

        serving = self._loop.create_server(connected, "127.0.0.1", 0)
        self._server = self._loop.run_until_complete(serving)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for connection in self._connections:
            if isinstance(connection.transport, asyncio.WriteTransport):
                connection.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # a transport closes its socket in the turn after

    def texts(self) -> list[str]:
        """What somebody there would read: every header, and the text."""
        return [
            "\n".join([*map(str, mail.values()), str(mail.get_content())]).replace("\r\n", "\n")
            for _, mail in self.had
        ]

    async def handle_RCPT(  # noqa: N802  the server looks for this name
        self, _server: Any, _session: Any, envelope: Any, to: str, _options: Any
    ) -> str:
        if to in self.refuses:
            return self.refuses[to]
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  and this one
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        if self.says:
            return self.says
        mail = message_from_bytes(envelope.content, policy=CRLF)
        assert isinstance(mail, EmailMessage)
        self.had.append((list(envelope.rcpt_tos), mail))
        return "250 OK"

    def _knows(self, _server: Any, _session: Any, _envelope: Any, _kind: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        known = (data.login.decode(), data.password.decode()) == self._login
        return AuthResult(success=known, handled=False)


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server at 127.0.0.1 shows, and whom a client has to trust for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=file)
