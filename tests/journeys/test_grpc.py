from __future__ import annotations

import socket

import grpc
import pytest

from headrace.serving.grpc_messages import SERVICE, messages
from tests.journeys.conftest import Shell
from tests.journeys.server import free_port, serving

pytestmark = pytest.mark.journey


def test_grpc_answers_beside_http_when_a_port_is_given(shell: Shell) -> None:
    port = free_port()
    with serving(shell, "--grpc-port", str(port)), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/{SERVICE}/ServerReady")
        assert messages().ServerReadyResponse.FromString(call(b"", timeout=20)).ready


def test_a_port_for_grpc_that_is_taken(shell: Shell) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        taken = shell("up", "--port", str(free_port()), "--grpc-port", port)
    assert taken.code == 2
    assert f"Port {port} on 127.0.0.1 is in use" in taken.err
    assert "headrace up --grpc-port" in taken.err
