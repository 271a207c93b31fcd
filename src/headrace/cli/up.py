"""``headrace up``: serve everything on one port."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import sys
from functools import partial
from typing import Annotated, Any

import typer

from headrace.access.tickets import Tickets
from headrace.app.answers.serving import reserve_home
from headrace.cli.session import Json, say, session
from headrace.core.errors import Conflict, InvalidInput
from headrace.serving.process import KEEP_ALIVE_S

app = typer.Typer(add_completion=False)


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    grpc_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port for gRPC; none unless given."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that share the port; one that dies is replaced.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Serve models, API and pages on one port, and run the jobs that wait."""
    import uvicorn
    from uvicorn.importer import import_from_string

    at = f"[{host}]" if ":" in host else host
    url = f"http://{at}:{port}"
    grpc_address = None if grpc_port is None else f"{at}:{grpc_port}"
    with session() as s:
        reserve_home(s.app, url)
        link = url + Tickets(s.app.store.expiring, s.app.clock).path(s.me.name)
    _check_port(host, port, "--port")
    if grpc_port is not None:
        _check_port(host, grpc_port, "--grpc-port")
    logging.basicConfig(level=logging.WARNING)  # a server's log is its standard error
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "loop": "uvloop",
        "access_log": False,
        "log_level": "warning",
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": 10,
    }
    if processes == 1:
        server = import_from_string("headrace.web.server:create_app")(address=url, grpc_address=grpc_address)
        answer = partial(uvicorn.run, server, http=server.protocol, **options)
    else:
        together = import_from_string("headrace.web.processes:answer_together")
        answer = partial(together, processes, address=url, grpc_address=grpc_address, **options)
    if as_json:
        said = {"url": url, "grpc": grpc_address, "sign_in": link, "pid": os.getpid()}
        typer.echo(json.dumps(said))  # one line: it is a signal
    else:
        beside = "" if grpc_address is None else f", and gRPC at {grpc_address}"
        say(f"Headrace is up at {url}{beside}. Sign in, once: {link}")
    sys.stdout.flush()
    answer()


def _check_port(host: str, port: int, option: str) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise InvalidInput(f"There is no address {host!r} ({error.strerror}). Expected 127.0.0.1.") from error
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError as error:
            raise InvalidInput(f"Port {port} may not be used by you. Choose one above 1023.") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise InvalidInput(
                    f"{host} is no address of this machine ({error.strerror}). Expected 127.0.0.1, or "
                    "0.0.0.0 for all of its addresses."
                ) from error
            raise Conflict(
                f"Port {port} on {host} is in use ({error.strerror}). Stop what listens there, or choose "
                f"another: headrace up {option} {port + 1}"
            ) from error
