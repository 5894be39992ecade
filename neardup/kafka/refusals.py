"""Why brokers reject a client.

kafka-python only logs the reason: its caller sees a timeout, be it a wrong password, an untrusted certificate or a
broker that is down. So each connection is watched while a client connects.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kafka.net.compat import KafkaNetClient

from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.errors import text_of

# Text in the error that ended a connection, and its meaning. The first match is reported.
_REFUSALS = {
    "SaslAuthenticationFailedError": "user name or password is wrong (--sasl-username, --sasl-password)",
    "UnsupportedSaslMechanismError": "it does not offer this --sasl-mechanism",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted by --ssl-cafile, or is for another host",
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port (--security-protocol)",
    # The first bytes of a TLS reply to a plaintext client are not a valid message length.
    "Invalid frame length": "the server does not speak plaintext Kafka; it probably expects TLS (--security-protocol)",
    # TLS has a dozen alerts for a client's certificate that is missing or not trusted.
    "_ALERT_": "it does not accept our certificate (--ssl-certfile, --ssl-keyfile)",
}
_CLOSED = "socket disconnected"
# How kafka-python shows a connection whose broker has not sent its version, which comes before any login.
_NOT_ANSWERED = "broker_version=unknown"
# The overall timeout ended the last attempt.
_OUR_OWN = "RequestTimedOutError"
_HANGS_UP_AT_LOGIN = 3
"""Times. A broker that goes down closes the connection once, and does not answer after that."""


@contextmanager
def refusals_explained() -> Iterator[Callable[..., Any]]:
    """Distinguish a refusal from an outage while a kafka-python client is created.

    Yields
    ------
    callable
        To be passed to the client's constructor as ``kafka_client``.

    Raises
    ------
    Misconfigured
        Instead of KafkaUnavailable: a broker answered, and would give the same answer again.
    KafkaUnavailable
        With how the connections ended, when none was refused.
    """
    watch = _Watch()
    try:
        yield watch.net_client
    except KafkaUnavailable as exc:
        watch.close()
        if refusal := refusal_among(watch.endings, login=watch.login):
            raise Misconfigured(f"Kafka rejected the client: {refusal}") from exc
        raise KafkaUnavailable(f"{exc}: {silence_among(watch.endings)}") from exc
    except Exception:
        watch.close()
        raise


class _Watch:
    """Records why a new client's connections end: kafka-python only logs it and retries."""

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
        """Close what the constructor opened before it failed; kafka-python does not."""
        if self._net is not None:
            with suppress(Exception):  # half constructed, it may fail in any way
                self._net.close()


def refusal_among(endings: Sequence[str], *, login: bool) -> str | None:
    """Return why a broker rejects the client; None if it may be temporary.

    Parameters
    ----------
    endings
        How connections ended: kafka-python's text of each connection, and its error.
    login
        Whether the client logs in (SASL).
    """
    for sign, meaning in _REFUSALS.items():
        for ending in endings:
            if sign in ending:
                return f"{meaning}: {ending.rpartition('>: ')[2]}"
    # Over TLS the reason is mostly lost: kafka-python drops what comes together with the end of a connection.
    hung_up = [_CLOSED in ending and _NOT_ANSWERED not in ending for ending in endings if _OUR_OWN not in ending]
    if login and len(hung_up) >= _HANGS_UP_AT_LOGIN and all(hung_up):
        return f"{_REFUSALS['SaslAuthenticationFailedError']}: it closes the connection at every login"
    return None


def silence_among(endings: Iterable[str]) -> str:
    """Return a likely cause of an outage."""
    if any(_CLOSED in ending for ending in endings):
        return "the server closes the connection, as with wrong security settings or a wrong password"
    return "nothing answers there, or the security settings are wrong"
