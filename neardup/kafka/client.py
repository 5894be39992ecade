"""kafka-python clients that are created on first use."""

from collections.abc import Callable, Mapping
from typing import Any

from kafka.errors import KafkaError

from neardup.errors import Misconfigured
from neardup.kafka.errors import translated_errors
from neardup.kafka.patch import patch_kafka_python
from neardup.kafka.refusals import refusals_explained


class Client:
    """A kafka-python client created on first use, because its constructor connects to the brokers.

    Parameters
    ----------
    kind
        KafkaConsumer or KafkaProducer.
    config
        Returns the constructor's arguments.
    """

    def __init__(self, kind: Callable[..., Any], config: Callable[[], Mapping[str, Any]]) -> None:
        self._kind = kind
        self._config = config
        self._made: Any = None

    def get(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        """Return the client; create it if needed.

        Raises
        ------
        KafkaUnavailable
            No broker answers.
        Misconfigured
            The brokers reject the client, or the settings are invalid.
        """
        if self._made is None:
            patch_kafka_python()
            try:
                with refusals_explained() as net_client, translated_errors():
                    self._made = self._kind(**self._config(), kafka_client=net_client)
            except (ValueError, TypeError, AssertionError) as exc:
                raise Misconfigured(f"Kafka settings: {exc}") from exc
        return self._made

    @property
    def made(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        """The client if it was created, else None."""
        return self._made

    def drop(self) -> None:
        """Forget the client: the next `get` creates a new one."""
        self._made = None


def close_producer(client: Client, timeout_s: float) -> None:
    """Close a producer, whatever its state."""
    producer = client.made
    if producer is None:
        return
    client.drop()
    try:
        producer.close(timeout=timeout_s)
    except KafkaError:
        # It timed out before its thread ended, which would keep sending.
        producer._sender.force_close()  # noqa: SLF001 - there is no public way
