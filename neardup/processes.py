"""Processes of our own: messages to them, each after its length, and their end with the process that started them."""

import ctypes
import signal
import struct
import sys
from typing import IO

_LENGTH = struct.Struct("<Q")
LENGTH_BYTES = _LENGTH.size
_SET_PARENT_DEATH_SIGNAL = 1


def framed(*messages: bytes) -> list[bytes]:
    """Return what to send for some messages: each after its length."""
    return [part for message in messages for part in (_LENGTH.pack(len(message)), message)]


def length_of(head: bytes | bytearray) -> int:
    """Return how long the message after these `LENGTH_BYTES` is."""
    (size,) = _LENGTH.unpack(head)
    return int(size)


def read_message(stream: IO[bytes]) -> bytes | None:
    """Return the next message; None at the end of the stream, be it in the middle of one."""
    head = stream.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    size = length_of(head)
    message = stream.read(size)
    return message if len(message) == size else None


def die_with_parent() -> None:
    """Have the system kill this process when the one that started it ends, where it can: on Linux."""
    # A process that is busy or hangs sees no end of input.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
