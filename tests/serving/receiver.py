"""Somebody who is told of answers."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """An HTTP server of the test's own; ``status`` is what it answers, ``had`` what it was sent.

    It answers as soon as ``ready`` is set.
    """

    def __init__(self) -> None:
        self.status = 204
        self.ready = threading.Event()
        self.ready.set()
        self.had: list[tuple[str, dict[str, str], bytes]] = []
        receiver = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.had.append((self.path, headers, body))
                receiver.ready.wait()
                self.send_response(receiver.status)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self.ready.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
