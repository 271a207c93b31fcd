"""librdkafka's own Kafka cluster: it lives in this process and speaks the protocol on the loopback."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from typing import Any

_PRODUCER = 0
_WHY_BYTES = 512


@contextmanager
def kafka_cluster() -> Iterator[str]:
    """A cluster of one broker for the time of the block; its ``HOST:PORT``.

    A group's first member is given its partitions at once. The cluster that the Python client offers lets
    each group wait three seconds for further members, as a real broker does, and cannot be told otherwise.
    """
    library = _library()
    why = ctypes.create_string_buffer(_WHY_BYTES)
    client = library.rd_kafka_new(_PRODUCER, None, why, _WHY_BYTES)
    assert client, why.value
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    try:
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
        yield library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)


def _library() -> Any:
    """The librdkafka that confluent-kafka brings, with signatures of rdkafka.h and rdkafka_mock.h."""
    brought = [one for one in files("confluent-kafka") or () if one.match("*.libs/librdkafka*")]
    library: Any = ctypes.CDLL(str(brought[0].locate()))
    handle, text = ctypes.c_void_p, ctypes.c_char_p
    signatures = {
        "new": (handle, [ctypes.c_int, handle, text, ctypes.c_size_t]),
        "mock_cluster_new": (handle, [handle, ctypes.c_int]),
        "mock_group_initial_rebalance_delay_ms": (None, [handle, ctypes.c_int32]),
        "mock_cluster_bootstraps": (text, [handle]),
        "mock_cluster_destroy": (None, [handle]),
        "destroy": (None, [handle]),
    }
    for name, (returned, taken) in signatures.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = returned, taken
    return library
