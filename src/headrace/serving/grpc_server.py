"""gRPC for the Open Inference Protocol: ``inference.GRPCInferenceService`` on the event loop that runs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.networks import network_of
from headrace.core.errors import (
    Conflict,
    Denied,
    HeadraceError,
    InternalError,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
    UserError,
)
from headrace.core.identity import Principal
from headrace.serving import metadata
from headrace.serving.grpc_calls import read_infer, write_infer
from headrace.serving.grpc_messages import SERVICE, messages, missing_extra
from headrace.serving.handler import Handler
from headrace.serving.models import LoadedModel
from headrace.serving.telling import told
from headrace.serving.wire import INLINE_BYTES, MAX_BODY_BYTES

_log = logging.getLogger(__name__)
_GRACE_S = 10.0
_STATUS: tuple[tuple[type[HeadraceError], str], ...] = (
    (InvalidInput, "INVALID_ARGUMENT"),
    (Unauthenticated, "UNAUTHENTICATED"),
    (Denied, "PERMISSION_DENIED"),
    (NotFound, "NOT_FOUND"),
    (Conflict, "FAILED_PRECONDITION"),
    (UserError, "INVALID_ARGUMENT"),
    (Unavailable, "UNAVAILABLE"),
    (InternalError, "INTERNAL"),
)
"""First match wins."""
OPEN = ("ServerLive", "ServerReady")
"""What needs no identity."""
METHODS = (
    *OPEN,
    "ServerMetadata",
    "ModelReady",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "ModelInfer",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
)
"""The calls of one request and one answer; ``ModelStreamInfer`` is a stream of both."""


class GrpcServer:
    """A listening server. Make one by :func:`start_grpc`.

    Attributes:
        port: where it listens.
    """

    def __init__(self, server: Any, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self) -> None:
        """Answer what is under way, for ten seconds at most, then end."""
        await self._server.stop(_GRACE_S)


async def start_grpc(
    handler: Handler, gatekeeper: Gatekeeper, address: str, *, max_bytes: int = MAX_BODY_BYTES
) -> GrpcServer:
    """Listen at ``address`` (``HOST:PORT``; port 0 is any) on the running event loop.

    Args:
        max_bytes: longer messages are refused.

    Raises:
        InvalidInput: grpcio is not installed.
        Conflict: the address is in use.

    Example::

        server = await start_grpc(handler, gatekeeper, "127.0.0.1:8001")
    """
    try:
        import grpc
    except ImportError as error:
        raise missing_extra("grpcio") from error
    options = [
        ("grpc.max_receive_message_length", max_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # two servers at one address would share its calls
    ]
    server = grpc.aio.server(options=options)
    service = _Service(handler, gatekeeper, grpc)
    calls = {name: grpc.unary_unary_rpc_method_handler(service.unary(name)) for name in METHODS}
    calls["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(service.stream)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, calls),))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise Conflict(f"gRPC cannot listen at {address}: choose another by --grpc-port.") from error
    await server.start()
    return GrpcServer(server, port)


class _Service:
    """The calls. Requests come as bytes, so that bytes that are no message are the client's fault."""

    def __init__(self, handler: Handler, gatekeeper: Gatekeeper, grpc: Any) -> None:
        from google.protobuf import json_format, message

        self._handler = handler
        self._gatekeeper = gatekeeper
        self._grpc = grpc
        self._types = messages()
        self._filled = json_format.ParseDict
        self._unreadable = message.DecodeError

    def unary(self, name: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """The call of this name: reads the request, answers, and gives every error its status."""
        answer = getattr(self, f"_{name}")
        request_type = getattr(self._types, f"{name}Request")

        async def call(body: bytes, context: Any) -> bytes:
            try:
                async with asyncio.timeout(context.time_remaining()):
                    me = None if name in OPEN else self._authenticated(context)
                    response = await answer(self._read(request_type, body), me)
                    return bytes(response.SerializeToString())
            except TimeoutError:
                status, message = "DEADLINE_EXCEEDED", "The deadline passed before there was an answer."
            except Exception as error:  # noqa: BLE001
                # Boundary: a status is all that a client can understand.
                status, message = _explained(error, name)
            await context.abort(self._grpc.StatusCode[status], message)
            raise AssertionError("abort raises")

        return call

    async def stream(self, bodies: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Answer each request of a stream in turn; one that fails is told so and the stream goes on."""
        response_type = self._types.ModelStreamInferResponse
        async for body in bodies:
            try:
                me = self._authenticated(context)
                answered = await self._ModelInfer(self._read(self._types.ModelInferRequest, body), me)
                response = response_type(infer_response=answered)
            except Unauthenticated as error:
                # Nobody keeps a stream beyond the life of a token.
                await context.abort(self._grpc.StatusCode.UNAUTHENTICATED, str(error))
            except Exception as error:  # noqa: BLE001
                # Boundary: as for single calls.
                response = response_type(error_message=_explained(error, "ModelStreamInfer")[1])
            yield response.SerializeToString()

    async def _ServerLive(self, request: Any, me: None) -> Any:  # noqa: N802, ARG002
        return self._types.ServerLiveResponse(live=True)

    async def _ServerReady(self, request: Any, me: None) -> Any:  # noqa: N802, ARG002
        return self._types.ServerReadyResponse(ready=self._handler.ready())

    async def _ServerMetadata(self, request: Any, me: Principal) -> Any:  # noqa: N802, ARG002
        return self._types.ServerMetadataResponse(**metadata.server_metadata())

    async def _ModelReady(self, request: Any, me: Principal) -> Any:  # noqa: N802
        try:
            await self._models(request, me)
        except (NotFound, Unavailable):  # as Triton: a question, and no is an answer to it
            return self._types.ModelReadyResponse(ready=False)
        return self._types.ModelReadyResponse(ready=True)

    async def _ModelMetadata(self, request: Any, me: Principal) -> Any:  # noqa: N802
        described = metadata.model_metadata(request.name, await self._models(request, me))
        return self._filled(described, self._types.ModelMetadataResponse(), ignore_unknown_fields=True)

    async def _ModelConfig(self, request: Any, me: Principal) -> Any:  # noqa: N802
        config = metadata.model_config(request.name, await self._models(request, me))
        return self._filled({"config": config}, self._types.ModelConfigResponse())

    async def _ModelStatistics(self, request: Any, me: Principal) -> Any:  # noqa: N802
        if request.name:
            found = metadata.model_statistics(self._handler, request.name, await self._models(request, me))
        else:
            found = metadata.all_statistics(self._handler, me)
        response = self._types.ModelStatisticsResponse()
        return self._filled({"model_stats": found}, response, ignore_unknown_fields=True)

    async def _ModelInfer(self, request: Any, me: Principal) -> Any:  # noqa: N802
        if request.ByteSize() <= INLINE_BYTES:
            call = read_infer(request)
        else:
            call = await asyncio.to_thread(read_infer, request)
        prediction = await self._handler.predict(
            request.model_name,
            call.values,
            principal=me,
            key=call.key,
            event_time=call.event_time,
            keys=call.keys,
            request_id=call.request_id,
            version=request.model_version or None,
            outputs=call.outputs,
        )
        response = write_infer(prediction, self._handler.version(prediction.release_id), call)
        response.parameters["headrace_record"].string_param = self._handler.recorded(prediction).decode()
        return response

    async def _RepositoryIndex(self, request: Any, me: Principal) -> Any:  # noqa: N802
        found = metadata.index(self._handler.index(me), only_ready=request.ready)
        return self._filled({"models": found}, self._types.RepositoryIndexResponse())

    async def _RepositoryModelLoad(self, request: Any, me: Principal) -> Any:  # noqa: N802
        await self._handler.reload(me, request.model_name, changed=bool(request.parameters))
        return self._types.RepositoryModelLoadResponse()

    async def _RepositoryModelUnload(self, request: Any, me: Principal) -> Any:  # noqa: N802
        await self._handler.refuse_unload(me, request.model_name)

    async def _models(self, request: Any, me: Principal) -> list[LoadedModel]:
        await self._handler.require(me, "project.read", request.name)
        return await self._handler.describe(request.name, request.version or None)

    def _authenticated(self, context: Any) -> Principal:
        given = [value for key, value in context.invocation_metadata() if key == "authorization"]
        return self._gatekeeper.authenticate(given[0] if given else None, _network(context.peer()))

    def _read(self, request_type: Any, body: bytes) -> Any:
        try:
            return request_type.FromString(body)
        except self._unreadable as error:
            raise InvalidInput(f"The message is no {request_type.__name__}: {error}.") from error


def _explained(error: Exception, name: str) -> tuple[str, str]:
    """Status and message of an error."""
    if isinstance(error, HeadraceError):
        return next(status for kind, status in _STATUS if isinstance(error, kind)), told(error)
    _log.error("gRPC call %s failed", name, exc_info=error)
    return "INTERNAL", "Headrace failed to answer; its log says why. Please report it."


def _network(peer: str) -> str:
    """The network of a peer such as ``ipv4:127.0.0.1:5000`` or ``ipv6:%5B::1%5D:5000``."""
    kind, _, address = unquote(peer).partition(":")
    return network_of((address.rpartition(":")[0].strip("[]"),)) if kind in ("ipv4", "ipv6") else ""
