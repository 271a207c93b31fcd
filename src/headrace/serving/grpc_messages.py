"""The messages of ``inference.GRPCInferenceService``, as far as they are served.

Names and numbers of the fields are the protocol's: KServe, "Open Inference Protocol" (gRPC), and Triton's
extensions for streams, the model repository, model configuration and statistics. A client may use its own
``.proto`` of the service; what it sends beyond these fields is let be.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from headrace.core.errors import InvalidInput

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
_MESSAGES = """
ServerLiveRequest
ServerLiveResponse: bool live = 1
ServerReadyRequest
ServerReadyResponse: bool ready = 1
ModelReadyRequest: string name = 1; string version = 2
ModelReadyResponse: bool ready = 1
ServerMetadataRequest
ServerMetadataResponse: string name = 1; string version = 2; repeated string extensions = 3
ModelMetadataRequest: string name = 1; string version = 2
ModelMetadataResponse: string name = 1; repeated string versions = 2; string platform = 3;
    repeated TensorMetadata inputs = 4; repeated TensorMetadata outputs = 5
TensorMetadata: string name = 1; string datatype = 2; repeated int64 shape = 3
InferParameter: choice bool bool_param = 1; choice int64 int64_param = 2; choice string string_param = 3;
    choice double double_param = 4; choice uint64 uint64_param = 5
InferTensorContents: repeated bool bool_contents = 1; repeated int32 int_contents = 2;
    repeated int64 int64_contents = 3; repeated uint32 uint_contents = 4; repeated uint64 uint64_contents = 5;
    repeated float fp32_contents = 6; repeated double fp64_contents = 7; repeated bytes bytes_contents = 8
ModelInferRequest: string model_name = 1; string model_version = 2; string id = 3;
    map InferParameter parameters = 4; repeated InferInputTensor inputs = 5;
    repeated InferRequestedOutputTensor outputs = 6; repeated bytes raw_input_contents = 7
InferInputTensor: string name = 1; string datatype = 2; repeated int64 shape = 3;
    map InferParameter parameters = 4; InferTensorContents contents = 5
InferRequestedOutputTensor: string name = 1; map InferParameter parameters = 2
ModelInferResponse: string model_name = 1; string model_version = 2; string id = 3;
    map InferParameter parameters = 4; repeated InferOutputTensor outputs = 5;
    repeated bytes raw_output_contents = 6
InferOutputTensor: string name = 1; string datatype = 2; repeated int64 shape = 3;
    map InferParameter parameters = 4; InferTensorContents contents = 5
ModelStreamInferResponse: string error_message = 1; ModelInferResponse infer_response = 2
ModelConfigRequest: string name = 1; string version = 2
ModelConfigResponse: ModelConfig config = 1
ModelConfig: string name = 1; string platform = 2; int32 max_batch_size = 4; repeated ModelInput input = 5;
    repeated ModelOutput output = 6; string backend = 17
ModelInput: string name = 1; DataType data_type = 2; repeated int64 dims = 4; bool optional = 8
ModelOutput: string name = 1; DataType data_type = 2; repeated int64 dims = 3
ModelStatisticsRequest: string name = 1; string version = 2
ModelStatisticsResponse: repeated ModelStatistics model_stats = 1
ModelStatistics: string name = 1; string version = 2; uint64 last_inference = 3; uint64 inference_count = 4;
    uint64 execution_count = 5; InferStatistics inference_stats = 6
InferStatistics: StatisticDuration success = 1; StatisticDuration fail = 2; StatisticDuration queue = 3;
    StatisticDuration compute_input = 4; StatisticDuration compute_infer = 5;
    StatisticDuration compute_output = 6
StatisticDuration: uint64 count = 1; uint64 ns = 2
RepositoryIndexRequest: string repository_name = 1; bool ready = 2
RepositoryIndexResponse: repeated ModelIndex models = 1
ModelIndex: string name = 1; string version = 2; string state = 3; string reason = 4
RepositoryModelLoadRequest: string repository_name = 1; string model_name = 2;
    map ModelRepositoryParameter parameters = 3
RepositoryModelLoadResponse
RepositoryModelUnloadRequest: string repository_name = 1; string model_name = 2;
    map ModelRepositoryParameter parameters = 3
RepositoryModelUnloadResponse
ModelRepositoryParameter: choice bool bool_param = 1; choice int64 int64_param = 2;
    choice string string_param = 3; choice bytes bytes_param = 4
"""
_DATA_TYPES = (
    "TYPE_INVALID TYPE_BOOL TYPE_UINT8 TYPE_UINT16 TYPE_UINT32 TYPE_UINT64 TYPE_INT8 TYPE_INT16 TYPE_INT32 "
    "TYPE_INT64 TYPE_FP16 TYPE_FP32 TYPE_FP64 TYPE_STRING TYPE_BF16"
).split()
"""In the order of their numbers."""


@lru_cache(maxsize=1)
def messages() -> SimpleNamespace:
    """The class of each message, as an attribute of its name.

    They live in a pool of their own, so that a client library in the same process may bring its own.

    Raises:
        InvalidInput: protobuf is not installed.

    Example::

        messages().ModelReadyRequest(name="cars").SerializeToString()
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise missing_extra("protobuf") from error
    file = descriptor_pb2.FileDescriptorProto(
        name="headrace/inference.proto", package=PACKAGE, syntax="proto3"
    )
    data_type = file.enum_type.add(name="DataType")
    for number, name in enumerate(_DATA_TYPES):
        data_type.value.add(name=name, number=number)
    names = []
    for line in _MESSAGES.strip().replace("\n    ", " ").splitlines():
        name, _, fields = line.partition(":")
        names.append(name)
        message = file.message_type.add(name=name)
        for text in filter(None, (field.strip() for field in fields.split(";"))):
            _add_field(message, text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in names
    }
    return SimpleNamespace(**found)


def missing_extra(library: str) -> InvalidInput:
    """The error of somebody who asks for gRPC without its libraries."""
    return InvalidInput(f"gRPC needs {library}. Install it with: pip install 'headrace[grpc]'")


def _add_field(message: Any, text: str) -> None:
    """Add a field, such as ``repeated string versions = 2``, to the description of a message."""
    declared, _, number = text.partition(" = ")
    *rule, kind, name = declared.split()
    field = message.field.add(name=name, number=int(number))
    field.label = field.LABEL_REPEATED if rule in (["repeated"], ["map"]) else field.LABEL_OPTIONAL
    if rule == ["choice"]:
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if rule == ["map"]:
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, "string key = 1")
        _add_field(entry, f"{kind} value = 2")
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{message.name}.{entry.name}"
    elif kind[0].islower():
        field.type = field.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = field.TYPE_ENUM if kind == "DataType" else field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
