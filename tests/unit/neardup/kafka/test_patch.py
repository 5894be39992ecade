"""How the patched kafka-python reads from a socket."""

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError
from kafka.net.transport import KafkaTCPTransport

from neardup.kafka.patch import patch_kafka_python

SENT = bytes(range(256)) * 300


class Counting:
    """A socket that counts how often it is read."""

    def __init__(self, real: socket.socket) -> None:
        self.calls = 0
        self._real = real

    def recv(self, size: int) -> bytes:
        self.calls += 1
        return self._real.recv(size)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    theirs, ours = socket.socketpair()
    ours.settimeout(0)
    with theirs, ours:
        yield theirs, ours


def received(sock: object) -> tuple[bytes, Exception | None]:
    patch_kafka_python()
    transport: Any = SimpleNamespace(_sock=sock)
    data, end = KafkaTCPTransport._sock_recv(transport)
    return data, end


def test_what_has_come_is_read_in_large_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = pair
    theirs.sendall(SENT)
    counting = Counting(ours)
    assert received(counting) == (SENT, None)
    assert counting.calls <= 3  # 4 KiB at a time it would be 20


def test_nothing_yet_is_no_end(pair: tuple[socket.socket, socket.socket]) -> None:
    assert received(pair[1]) == (b"", None)


def test_the_last_words_come_before_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = pair
    theirs.sendall(b"wrong password")
    theirs.close()
    assert received(ours) == (b"wrong password", None)
    data, end = received(ours)
    assert data == b""
    assert isinstance(end, KafkaConnectionError)
    assert "socket disconnected" in str(end)


@pytest.mark.parametrize("closed", [True, False], ids=["by us", "while it was read"])
def test_a_socket_that_is_closed_has_ended(pair: tuple[socket.socket, socket.socket], *, closed: bool) -> None:
    pair[1].close()
    data, end = received(pair[1] if closed else None)
    assert data == b""
    assert isinstance(end, KafkaConnectionError)
