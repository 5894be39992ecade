"""What every client of kafka-python needs: our errors for its own, and to be made late."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.record.default_records import DefaultRecordBatch

from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka_refusals import refusal_among, silence_among

PLACE_TAKEN = (
    "another consumer has joined the group with our --group-instance-id and taken our place: "
    "give each consumer an id of its own"
)
_FATAL = (
    AuthorizationError,
    InvalidTopicError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the project's errors in place of kafka-python's.

    Raises
    ------
    KafkaUnavailable
        It may pass.
    Misconfigured
        Not allowed in, or never possible.
    """
    try:
        yield
    except _FATAL as exc:
        raise Misconfigured(f"Kafka refused us: {text_of(exc)}") from exc
    except FencedInstanceIdError as exc:
        raise Misconfigured(PLACE_TAKEN) from exc
    except _TOO_LARGE as exc:
        raise Misconfigured(
            f"a message is larger than Kafka takes: {text_of(exc)}; raise max.message.bytes of the verdict and "
            "dead-letter topics above that of the image topic, and --max-message-bytes with it"
        ) from exc
    except (KafkaError, OSError) as exc:
        raise KafkaUnavailable(f"Kafka does not serve: {text_of(exc)}") from exc


def text_of(exc: BaseException) -> str:
    """Return an error in one line, its kind included."""
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


class Client:
    """A kafka-python client that is made when it is first needed, because making it reaches for the brokers.

    Parameters
    ----------
    kind
        KafkaConsumer or KafkaProducer.
    config
        Returns what it is constructed with.
    """

    def __init__(self, kind: Callable[..., Any], config: Callable[[], Mapping[str, Any]]) -> None:
        self._kind = kind
        self._config = config
        self._made: Any = None

    def get(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        """Return the client, made now if need be.

        Raises
        ------
        KafkaUnavailable
            Nobody answers.
        Misconfigured
            The brokers refuse us, or the settings make no sense.
        """
        if self._made is None:
            mend_kafka_python()
            watch = _Watch()
            try:
                with translated_errors():
                    self._made = self._kind(**self._config(), kafka_client=watch.net_client)
            except KafkaUnavailable as exc:
                watch.close()
                if refusal := refusal_among(watch.endings, login=watch.login):
                    raise Misconfigured(f"Kafka refused us: {refusal}") from exc
                raise KafkaUnavailable(f"{exc}: {silence_among(watch.endings)}") from exc
            except (ValueError, TypeError, AssertionError) as exc:
                watch.close()
                raise Misconfigured(f"Kafka settings: {exc}") from exc
            except Misconfigured:
                watch.close()
                raise
        return self._made

    @property
    def made(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        """The client if it was made, else None."""
        return self._made

    def drop(self) -> None:
        """Forget the client: the next `get` makes another."""
        self._made = None


class _Watch:
    """Sees why connections of a client under construction end: kafka-python itself only logs it, and tries on."""

    def __init__(self) -> None:
        self.endings: list[str] = []
        self.login = False
        self._net: Any = None

    def net_client(self, **config: Any) -> Any:  # noqa: ANN401 - kafka-python has no types
        self.login = config["security_protocol"].startswith("SASL")
        self._net = KafkaNetClient(**config)
        manager = self._net._manager  # noqa: SLF001 - there is no public way
        get_connection = manager.get_connection

        def watched(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
            connection = get_connection(*args, **options)
            connection.close_future.add_errback(lambda error: self.endings.append(f"{connection}: {text_of(error)}"))
            return connection

        manager.get_connection = watched
        return self._net

    def close(self) -> None:
        """Let go of what the constructor opened before it failed, which kafka-python does not."""
        if self._net is not None:
            with suppress(Exception):  # half made as it is, it may fail in any way
                self._net.close()


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
