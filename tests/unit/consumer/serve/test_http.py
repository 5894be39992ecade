"""What is answered on every path, to every kind of client; without an index."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

import consumer.serve.connections
from consumer.health import Health
from consumer.serve.application import Application
from consumer.serve.pages import described
from consumer.serve.settings import ServeSettings
from consumer.settings import MEBIBYTE
from neardup import __version__
from neardup.errors import Misconfigured
from tests.support.serving import DESCRIPTION, Client, bare

TOKEN = "t" * 32


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with bare(ServeSettings()) as client:
        yield client


def received(client: Client, *sent: bytes) -> bytes:
    """Send bytes, and return all that comes until the connection is closed."""
    with socket.create_connection(client.address, timeout=60) as connection:
        for piece in sent:
            connection.sendall(piece)
        found = b""
        while piece := connection.recv(65536):
            found += piece
    return found


def test_until_there_is_an_index_it_lives_and_is_not_ready(client: Client) -> None:
    assert client.ask("GET", "/healthz").status == 200
    ready = client.ask("GET", "/readyz")
    assert (ready.status, ready.document) == (503, {"ok": False, "detail": "starting"})
    for path in ("/judge", "/lookup"):
        answer = client.ask("POST", path, b"x", Content_Type="image/jpeg")
        assert answer.status == 503
        assert "starting" in answer.document["detail"]


def test_metrics_count_requests_by_what_was_answered(client: Client) -> None:
    client.ask("GET", "/<markup>")
    text = client.ask("GET", "/metrics").body.decode()
    assert re.search(r'^neardup_http_requests_total\{endpoint="other",status="404"\} [1-9]', text, re.MULTILINE)
    assert "markup" not in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/judge", 405),
        ("DELETE", "/lookup", 405),
        ("POST", "/readyz", 405),
        ("GET", "/nothing", 404),
        ("POST", "/judge/", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "//openapi.json", 404),
    ],
)
def test_a_wrong_path_or_method_is_told_as_a_problem(client: Client, method: str, path: str, status: int) -> None:
    with socket.create_connection(client.address, timeout=60) as connection:  # as it is: clients tidy paths up
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in answer
    assert (b"\r\nAllow: " in answer) == (status == 405)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 3 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(500)) + b"\r\n", 400),
        (b"POST /judge HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /judge HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /judge HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
    ],
)
def test_what_is_no_request_is_told_so_and_not_repeated(
    client: Client, sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = received(client, sent)
    assert re.match(rb"HTTP/1\.[01] %d " % status, answer), answer[:200]
    assert b"application/problem+json" in answer
    assert caplog.records == []


def test_a_page_in_a_browser_cannot_ask_for_its_reader(client: Client) -> None:
    answer = client.ask("POST", "/judge", b"x", Content_Type="image/jpeg", Origin="https://evil.example")
    assert answer.status == 403
    assert client.ask("GET", "/metrics", Origin="null").status == 403


def test_tokens_guard_all_but_what_says_that_it_lives(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    with bare(ServeSettings(token_file=str(tmp_path / "tokens"))) as client:
        for method, path in (("POST", "/judge"), ("POST", "/lookup"), ("GET", "/metrics"), ("GET", "/judge")):
            answer = client.ask(method, path)
            assert answer.status == 401
            assert answer.headers["Www-Authenticate"] == 'Bearer realm="neardup"'
        for path in ("/healthz", "/readyz", "/openapi.json", "/"):
            assert client.ask("GET", path).status in {200, 503}
        assert client.ask("GET", "/metrics", Authorization=f"Bearer {TOKEN}").status == 200


def test_slow_headers_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer.serve.connections, "IDLE_S", 0.2)
    with bare(ServeSettings()) as client:
        assert received(client, b"GET / HTTP/1.1\r\n", b"X: y\r\n") == b""
        assert received(client) == b""


def test_connections_above_the_limit_are_told_to_come_again() -> None:
    with (
        bare(ServeSettings(max_connections=2)) as client,
        socket.create_connection(client.address),
        socket.create_connection(client.address),
    ):
        answer = received(client, b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer


def test_an_address_in_use_is_one_line(client: Client) -> None:
    from consumer.serve.service import serve  # noqa: PLC0415

    with pytest.raises(Misconfigured, match=f"--host 127.0.0.1, --port {client.address[1]}: cannot listen there"):
        serve(ServeSettings(port=client.address[1]))


class Failing:
    """Stands for an index by which nothing is judged."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def judge(self, _message: object, _ticket: object) -> None:
        raise self.error


@pytest.mark.parametrize(("error", "status"), [(Misconfigured("it is gone"), 503), (ZeroDivisionError("ours"), 500)])
def test_what_ends_the_service_and_a_defect_name_the_key_too(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Application, "_ready_index", lambda _: Failing(error))
    with bare(ServeSettings()) as client:
        answer = client.judge(b"x")
        assert (answer.status, len(answer.headers["Idempotency-Key"])) == (status, 36)
        assert client.judge(b"x", Idempotency_Key="mine").headers["Idempotency-Key"] == "mine"
    assert len([record for record in caplog.records if record.exc_info]) == (2 if status == 500 else 0)


# Its description


def test_the_description_is_one_of_this_service(client: Client) -> None:
    document = client.ask("GET", "/openapi.json").document
    assert document == described(32 * MEBIBYTE, with_tokens=False)
    assert document["info"]["version"] == __version__
    assert "security" not in document
    assert DESCRIPTION["security"] == [{"token": []}]


def test_the_schemas_of_the_description_are_schemas() -> None:
    for schema in DESCRIPTION["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_references_of_the_description_lead_somewhere() -> None:
    references = re.findall(r"'\$ref': '#/([^']+)'", str(DESCRIPTION))
    assert len(references) > 20
    for reference in references:
        found = DESCRIPTION
        for name in reference.split("/"):
            found = found[name]


def test_the_page_loads_nothing_and_tells_of_every_path(client: Client) -> None:
    answer = client.ask("GET", "/")
    page = answer.body.decode()
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["openapi.json"]
    for path, methods in DESCRIPTION["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            assert all(f"<td>{status}<td>" in page for status in operation["responses"])


def test_health_that_stalls_is_told() -> None:
    now = [0.0]
    with bare(ServeSettings(), Health(lambda: now[0])) as client:
        assert client.ask("GET", "/healthz").status == 200
        now[0] = 1000.0
        assert client.ask("GET", "/healthz").status == 503
