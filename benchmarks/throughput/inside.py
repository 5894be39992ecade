"""Run a build's consumer, and note what happens inside it; a program on its own, as it runs with any build's files.

    python -P inside.py NOTES NAME=PORT,... CONSUMER'S ARGUMENTS

A thread looks every few milliseconds at what each other thread is doing, and adds the CPU time that the thread has used
since to the room that it is in. All sockets count: those of the named ports, and pairs of sockets, by which decoding
processes are asked. A line of JSON goes to NOTES several times a second.
"""

import json
import os
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType

LOOK_S = 0.004
NOTE_S = 0.1
ROOMS = (
    ("redis", "Redis client"),
    ("kafka", "Kafka client"),
    ("neardup.kafka", "Kafka client"),
    ("consumer.transport", "Kafka client"),
    ("neardup.index", "index"),
    ("neardup.search", "index"),
    ("neardup.descriptors", "describe"),
    ("neardup.relation", "describe"),
    ("neardup.decoding", "asking decoders"),
    # Where these were in builds before.
    ("neardup.decode", "asking decoders"),
    ("neardup.decode_pool", "asking decoders"),
    ("neardup.describing", "describe"),
    ("neardup.cells", "index"),
    ("neardup.distance", "index"),
    ("neardup.filter", "index"),
    ("neardup.kafka_client", "Kafka client"),
    ("neardup", "messages and loop"),
    ("consumer", "messages and loop"),
)
"""A package, and what is done there; the innermost frame that is in one of them counts."""
OTHER = "other"
PAIR = "decoders"


class Counts:
    """Bytes by who is at the other end, and requests to Kafka by the number of their kind."""

    def __init__(self, ports: dict[int, str]) -> None:
        self.ports = ports
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()


class CountingSocket(socket.socket):
    """A socket that counts what goes through it."""

    counts = Counts({})

    def _other_end(self) -> str | None:
        name = self.__dict__.get("_name")
        if name is None:
            try:
                pair = self.family == socket.AF_UNIX
                name = PAIR if pair else self.counts.ports.get(self.getpeername()[1])
            except OSError:  # not connected yet
                return None
            self.__dict__["_name"] = name = name or OTHER
            self.__dict__["_frames"] = Frames(self.counts.requests) if name == "kafka" else None
        return name

    def _sent(self, data: "bytes | memoryview", size: int) -> None:
        if name := self._other_end():
            self.counts.sent[name] += size
            if frames := self.__dict__["_frames"]:
                frames.take(bytes(memoryview(data)[:size]))

    def _received(self, size: int) -> None:
        if name := self._other_end():
            self.counts.received[name] += size

    def send(self, data, *more):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN201, D102
        size = super().send(data, *more)
        self._sent(data, size)
        return size

    def sendall(self, data, *more):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN201, D102
        super().sendall(data, *more)
        self._sent(data, len(data))

    def sendmsg(self, buffers, *more):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN201, D102
        buffers = list(buffers)
        size = super().sendmsg(buffers, *more)
        self._sent(b"".join(map(bytes, buffers)), size)
        return size

    def recv(self, *how):  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN201, D102
        data = super().recv(*how)
        self._received(len(data))
        return data

    def recv_into(self, *how):  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN201, D102
        size = super().recv_into(*how)
        self._received(size)
        return size


class Frames:
    """Tells where requests begin in what is sent to Kafka: each has its length first, then the number of its kind."""

    def __init__(self, seen: "Counter[int]") -> None:
        self._seen = seen
        self._head = b""
        self._left = 0

    def take(self, data: bytes) -> None:
        """Take the next bytes that were sent."""
        while data:
            if self._left:
                passed = min(self._left, len(data))
                self._left -= passed
                data = data[passed:]
                continue
            wanted = 6 - len(self._head)
            self._head, data = self._head + data[:wanted], data[wanted:]
            if len(self._head) == 6:
                self._seen[int.from_bytes(self._head[4:], "big")] += 1
                self._left = int.from_bytes(self._head[:4], "big") - 2
                self._head = b""


class Watch:
    """Adds up the CPU seconds of all threads by the room that they are in."""

    def __init__(self, notes: Path, counts: Counts) -> None:
        self._notes = notes
        self._counts = counts
        self._rooms: dict[str, float] = defaultdict(float)
        self._used: dict[int, float] = {}
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Write the last note."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        due = 0.0
        with self._notes.open("w") as into:
            while not self._ended.wait(LOOK_S):
                self._look()
                if time.perf_counter() >= due:
                    into.write(self._note())
                    into.flush()
                    due = time.perf_counter() + NOTE_S
            into.write(self._note())

    def _look(self) -> None:
        frames, mine = sys._current_frames(), threading.get_ident()  # noqa: SLF001 - there is no other way to them
        for thread in threading.enumerate():
            ident = thread.ident
            if ident is None or ident == mine or ident not in frames:
                continue
            try:
                used = time.clock_gettime(cpu_clock(thread.native_id or 0))
            except OSError:  # it has ended meanwhile
                continue
            spent = used - self._used.get(ident, 0.0)
            self._used[ident] = used
            if spent > 0:
                self._rooms[room_of(frames[ident])] += spent

    def _note(self) -> str:
        return (
            json.dumps(
                {
                    "at": time.perf_counter(),
                    "rooms": self._rooms,
                    "watch": time.thread_time(),
                    "process": time.process_time(),
                    "sent": self._counts.sent,
                    "received": self._counts.received,
                    "requests": self._counts.requests,
                }
            )
            + "\n"
        )


def cpu_clock(native_id: int) -> int:
    """Return the clock of a thread's CPU time, as Linux numbers them; unlike pthread's way safe for one that ended."""
    return ~native_id << 3 | 6


def room_of(frame: FrameType | None) -> str:
    """Return the room of the innermost frame that is in one."""
    while frame is not None:
        module = f"{frame.f_globals.get('__name__')}."
        for package, room in ROOMS:
            if module.startswith(f"{package}."):
                return room
        frame = frame.f_back
    return OTHER


def main() -> int:
    """Run the consumer, watched."""
    notes, ports, *arguments = sys.argv[1:]
    counts = Counts({int(port): name for name, _, port in (each.partition("=") for each in ports.split(",") if each)})
    CountingSocket.counts = counts
    socket.socket = CountingSocket  # type: ignore[misc]
    from consumer.__main__ import main as consume  # noqa: PLC0415 - after sockets count

    watch = Watch(Path(notes), counts)
    watch.start()
    try:
        return consume(arguments, os.environ)
    finally:
        watch.end()


if __name__ == "__main__":
    sys.exit(main())
