"""Why brokers turn a client away.

kafka-python tells it to its log alone: to its caller a wrong password, a certificate that nobody trusts and a broker
that is down are the same, a time that ran out. So each connection is watched while a client reaches for the brokers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kafka.net.compat import KafkaNetClient

from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.errors import text_of

# What the error holds that a connection ended with, and what it means. The first that fits is told.
_REFUSALS = {
    "SaslAuthenticationFailedError": "user name or password is wrong (--sasl-username, --sasl-password)",
    "UnsupportedSaslMechanismError": "it does not offer this --sasl-mechanism",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not one that --ssl-cafile vouches for, or is another host's",
    "WRONG_VERSION_NUMBER": "it speaks no TLS at this port (--security-protocol)",
    # The first bytes of what TLS says to a client that speaks none are no length of a message.
    "Invalid frame length": "what answers is no Kafka in the clear: TLS, most likely (--security-protocol)",
    # TLS has a dozen alerts for a client's certificate that is missing or not trusted.
    "_ALERT_": "it does not accept our certificate (--ssl-certfile, --ssl-keyfile)",
}
_CLOSED = "socket disconnected"
# How kafka-python writes a connection to a broker that has not told its version, which it does before any login.
_NOT_ANSWERED = "broker_version=unknown"
# The time for all attempts ran out in the middle of the last one.
_OUR_OWN = "RequestTimedOutError"
_HANGS_UP_AT_LOGIN = 3
"""Times. A broker that goes down hangs up once, and does not answer after that."""


@contextmanager
def refusals_told() -> Iterator[Callable[..., Any]]:
    """Tell a refusal from an outage, around the making of a client of kafka-python.

    Yields
    ------
    callable
        What the client is to be constructed with, as ``kafka_client``.

    Raises
    ------
    Misconfigured
        In place of KafkaUnavailable: a broker answered, and will give the same answer the next time.
    KafkaUnavailable
        With what the connections came to, when none was refused.
    """
    watch = _Watch()
    try:
        yield watch.net_client
    except KafkaUnavailable as exc:
        watch.close()
        if refusal := refusal_among(watch.endings, login=watch.login):
            raise Misconfigured(f"Kafka refused us: {refusal}") from exc
        raise KafkaUnavailable(f"{exc}: {silence_among(watch.endings)}") from exc
    except Exception:
        watch.close()
        raise


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


def refusal_among(endings: Sequence[str], *, login: bool) -> str | None:
    """Return what a broker refuses us for; None if it may pass.

    Parameters
    ----------
    endings
        How connections ended, each as kafka-python's text of the connection and the error.
    login
        Whether the client logs in (SASL).
    """
    for sign, meaning in _REFUSALS.items():
        for ending in endings:
            if sign in ending:
                return f"{meaning}: {ending.rpartition('>: ')[2]}"
    # Over TLS most last words are lost: kafka-python drops what comes together with the end of a connection.
    hung_up = [_CLOSED in ending and _NOT_ANSWERED not in ending for ending in endings if _OUR_OWN not in ending]
    if login and len(hung_up) >= _HANGS_UP_AT_LOGIN and all(hung_up):
        return f"{_REFUSALS['SaslAuthenticationFailedError']}: it hangs up at every login"
    return None


def silence_among(endings: Iterable[str]) -> str:
    """Return what an outage looks like from here."""
    if any(_CLOSED in ending for ending in endings):
        return "somebody answers and hangs up, as on wrong security settings or a wrong password"
    return "nobody answers there, or the security settings are refused"
