"""HTTP for the requests that come most: one row, in a plain request, on a connection that stays.

Everything else on the same connection - other addresses, other forms, and whatever is wrong - goes, byte for
byte and from the beginning of a message, to uvicorn's own protocol and so to the ASGI application: errors are
worded in one place. The two never work on one message.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Iterable
from functools import partial
from math import inf
from typing import Any, NamedTuple

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace.access.networks import network_of
from headrace.serving.caller import CALLER, Caller
from headrace.serving.heads import MAX_BODY_BYTES, Head, Pattern, Read
from headrace.serving.plain_rows import Scoring, Standing

_log = logging.getLogger(__name__)
_MAX_HELD_BYTES = 4 * MAX_BODY_BYTES
_MOST_JOINED_BYTES = 64 << 10
"""To copy more costs more than to write twice."""
_MOST_UNREAD_BYTES = 64 << 10
"""Of a head, or of whatever else is no body, that comes in several pieces: the parser keeps a line until its
end, at a cost that grows with its square."""
_MOST_PIECES = 64
"""In which the beginning of a message is held here: each is looked through from its first byte on."""
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)
_HEAD_SO_FAR = re.compile(rb"(?:\r\n)*[A-Za-z][^\r\n]*(?:\r\n[^\r\n]*)*\r?")
"""A head that has only begun is held until it is whole, for an offer may stand in what comes later."""
_SIGN, _SIGN_S = b"HTTP/1.1 100 Continue\r\n\r\n", 0.05
"""A sign of life that every client has to pass over, and how long nothing is made of its silence."""
_NEXT_SIGN_S = 1.0
"""Until somebody who was there is asked again: they may go later."""
_UNREAD_S = 120.0
"""For so long an answer waits for a client that reads nothing: it holds what it was given, a budget's too."""
_END = b"\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_TOO_LONG = b"The head of the request is longer than %d bytes. Send shorter headers." % _MOST_UNREAD_BYTES
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\n%b"
    b"content-length: %d\r\n\r\n%b" % (_CLOSE, len(_TOO_LONG), _TOO_LONG)
)


class _Known(NamedTuple):
    """A head that came before on this connection, and what it came to."""

    pattern: Pattern
    standing: Standing


def protocol_of(scoring: Scoring) -> Any:
    """What uvicorn makes of each connection.

    Example::

        uvicorn.run(server, http=protocol_of(scoring), loop="uvloop")
    """
    return partial(ScoringProtocol, scoring)


class ScoringProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, scoring: Scoring, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._scoring = scoring
        self._extra = {form: _lines(headers) for form, headers in scoring.headers.items()}
        self._network = ""
        self._known: _Known | None = None
        self._inside = False  # the parent's parser is within a message
        self._has_head = False  # of which it has read the head
        self._n_pieces = 0  # in which the message that is held has come so far
        self._n_unread = 0  # bytes that it was given since it last told of something
        self._busy = False  # a row of ours waits for its answer
        self._leaving = False
        self._said_all = False  # the client sends nothing more, and may wait for its answer
        self._held = b""
        self._used_s = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._slow: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._defaults: tuple[object, bytes] = (None, b"")
        self._caller: Caller | None = None
        self._asked: Any = None  # the message of the parent's that the application is at work on

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's; the client's network is looked up once."""
        super().connection_made(transport)
        self._network = network_of(self.client)
        self._caller = Caller(self.flow.resume_reading)
        self._used_s = self._scoring.clock.monotonic_s()
        self._idle = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's; nothing of ours waits for this client, and what works for it alone is told."""
        self._held = b""
        for timer in (self._idle, self._slow, self._unread):
            if timer is not None:
                timer.cancel()
        self._idle = self._slow = self._unread = None
        if self._asked is not None and self._asked is not self.cycle:
            # Uvicorn tells the last message only, and this one has others behind it.
            self._asked.disconnected = True
            self._asked.message_event.set()
        super().connection_lost(exc)
        if self._caller is not None:
            self._caller.go()

    def pause_writing(self) -> None:
        """As uvicorn's: what was written before is not read yet."""
        super().pause_writing()
        if self._unread is None:
            self._leave_unread()

    def _leave_unread(self, before: float = inf) -> None:
        """Leave whoever has read nothing in all that time: a long answer may be read slowly."""
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._unread = self.loop.call_later(_UNREAD_S, self._leave_unread, left)
        else:
            self.transport.abort()

    def resume_writing(self) -> None:
        """As uvicorn's: it is."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more: it has gone, or closed its own direction only and waits for what it
        has asked for."""
        if self._inside or not (self._busy or self._answering) or self.scheme == "https":
            return False
        self._said_all = True
        if self._answering:
            self._end_after()
        return True

    def _end_after(self) -> None:
        """Leave who has said all once the last request is answered, or before if they have gone."""
        if self._inside or not self._answering:
            self.transport.close()
            return
        self.cycle.keep_alive = False
        # Nothing else can be sent between pieces, and HTTP/1.0 knows no signs of life: there, who is given
        # nothing for a while is taken as gone, as most are who end so.
        asked = self._asked
        if asked.response_started:
            self.loop.call_later(_NEXT_SIGN_S, self._take_as_gone, asked, asked.transport.n_written)
        elif asked.scope["http_version"] == "1.1":
            self.loop.call_later(_SIGN_S, self._show_sign, asked)
        else:
            self.loop.call_later(_SIGN_S, self._take_as_gone, asked, 0)

    def _show_sign(self, asked: Any) -> None:
        """Find out whether somebody still listens: who has gone refuses what is sent."""
        if not (asked.response_started or self.transport.is_closing()):
            self.transport.write(_SIGN)
        self.loop.call_later(_SIGN_S, self._look)

    def _look(self) -> None:
        """Whether anything that was sent has been refused; nothing else tells, for nobody reads any more."""
        if not self._answering or self.transport.is_closing():
            return
        wire = self.transport.get_extra_info("socket")
        if wire is not None and wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self.loop.call_later(_NEXT_SIGN_S, self._show_sign, self._asked)

    def _take_as_gone(self, asked: Any, n_before: int) -> None:
        if asked.response_complete or self.transport.is_closing():
            return
        n_written = asked.transport.n_written
        if n_written != n_before or self.transport.get_write_buffer_size():  # who has gone refuses it
            self.loop.call_later(_NEXT_SIGN_S, self._take_as_gone, asked, n_written)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        """The parent begins to read a message."""
        self._inside, self._has_head = True, False
        super().on_message_begin()
        self.scope["state"][CALLER] = self._caller

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what stands behind a body changes nothing any more."""
        if not self._has_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The parent has read a head."""
        self._has_head, self._n_unread = True, 0
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The parent has read a part of a body."""
        self._n_unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parent has read one to its end: the next bytes begin another one."""
        self._inside, self._n_unread = False, 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._asked = cycle
        cycle.transport = _HeadHeld(self.transport, self.loop)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The application has answered: the connection was used a moment ago."""
        self._used_s = self._scoring.clock.monotonic_s()
        cycle: Any = self.cycle
        if isinstance(cycle.transport, _HeadHeld):  # an answer without a body, such as one to HEAD
            cycle.transport.flush()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Close once what is under way has been answered."""
        if self._busy:
            self._leaving = True
        else:
            super().shutdown()

    @property
    def _answering(self) -> bool:
        """Whether the application is at work on a message of the parent's."""
        cycle: Any = self.cycle  # None before the first message, whatever its type says
        return cycle is not None and not cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Bytes in whatever pieces they come."""
        if self._held:
            data, self._held = self._held + data, b""
        if self._busy:
            self._hold(data)
        elif self._inside or self._answering:
            self._read(data)
        else:
            self._begin(data)

    def _read(self, data: bytes) -> None:
        """Give the parent's parser what is for it."""
        self._n_unread += len(data)
        super().data_received(data)
        if not self._inside or self.transport.is_closing():
            return
        if not self._has_head:
            self._wait()
        if self._n_unread > _MOST_UNREAD_BYTES:
            if not self._answering:
                self.transport.write(_REFUSAL)
            self.transport.close()

    def _begin(self, data: bytes) -> None:
        """``data`` begins a message."""
        known, scoring = self._known, self._scoring
        found = known.pattern.match(data) if known is not None else None
        if found is None:
            known, found = None, self._find(data)
        if found is None or self.flow.write_paused:
            # Whoever does not read what is answered is asked to wait, which the ordinary way knows how to do.
            self._hand_over(data)
            return
        head, trace_id, end = found
        self._unset_keepalive_if_required()
        size = end + head.body_bytes
        if len(data) < size:
            (self._wait_for_rest if self._n_pieces < _MOST_PIECES else self._hand_over)(data)
            return
        self._wait_no_more()
        if known is None or not scoring.stands(known.standing):
            known = self._known = self._stand(data[:end], Read(head, trace_id))
        if known is None:
            self._hand_over(data)
            return
        give_up = partial(self._give_up, data[:size])
        if scoring.ask(known.standing, head, trace_id, data[end:size], self._answer, give_up):
            self._busy, self._held = True, data[size:]
        else:
            self._hand_over(data)

    def _find(self, data: bytes) -> tuple[Head, str | None, int] | None:
        """The head that ``data`` begins with, its trace, and its end; None: it is for the ordinary way."""
        end = data.find(_END) + len(_END)
        read = self._scoring.heads.find(data[:end]) if end >= len(_END) else None
        return None if read is None else (read.head, read.trace_id, end)

    def _stand(self, data: bytes, read: Read) -> _Known | None:
        standing = self._scoring.stand(read.head, self._network_of(read.head))
        return None if standing is None else _Known(Pattern.of(data, read), standing)

    def _network_of(self, head: Head) -> str:
        """Where the client is, whom a proxy may name that is trusted just as uvicorn trusts it."""
        if head.forwarded_for and isinstance(self.app, ProxyHeadersMiddleware):
            trusted = self.app.trusted_hosts
            if self.client is not None and self.client[0] in trusted:
                host, _ = trusted.get_trusted_client_address(head.forwarded_for)
                return network_of((host,)) if host else self._network
        return self._network

    def _answer(self, body: bytes, recorded: bytes) -> None:
        self._busy = False
        if self.transport.is_closing():
            return
        self._leaving |= self._said_all and not self._held
        known = self._known
        extra = self._extra[known.pattern.head.form] if known is not None else b""
        self.transport.write(
            b"HTTP/1.1 200 OK\r\n%bcontent-type: application/json\r\n"
            b"headrace-record: %b\r\n%b%bcontent-length: %d\r\n\r\n%b"
            # Whoever is told that this is the last answer here does not send another request into a void.
            % (self._default_headers(), recorded, extra, _CLOSE if self._leaving else b"", len(body), body)
        )
        self.server_state.total_requests += 1
        if self._leaving:
            self.transport.close()
            return
        self._used_s = self._scoring.clock.monotonic_s()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)
        self.flush()

    def _give_up(self, data: bytes) -> None:
        """The ordinary way answers what was ours, and what came after it."""
        self._busy = False
        if self.transport.is_closing():
            return
        data, self._held = data + self._held, b""
        self._hand_over(data)
        if self._leaving:
            super().shutdown()

    def flush(self) -> None:
        """Take up what came while a row was being answered."""
        if self._held:
            data, self._held = self._held, b""
            if len(data) <= _MAX_HELD_BYTES:
                self.flow.resume_reading()
            try:
                self._begin(data)
            except Exception:  # noqa: BLE001
                # Boundary: answers to others come after this one, and must not be lost with this connection.
                _log.exception("A connection is given up")
                self.transport.abort()

    def _hand_over(self, data: bytes) -> None:
        # Nobody here speaks any other protocol, and whoever offers one is answered as if they had not: Java's
        # client does in each request, and uvicorn's parser takes the body for the other protocol's.
        end = data.find(_END)
        if end >= 0:
            data = _UPGRADE.sub(b"", data[: end + 2]) + data[end + 2 :]
        elif (
            self._n_pieces < _MOST_PIECES and len(data) <= _MOST_UNREAD_BYTES and _HEAD_SO_FAR.fullmatch(data)
        ):
            self._wait_for_rest(data)
            return
        self._known = None
        self.flow.resume_reading()
        self._read(data)
        if self._said_all:  # while rows before it were answered
            self._end_after()

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _MAX_HELD_BYTES:
            self.flow.pause_reading()

    def _wait_for_rest(self, data: bytes) -> None:
        if self._said_all:  # and it does not come
            self.transport.close()
            return
        self._held = data
        self._n_pieces += 1
        self._wait()

    def _wait(self) -> None:
        """For the rest of what has begun, a head or a row."""
        if self._slow is None:
            self._slow = self.loop.call_later(self._scoring.slowest_s, self._close_if_slow)

    def _wait_no_more(self) -> None:
        self._n_pieces = 0
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _close_if_slow(self) -> None:
        """The rest has not come, unless nobody reads it while something else is being answered."""
        self._slow = None
        if self._busy or self._answering:
            self._wait()
        else:
            self.transport.close()

    def _close_if_idle(self) -> None:
        """One timer for many answers: moved on instead of made anew."""
        self._idle = None
        left_s = self._used_s + self.timeout_keep_alive - self._scoring.clock.monotonic_s()
        if self._busy or self._inside or self._answering:
            left_s = self.timeout_keep_alive
        if left_s > 0:
            self._idle = self.loop.call_later(left_s, self._close_if_idle)
        elif not self._held and not self.transport.is_closing():
            self.transport.close()

    def _default_headers(self) -> bytes:
        """Uvicorn's own, such as the date; it makes another list each second."""
        current = self.server_state.default_headers
        if self._defaults[0] is not current:
            self._defaults = (current, _lines(current))
        return self._defaults[1]


class _HeadHeld:
    """What one answer of the application is written to: its head goes out with the beginning of its body.

    Two writes cost the system, and whoever reads, twice as much as one. A body that does not follow within
    the same turn of the event loop is not waited for.
    """

    __slots__ = ("_has_begun", "_held", "_loop", "_transport", "n_written")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._has_begun = False
        self.n_written = 0

    def write(self, data: bytes) -> None:
        self.n_written += 1
        if not self._has_begun:
            self._held, self._has_begun = data, True
            self._loop.call_soon(self.flush)
            return
        if self._held and len(data) <= _MOST_JOINED_BYTES:
            data, self._held = self._held + data, b""
        self.flush()
        self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def flush(self) -> None:
        """Write what is held."""
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():  # whoever asked may have gone within the turn
            self._transport.write(held)


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)
