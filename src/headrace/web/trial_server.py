"""The process that answers while a release is tested under load: ``python -m headrace.web.trial_server ID``.

It reads its settings as one line from its standard input, says where it listens, and ends with that input.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from typing import Any, Literal

from headrace.app.answers.trial import Trial, open_trial, told_settings
from headrace.core.errors import HeadraceError
from headrace.serving.asgi import InferenceApp
from headrace.serving.plain_rows import PlainRows
from headrace.serving.process import settle
from headrace.web.guards import SECURE_HEADERS
from headrace.web.http_protocol import protocol_of
from headrace.web.identity import Asgi, Receive, Scope, Send
from headrace.web.metrics import MEDIA_TYPE
from headrace.web.process_metrics import process_lines


class TrialServer:
    """ASGI 3 application: the inference protocol, and what the process uses at ``/metrics``."""

    def __init__(self, trial: Trial) -> None:
        app, serving = trial.app, trial.serving
        self._rows = PlainRows(InferenceApp(serving.handler, app.gatekeeper), serving.scoring)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] != "/metrics":
            await self._rows(scope, receive, send)
            return
        body = "\n".join([*process_lines(), ""]).encode()
        headers = [(b"content-type", MEDIA_TYPE.encode()), *SECURE_HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main(release_id: str) -> None:
    """Serve until the standard input ends."""
    logging.basicConfig(level=logging.WARNING)
    settings = told_settings(sys.stdin.readline())
    try:
        with open_trial(settings, release_id) as trial:
            settle()
            serve_until_input_ends(TrialServer(trial), protocol_of(trial.serving.scoring))
    except HeadraceError as error:
        sys.exit(str(error))


def serve_until_input_ends(application: Asgi, protocol: Any, lifespan: Literal["on", "off"] = "off") -> None:
    """Answer at a free port of this machine, which is told as one line of JSON."""
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application, loop="uvloop", http=protocol, lifespan=lifespan, log_level="warning",
            access_log=False,
        )  # fmt: skip
        server = uvicorn.Server(config)
        listening.listen()
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}) + "\n")
        sys.stdout.flush()
        server.run(sockets=[listening])


def _end_with_input(server: Any) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    main(sys.argv[1])
