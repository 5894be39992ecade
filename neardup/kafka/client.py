"""Clients of kafka-python that are made late."""

from collections.abc import Callable, Mapping
from typing import Any

from neardup.errors import Misconfigured
from neardup.kafka.errors import translated_errors
from neardup.kafka.patch import mend_kafka_python
from neardup.kafka.refusals import refusals_told


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
            try:
                with refusals_told() as net_client, translated_errors():
                    self._made = self._kind(**self._config(), kafka_client=net_client)
            except (ValueError, TypeError, AssertionError) as exc:
                raise Misconfigured(f"Kafka settings: {exc}") from exc
        return self._made

    @property
    def made(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        """The client if it was made, else None."""
        return self._made

    def drop(self) -> None:
        """Forget the client: the next `get` makes another."""
        self._made = None
