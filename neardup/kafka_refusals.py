"""Why brokers turn a client away.

kafka-python tells it to its log alone: to its caller a wrong password, a certificate that nobody trusts and a broker
that is down are the same, a time that ran out. So its log is listened to while a client reaches for the brokers.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from neardup.errors import KafkaUnavailable, Misconfigured

_LOGGER = "kafka.net.connection"
_LOST = "Connection lost: "
# What the line holds, and what it means. The first that fits is told.
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


class _Listener(logging.Handler):
    """Keeps what is said of connections that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.endings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line, if it tells of a connection that ended."""
        if _LOST in (line := record.getMessage()):
            self.endings.append(line)


@contextmanager
def refusals_told(*, login: bool) -> Iterator[None]:
    """Tell a refusal from an outage, around the making of a client of kafka-python.

    Parameters
    ----------
    login
        Whether the client logs in (SASL).

    Raises
    ------
    Misconfigured
        In place of KafkaUnavailable: a broker answered, and will give the same answer the next time.
    KafkaUnavailable
        With what was heard last, when brokers only hung up.
    """
    listener, logger = _Listener(), logging.getLogger(_LOGGER)
    logger.addHandler(listener)
    try:
        yield
    except KafkaUnavailable as exc:
        if refusal := refusal_among(listener.endings, login=login):
            raise Misconfigured(f"Kafka refused us: {refusal}") from exc
        raise KafkaUnavailable(f"{exc}: {silence_among(listener.endings)}") from exc
    finally:
        logger.removeHandler(listener)


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
                return f"{meaning}: {ending.rpartition('>: ')[2].removeprefix(_LOST)}"
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
