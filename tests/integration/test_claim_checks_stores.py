"""Claim checks in object stores: s3 by a server of moto's, gs by an emulator, each a process of its own."""

import socket
from collections.abc import Iterator

import pytest
import s3fs

from consumer.claim_checks.reader import UriReader
from consumer.claim_checks.scheme import FetchSettings
from neardup.errors import StoreUnavailable, TooManyBytes, UriNotAllowed, UriTooSlow, UriUnavailable, UriUnreadable
from tests.support.https_hosts import closed_port
from tests.support.stores import gs_store, point_at_gs, point_at_s3, post, raw_server, s3_store

pytestmark = pytest.mark.slow

LIMIT = 1000
GENEROUS = FetchSettings(timeout_s=60)
HASTY = FetchSettings(timeout_s=1.0, patience_s=0)


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with s3_store() as url:
        files = s3fs.S3FileSystem(endpoint_url=url, key="test", secret="hunter2", skip_instance_cache=True)  # noqa: S106
        files.mkdir("images")
        objects = {"1.jpg": b"one", "empty": b"", "b ä+.jpg": b"odd name", "largest": bytes(LIMIT)}
        for key, body in {**objects, "large": bytes(LIMIT + 1), "../b/secret": b"secret"}.items():
            files.pipe_file(f"images/a/{key}", body)
        yield url


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    point_at_s3(s3_server, monkeypatch)
    return s3_server


@pytest.mark.usefixtures("s3")
def test_an_allowed_object_is_read() -> None:
    with UriReader(["s3://images/a/"], LIMIT, GENEROUS) as reader:
        assert reader.read("s3://images/a/1.jpg") == b"one"
        assert reader.read("s3://images/a/b ä+.jpg") == b"odd name"  # keys stand as they are, not percent-encoded
        assert reader.read("s3://images/a/empty") == b""
        assert len(reader.read("s3://images/a/largest")) == LIMIT
        with pytest.raises(TooManyBytes):
            reader.read("s3://images/a/large")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    "uri",
    ["s3://images/b/secret", "s3://images/a/../b/secret", "s3://images/a/%2e%2e/b/secret", "s3://images/ab", "s3://images/a",
     "s3://other/a/1.jpg", "s3://images/a/1.jpg?versionId=1", "s3://key:hunter2@images/a/1.jpg", "S3://images/a/1.jpg",
     "gs://images/a/1.jpg", "s3a://images/a/1.jpg", "s3://arn:aws:s3:x/a", "s3:images/a/1.jpg"],
)  # fmt: skip
def test_everything_else_is_not_allowed(uri: str) -> None:
    with UriReader(["s3://images/a/"], LIMIT, GENEROUS) as reader, pytest.raises(UriNotAllowed) as caught:
        reader.read(uri)
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("uri", ["s3://images/missing", "s3://no-such-bucket/a", "s3://images/"])
def test_an_object_that_is_not_there_is_a_dead_letter(uri: str) -> None:
    with UriReader(["s3://images/", "s3://no-such-bucket"], LIMIT, GENEROUS) as reader, pytest.raises(UriUnreadable):
        reader.read(uri)


def test_a_store_that_is_away_is_waited_for_and_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    point_at_s3(f"http://127.0.0.1:{closed_port()}", monkeypatch)
    with UriReader(["s3://images/"], LIMIT, FetchSettings(timeout_s=60)) as reader, pytest.raises(StoreUnavailable):
        reader.read("s3://images/a/1.jpg")
    impatient = FetchSettings(timeout_s=60, patience_s=0)
    with UriReader(["s3://images/"], LIMIT, impatient) as reader, pytest.raises(UriUnavailable, match="gave up"):
        reader.read("s3://images/a/1.jpg")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (503, "SlowDown", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (403, "ExpiredToken", StoreUnavailable),
        (403, "InvalidAccessKeyId", StoreUnavailable),
        (403, "AccessDenied", UriUnreadable),
        (404, "NoSuchKey", UriUnreadable),
    ],
)
def test_what_the_store_says_has_its_fate(
    status: int, code: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>hunter2</Message></Error>".encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    with raw_server(f"{head}Connection: close\r\n\r\n".encode() + body) as url:
        point_at_s3(url, monkeypatch)
        with UriReader(["s3://images/"], LIMIT, GENEROUS) as reader, pytest.raises(error) as caught:
            reader.read("s3://images/a/1.jpg")
    assert "hunter2" not in str(caught.value)


def test_a_store_that_says_nothing_ends_at_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        point_at_s3(f"http://127.0.0.1:{mute.getsockname()[1]}", monkeypatch)
        with UriReader(["s3://images/"], LIMIT, HASTY) as reader, pytest.raises(UriTooSlow):
            reader.read("s3://images/a/1.jpg")


@pytest.fixture(scope="module")
def gs_server() -> Iterator[str]:
    with gs_store("images") as url:
        for name, body in {"a/1.jpg": b"one", "b/secret": b"secret", "a/large": bytes(LIMIT + 1)}.items():
            post(f"{url}/upload/storage/v1/b/images/o?uploadType=media&name={name}", body)
        yield url


@pytest.fixture
def gs(gs_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    point_at_gs(gs_server, monkeypatch)
    return gs_server


@pytest.mark.usefixtures("gs")
def test_an_allowed_object_of_google_is_read_and_no_other() -> None:
    with UriReader(["gs://images/a/"], LIMIT, GENEROUS) as reader:
        assert reader.read("gs://images/a/1.jpg") == b"one"
        with pytest.raises(TooManyBytes):
            reader.read("gs://images/a/large")
        with pytest.raises(UriUnreadable):
            reader.read("gs://images/a/missing")
        for uri in ("gs://images/b/secret", "gs://images/a/../b/secret", "gs://other/a/1.jpg", "s3://images/a/1.jpg"):
            with pytest.raises(UriNotAllowed):
                reader.read(uri)


@pytest.mark.parametrize(
    ("status", "timeout_s", "error"), [(403, 60, UriUnreadable), (404, 60, UriUnreadable), (503, 1, StoreUnavailable)]
)
def test_what_google_says_has_its_fate(
    status: int, timeout_s: float, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"error": {"code": %d, "message": "hunter2"}}' % status
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with raw_server(f"{head}Connection: close\r\n\r\n".encode() + body) as url:
        point_at_gs(url, monkeypatch)
        # gcsfs itself tries again for longer than a test should take: the time limit ends that.
        fetch = FetchSettings(timeout_s=timeout_s)
        with UriReader(["gs://images/"], LIMIT, fetch) as reader, pytest.raises(error) as caught:
            reader.read("gs://images/a/1.jpg")
    assert "hunter2" not in str(caught.value)
