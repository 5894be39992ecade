"""What comes of clients that cannot be made; real brokers are in the integration tests."""

import logging
import re
import socketserver
import subprocess
import sys
import threading

import pytest
from kafka import KafkaConsumer, KafkaProducer

from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client
from neardup.kafka.refusals import refusal_among, silence_among

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
        ([KNOWN + HUNG_UP] * 3, "closes the connection at every login"),
        ([KNOWN + HUNG_UP] * 3 + [KNOWN + "RequestTimedOutError"], "closes the connection at every login"),
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
    assert silence_among([UNKNOWN + HUNG_UP]).startswith("the server closes the connection")
    assert silence_among([UNKNOWN + "[Errno 111] Connection refused"]).startswith("nothing answers there")


class Answers(socketserver.BaseRequestHandler):
    """Takes what it is asked, gives its answer, and hangs up."""

    answer = b""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(self.answer)


class AnswersWithTls(Answers):
    answer = b"\x15\x03\x03\x00\x02\x02\x46"  # the alert of a server that expects TLS


@pytest.mark.parametrize("kind", [KafkaConsumer, KafkaProducer])
@pytest.mark.parametrize(
    ("answers", "family", "said"),
    [
        (AnswersWithTls, Misconfigured, "^Kafka rejected the client: the server does not speak plaintext Kafka"),
        (Answers, KafkaUnavailable, "^Kafka is unavailable: .*: the server closes the connection"),
    ],
)
def test_a_client_tells_why_it_was_not_made(
    kind: type, answers: type[Answers], family: type[Exception], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="kafka")  # whatever its log says or keeps to itself
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), answers) as server:
        threading.Thread(target=server.serve_forever).start()
        port = server.server_address[1]
        client = Client(kind, lambda: {"bootstrap_servers": f"127.0.0.1:{port}", "bootstrap_timeout_ms": 500})
        try:
            with pytest.raises(family, match=said):
                client.get()
        finally:
            server.shutdown()
    assert client.made is None


def test_whoever_makes_a_client_has_kafka_python_mended() -> None:
    # In a process of its own: in this one others may have done it.
    script = """
from kafka.record.default_records import DefaultRecordBatch
from neardup.kafka.client import Client
as_it_came = DefaultRecordBatch._read_msg
Client(dict, dict).get()
assert DefaultRecordBatch._read_msg is not as_it_came
"""
    subprocess.run([sys.executable, "-c", script], check=True)
