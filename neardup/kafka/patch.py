"""Patches for kafka-python 3.0, for all our clients."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from kafka.cluster import ClusterMetadata
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import KafkaConnectionError
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.record.default_records import DefaultRecordBatch

RECEIVE_BYTES = 256 * 1024
"""Asked of a socket at a time; kafka-python asks for 4 KiB, which makes an image of 90 kB twenty calls."""
_NOTHING_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _ForgivingBytes(bytes):
    """Bytes that decode even when they are not UTF-8, with escapes for the invalid ones."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - an index or a slice
        part = super().__getitem__(place)
        return _ForgivingBytes(part) if isinstance(place, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - that is the point
        return bytes(self).decode(encoding, "backslashreplace")


def patch_kafka_python() -> None:
    """Patch five bugs of kafka-python 3.0; safe to call repeatedly.

    It fails on a record with a header name that is not UTF-8, and cannot skip it: one odd publisher would block a
    partition. With the patch, invalid bytes in the name are escaped, as four characters each, also in dead letters.

    It drops a broker's last message when it is read together with the end of the connection. So it never learns that a
    password was wrong, and keeps trying. With the patch it reads the end alone, and larger pieces at a time.

    It forgets `allow_auto_create_topics=False` on the way to its metadata, and so has the brokers create whatever topic
    a client names. Without the patch a topic that is deleted while we run would come back, with one partition.

    It forgets a rebalance that it began because the topic has changed, when the poll that began it was too short to
    finish it: it stays between two generations for ever, and can commit nothing. With the patch, the next polls go on.

    It puts aside what it has read of a partition that is paused, and takes it up again only when it has read nothing of
    another one since: else the partition stands still, without an error, until something is paused again.
    """
    if hasattr(DefaultRecordBatch, "_read_strictly"):
        return
    strictly = DefaultRecordBatch._read_msg  # noqa: SLF001 - there is no public way

    def read(batch: Any, *args: Any) -> Any:  # noqa: ANN401 - kafka-python has no types
        try:
            return strictly(batch, *args)
        except UnicodeDecodeError:
            buffer = batch._buffer  # noqa: SLF001 - as above
            batch._buffer = _ForgivingBytes(buffer)  # noqa: SLF001 - as above
            try:
                return strictly(batch, *args)
            finally:
                batch._buffer = buffer  # noqa: SLF001 - as above

    ClusterMetadata.DEFAULT_CONFIG["allow_auto_create_topics"] = False
    DefaultRecordBatch._read_strictly = strictly  # noqa: SLF001 - as above
    DefaultRecordBatch._read_msg = read  # noqa: SLF001 - as above
    ConsumerCoordinator._do_join_and_sync_async = _remembered(ConsumerCoordinator._do_join_and_sync_async)  # noqa: SLF001 - as above
    Fetcher.fetched_records = _resumed(Fetcher.fetched_records)
    for transport in (KafkaTCPTransport, KafkaSSLTransport):
        transport._sock_recv = _received  # noqa: SLF001 - as above


def _remembered(join: Callable[[Any], Awaitable[bytes]]) -> Callable[[Any], Awaitable[bytes]]:
    async def joined(coordinator: Any) -> bytes:  # noqa: ANN401 - kafka-python has no types
        # Only whoever takes its result says that no other attempt is needed.
        coordinator.request_rejoin()
        return await join(coordinator)

    return joined


def _resumed(fetched: Callable[..., Any]) -> Callable[..., Any]:
    def fetched_records(fetcher: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
        if not fetcher._next_partition_records:  # noqa: SLF001 - as above
            # All of it was taken: only without it are others taken up that were put aside.
            fetcher._next_partition_records = None  # noqa: SLF001 - as above
        return fetched(fetcher, *args, **options)

    return fetched_records


def _received(transport: Any) -> tuple[bytes, KafkaConnectionError | None]:  # noqa: ANN401 - kafka-python has no types
    """Return all that has come; or, when nothing has and nothing will, why."""
    pieces: list[bytes] = []
    end: KafkaConnectionError | None = None
    try:
        # Until nothing is left: TLS may hold what it has read already, and then the socket does not become readable.
        while piece := transport._sock.recv(RECEIVE_BYTES):  # noqa: SLF001 - there is no public way
            pieces.append(piece)
        end = KafkaConnectionError("socket disconnected")
    except _NOTHING_YET:
        pass
    except (OSError, AttributeError) as exc:  # the latter where it was closed meanwhile, and there is no socket
        end = KafkaConnectionError(exc)
    return b"".join(pieces), None if pieces else end  # the end is then read again, alone
