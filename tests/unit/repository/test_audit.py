"""The audit of what we lock, by a database that the test serves."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests import audit

Answer = Callable[[list[dict[str, Any]]], object]


class Database(HTTPServer):
    """Answers as OSV does, by what a test says."""

    answer: Answer
    asked: list[dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        assert self.path == "/v1/querybatch"
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.server.asked = queries
        body = json.dumps(self.server.answer(queries)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        pass


@pytest.fixture
def database() -> Iterator[Database]:
    with Database(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: Database) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def nothing(queries: list[dict[str, Any]]) -> object:
    return {"results": [{} for _ in queries]}


def pillow_is_bad(queries: list[dict[str, Any]]) -> object:
    known = {"vulns": [{"id": "PYSEC-1"}]}
    return {"results": [known if query["package"]["name"] == "pillow" else {} for query in queries]}


def test_all_that_is_locked_is_asked_about(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    database.answer = nothing
    assert audit.main(url(database), {"REQUIRE_AUDIT": "1"}) == 0
    names = {query["package"]["name"] for query in database.asked}
    # Of the image, of the developers, of another platform, of the benchmark.
    assert {"kafka-python", "pytest", "tensorflow", "faiss-cpu"} <= names
    assert all(query["package"]["ecosystem"] == "PyPI" and query["version"][0].isdigit() for query in database.asked)
    assert (
        capsys.readouterr().out
        == f"audited {len(database.asked)} packages for known vulnerabilities: 0 known, 0 complaints\n"
    )


def test_a_known_vulnerability_is_red(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    database.answer = pillow_is_bad
    assert audit.main(url(database), {}) == 1
    assert "audit: pillow 1" in (said := capsys.readouterr().err)
    assert "PYSEC-1, see https://osv.dev/PYSEC-1" in said


REASON = "only in a decoder that is not on our allow-list"


@pytest.mark.parametrize(
    ("found", "excepted", "complaint"),
    [
        ({"A": [("x", "1")]}, {"A": REASON}, None),
        ({}, {}, None),
        ({"A": [("x", "1"), ("y", "2")], "B": [("z", "3")]}, {"A": REASON}, "z 3: B, see https://osv.dev/B"),
        ({}, {"A": REASON}, "pyproject.toml: A is in nothing that is locked: take it out"),
        ({"A": [("x", "1")]}, {"A": "because"}, "pyproject.toml: A needs a reason"),
    ],
)
def test_an_exception_needs_a_reason_and_a_vulnerability(
    found: dict[str, list[audit.Pin]], excepted: dict[str, str], complaint: str | None
) -> None:
    assert audit.complaints(found, excepted) == ([] if complaint is None else [complaint])


def test_exceptions_stand_in_the_project_file() -> None:
    assert audit.exceptions_of({"tool": {"neardup": {"audit": {"A": REASON}}}}) == {"A": REASON}
    assert audit.exceptions_of({}) == {}


@pytest.mark.parametrize(("environ", "code"), [({}, 0), ({"REQUIRE_AUDIT": "1"}, 2)])
def test_a_database_that_is_away_is_said_aloud(
    environ: dict[str, str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert audit.main(f"http://127.0.0.1:{port}", environ) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(
        f"NOT AUDITED for known vulnerabilities: http://127.0.0.1:{port}/v1/querybatch does not"
    )
    assert captured.out == ""


def test_a_database_that_is_mute_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert audit.main(f"http://127.0.0.1:{mute.getsockname()[1]}", {}) == 0
    said = capsys.readouterr().err
    assert "NOT AUDITED" in said
    assert "timed out" in said


@pytest.mark.parametrize("answer", [{}, {"results": []}, {"code": 3, "message": "invalid"}, []])
def test_an_answer_that_says_nothing_is_no_audit(
    answer: object, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    database.answer = lambda _: answer
    assert audit.main(url(database), {"REQUIRE_AUDIT": "1"}) == 2
    assert "NOT AUDITED" in capsys.readouterr().err


def test_pins_are_read_with_markers_and_hashes() -> None:
    lock = "av==1.2.3 \\\n    --hash=sha256:00\n    # via x\ntorch==2.0+cpu ; sys_platform == 'linux' \\\nz-z.z==3\n"
    assert audit.pins_of(lock) == {("av", "1.2.3"), ("torch", "2.0+cpu"), ("z-z.z", "3")}
