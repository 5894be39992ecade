"""What is mended in kafka-python 3.0, for every client of ours."""

from collections.abc import Callable
from typing import Any

from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.record.default_records import DefaultRecordBatch


class _ForgivingBytes(bytes):
    """Bytes whose text is read even where it is not UTF-8: what is not is spelt out."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - an index or a slice
        part = super().__getitem__(place)
        return _ForgivingBytes(part) if isinstance(place, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - that is the point
        return bytes(self).decode(encoding, "backslashreplace")


def mend_kafka_python() -> None:
    """Mend what would stop us in kafka-python 3.0; once or more often.

    It fails at a record with a header whose name is not UTF-8, and cannot get past it: one odd publisher would stop a
    partition. The name is given with its odd bytes spelt out, as four characters each; a dead letter has it like that.

    It drops what a broker said last when the end of the connection is read with it: so it never hears that a password
    was wrong, and tries on.
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

    DefaultRecordBatch._read_strictly = strictly  # noqa: SLF001 - as above
    DefaultRecordBatch._read_msg = read  # noqa: SLF001 - as above
    for transport in (KafkaTCPTransport, KafkaSSLTransport):
        transport._sock_recv = _last_words_first(transport._sock_recv)  # noqa: SLF001 - as above


def _last_words_first(receive: Callable[[Any], tuple[bytes, Any]]) -> Callable[[Any], tuple[bytes, Any]]:
    def received(transport: Any) -> tuple[bytes, Any]:  # noqa: ANN401 - kafka-python has no types
        data, end = receive(transport)
        return data, None if data else end  # the end is read again, by itself

    return received
