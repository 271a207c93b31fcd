"""A server to be killed: everything real but the model. Argument: the home; prints its port.

It answers plain rows on the server's own protocol, and nothing else: another request is an error.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.access.privacy.fields import FieldRules
from headrace.core.clock import SystemClock
from headrace.serving.handler import Handler
from headrace.serving.microbatch import MicroBatches
from headrace.serving.models import LoadedModels
from headrace.serving.plain_rows import Scoring
from headrace.serving.recorder import Recorder
from headrace.serving.routes import RouteTable
from headrace.serving.wire import Receive, Scope, Send
from headrace.store import open_store
from headrace.testing.factories import make_project, make_settings
from headrace.web.http_protocol import protocol_of
from tests.serving.scene import StubModel


def main(home: Path) -> None:
    """Serve until killed, or until a signal asks to end."""
    clock = SystemClock()
    settings = make_settings(home)
    store = open_store(settings, clock)
    routes = RouteTable(store.rollouts, clock)
    routes.refresh()
    models = LoadedModels(lambda _: StubModel(), clock)
    gatekeeper = open_access(store, home / "keys", clock, CedarPolicy()).gatekeeper
    recorder = Recorder(store.events, clock)
    rules = FieldRules(make_project(), b"key")
    parts = (routes, models, recorder, clock)
    handler = Handler(*parts, gatekeeper, lambda _: rules)
    batches = MicroBatches(handler, *parts, rules_of=lambda _: rules)
    models.get("r1")
    protocol = protocol_of(Scoring(batches, gatekeeper, store.epoch, clock))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(
            _nothing_else, loop="uvloop", http=protocol, lifespan="off", log_level="error"
        )
        uvicorn.Server(config).run(sockets=[listener])
    recorder.close()
    store.close()


async def _nothing_else(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError(f"{scope['path']} did not take the quick way")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
