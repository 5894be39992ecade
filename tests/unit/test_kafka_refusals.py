"""What tells a refusal from an outage, on lines that kafka-python wrote; real brokers are in the integration tests."""

import logging
import re

import pytest

from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka_refusals import refusal_among, refusals_told, silence_among

KNOWN = "<KafkaConnection node_id=bootstrap-0 broker_version=(4, 3) (disconnected)>: "
UNKNOWN = "<KafkaConnection node_id=bootstrap-0 broker_version=unknown (disconnected)>: "
HUNG_UP = "KafkaConnectionError: socket disconnected"
REFUSED = "[Error 58] SaslAuthenticationFailedError: invalid credentials"


@pytest.mark.parametrize(
    ("endings", "expected"),
    [
        ([KNOWN + HUNG_UP, KNOWN + REFUSED], f"user name or password is wrong .*: {REFUSED[:10]}".replace("[", r"\[")),
        ([UNKNOWN + "Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED]"], "--ssl-cafile"),
        ([UNKNOWN + "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]"], "does not accept our certificate"),
        ([UNKNOWN + "InvalidReceiveError: Invalid frame length: 352518912"], "--security-protocol"),
        ([KNOWN + HUNG_UP] * 3, "hangs up at every login"),
        ([KNOWN + HUNG_UP] * 3 + [KNOWN + "RequestTimedOutError"], "hangs up at every login"),
    ],
)
def test_what_can_never_pass(endings: list[str], expected: str) -> None:
    assert (found := refusal_among(endings, login=True))
    assert re.search(expected, found)
    assert "KafkaConnection node" not in found


@pytest.mark.parametrize(
    ("endings", "login"),
    [
        ([], True),
        ([UNKNOWN + "[Errno 111] Connection refused"] * 9, True),
        ([KNOWN + HUNG_UP] * 2, True),
        ([KNOWN + HUNG_UP] * 3, False),
        ([UNKNOWN + HUNG_UP] * 9, True),
        ([KNOWN + HUNG_UP] * 3 + [KNOWN + "[Errno 111] Connection refused"], True),
    ],
)
def test_what_may_pass(endings: list[str], login: bool) -> None:  # noqa: FBT001 - of a table
    assert refusal_among(endings, login=login) is None


def test_what_is_silent_and_what_hangs_up() -> None:
    assert silence_among([UNKNOWN + HUNG_UP]).startswith("somebody answers and hangs up")
    assert silence_among([UNKNOWN + "[Errno 111] Connection refused"]).startswith("nobody answers there")


@pytest.mark.parametrize(("reason", "family"), [(REFUSED, Misconfigured), (HUNG_UP, KafkaUnavailable)])
def test_the_log_is_listened_to_while_a_client_is_made(reason: str, family: type[Exception]) -> None:
    logger = logging.getLogger("kafka.net.connection")
    before = list(logger.handlers)

    def fail() -> None:
        logger.error("%sConnection lost: %s", KNOWN, reason)
        raise KafkaUnavailable("Kafka does not serve")

    with pytest.raises(family), refusals_told(login=True):
        fail()
    assert logger.handlers == before


def test_what_goes_well_goes_by() -> None:
    with refusals_told(login=True):
        logging.getLogger("kafka.net.connection").error("%sConnection lost: %s", KNOWN, REFUSED)
