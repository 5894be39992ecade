"""Object stores for tests: s3 by a server of moto's, gs by an emulator, each a process of its own."""

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

from tests.support.https_hosts import closed_port
from tests.support.processes import eventually

S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",  # of botocore's
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def post(url: str, body: bytes) -> None:
    """Post a body."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"})  # noqa: S310 - our own http:// address
    with urllib.request.urlopen(request, timeout=60):  # noqa: S310
        pass


@contextmanager
def serving(arguments: list[str], port: int, ready_path: str) -> Iterator[str]:
    """Run a store until the end; yield its address when it answers."""
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )

    def answers() -> bool:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(url + ready_path, timeout=10):  # noqa: S310
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    try:
        eventually(answers, "the store's first answer", 120)
        yield url
    finally:
        process.kill()
        process.wait(60)


@contextmanager
def s3_store() -> Iterator[str]:
    """Run an S3 until the end; yield its address."""
    port = closed_port()
    # Only the part of moto that is asked for is loaded.
    with serving(["-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, "/moto-api/") as url:
        yield url


@contextmanager
def gs_store(bucket: str) -> Iterator[str]:
    """Run a store of Google's with a bucket until the end; yield its address."""
    port = closed_port()
    arguments = ["start", "--host", "127.0.0.1", "--port", str(port), "--in-memory", "--default-bucket", bucket]
    with serving(["-m", "gcp_storage_emulator", *arguments], port, "/") as url:
        yield url


def point_at_s3(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the libraries of S3 find a server of ours."""
    for name, value in {"AWS_ENDPOINT_URL": url, **S3_VARIABLES}.items():
        monkeypatch.setenv(name, value)


def point_at_gs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library of Google's store find a server of ours."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    monkeypatch.setitem(fsspec.config.conf, "gcs", {"token": "anon"})  # as FSSPEC_GCS_TOKEN=anon does


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """Answer every request with the same bytes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(30)
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(30)
