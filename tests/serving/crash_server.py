"""A server to be killed: everything real but the model. Argument: the home; prints its port."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from headrace.access.opening import open_access
from headrace.access.policy import CedarPolicy
from headrace.access.privacy.fields import FieldRules
from headrace.core.clock import SystemClock
from headrace.serving.asgi import InferenceApp
from headrace.serving.handler import Handler
from headrace.serving.models import LoadedModels
from headrace.serving.recorder import Recorder
from headrace.serving.routes import RouteTable
from headrace.store import open_store
from headrace.testing.factories import make_project, make_settings
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
    app = InferenceApp(Handler(routes, models, recorder, clock, gatekeeper, lambda _: rules), gatekeeper)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", log_level="error")
        uvicorn.Server(config).run(sockets=[listener])
    recorder.close()
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
