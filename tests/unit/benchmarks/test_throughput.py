"""The arithmetic of `make bench`: what is needed, what is left, what is in one group, what goes through a socket."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.throughput import inside
from benchmarks.throughput.builds import unpacked
from benchmarks.throughput.ceiling import reached
from benchmarks.throughput.counts import BASELINE, TOLERANCES, grown
from benchmarks.throughput.end_to_end import Run
from benchmarks.throughput.images import SIZES, copy_of, drawn_photos, write_images
from benchmarks.throughput.peers import scored
from benchmarks.throughput.processes import cpu_s, memory_mib, tree
from benchmarks.throughput.running import Mark
from benchmarks.throughput.sizing import BUSY, Costs, Load, need
from benchmarks.throughput.stages import DECODERS, LIBRARIES, by_stage

RESULTS = Path(__file__).parents[3] / "benchmarks/results/throughput.json"
COSTS = Costs(images_s=100, consumer_ms=9, servers_ms=1, member_bytes=1000, decision_bytes=500)


def test_need_grows_with_the_load() -> None:
    # 60 images a second take 60 * 10 ms of a second; a consumer is planned for 60 of its 100 images.
    assert need(Load(60, 1.0, 1.0, 0.0), COSTS).cores == 1
    assert need(Load(61, 1.0, 1.0, 0.0), COSTS).cores == 2
    assert need(Load(60, 1.0, 1.0, 0.0), COSTS).consumers == 1
    assert need(Load(60, 2.0, 1.0, 0.0), COSTS).consumers == 2
    assert need(Load(60, 2.0, 1.0, 0.0), COSTS).partitions == 4


def test_redis_holds_members_of_all_days_and_decisions_of_two_hours() -> None:
    held = need(Load(10, 1.0, 0.5, 2.0), COSTS).redis_gib * 2**30
    assert held == pytest.approx(10 * 0.5 * 2 * 86_400 * 1000 + 10 * 7200 * 500)


@pytest.mark.parametrize("case", ["dct, photos", "scraper, photos"])
def test_need_of_what_was_measured_is_enough(case: str) -> None:
    figures = json.loads(RESULTS.read_text("utf-8"))["end-to-end"][case]["this"]
    load = Load(100, 1.0, 0.1, 30)
    needed = need(load, Costs.measured(figures))
    cpu_ms = figures["cpu_ms"] + figures["kafka_ms"] + figures["redis_ms"]
    assert needed.cores * BUSY >= load.images_s * cpu_ms / 1000
    assert needed.consumers * BUSY * figures["images_s"] >= load.images_s
    assert needed.redis_gib * 2**30 > load.images_s * load.unique * load.days * 86_400 * figures["member_bytes"]


def test_what_others_took_of_the_cores_is_not_left() -> None:
    whole = Run(100.0, 9.0, 4.0, 1.0, 5.0, 1.0, 0, (0.0, 0.0, 0.0), 0.0, 0.0)
    found = reached(400.0, 2, whole)
    assert found["kafka_cores"] == pytest.approx(0.4)
    assert found["left_images_s"] == pytest.approx(200.0)
    assert found["share_of_left"] == pytest.approx(0.5)


def test_copies_are_of_earlier_images_that_are_no_copies() -> None:
    copies = {number: original for number in range(100) if (original := copy_of(number)) is not None}
    assert len(copies) == 25
    assert all(original < number and copy_of(original) is None for number, original in copies.items())


def test_groups_are_scored() -> None:
    groups = [0, 1, 2, 1, 4, 5, 6, 7]  # 3 is a copy of 1, and found; 7 of 5, and missed
    assert scored(groups) == {"copies_found": 0.5, "among_strangers": 0.0}
    assert scored([0] * 8) == {"copies_found": 1.0, "among_strangers": 1.0}


def test_no_two_images_of_a_stream_are_the_same(tmp_path: Path) -> None:
    files = write_images(drawn_photos(), SIZES[0], 700, tmp_path)
    assert len({hashlib.sha256(file.read_bytes()).digest() for file in files}) == 700


def test_a_large_image_has_its_size_and_comes_again(tmp_path: Path) -> None:
    size = SIZES[1]
    files = write_images(drawn_photos(), type(size)("few", (192, 108), 3, 1.0, 1), 5, tmp_path)
    assert [file.name for file in files] == ["0000000.jpg", "0000001.jpg", "0000002.jpg", "0000000.jpg", "0000001.jpg"]


def test_the_cpu_time_of_a_process_grows_with_its_work() -> None:
    child = subprocess.Popen([sys.executable, "-c", "sum(range(10**7)); input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in tree(os.getpid())
        assert memory_mib(os.getpid()) > memory_mib(child.pid) > 1
        before = cpu_s(os.getpid())
    finally:
        child.communicate(b"\n")
    # It has ended, and what it used has come to us.
    assert cpu_s(os.getpid()) >= before > 0


def test_a_commit_that_is_not_there_is_named() -> None:
    with pytest.raises(SystemExit, match="no commit nowhere"), unpacked("nowhere"):
        pass


def frame(kind: int, size: int) -> bytes:
    return (size + 2).to_bytes(4, "big") + kind.to_bytes(2, "big") + bytes(size)


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_requests_are_counted_however_they_are_cut(step: int) -> None:
    seen: Counter[int] = Counter()
    frames, stream = inside.Frames(seen), frame(0, 50) + frame(1, 0) + frame(1, 9) + frame(26, 3)
    for start in range(0, len(stream), step):
        frames.take(stream[start : start + step])
    assert seen == {0: 1, 1: 2, 26: 1}


def test_a_counting_socket_counts_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = inside.Counts({})
    monkeypatch.setattr(inside.CountingSocket, "counts", counts)
    monkeypatch.setattr(socket, "socket", inside.CountingSocket)
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as stream:
        ours.sendall(b"12345")
        assert stream.read(5) == b"12345"
        theirs.send(memoryview(b"123"))
        assert ours.recv(10) == b"123"
    assert counts.sent == {inside.PAIR: 8}
    assert counts.received == {inside.PAIR: 8}


def test_the_innermost_package_says_what_is_done() -> None:
    def look() -> str:
        return inside.room_of(sys._getframe())

    def within(name: str) -> str:
        scope: dict[str, object] = {"__name__": name, "look": look}
        exec("def call(): return look()", scope)  # noqa: S102 - a function of another module
        return scope["call"]()  # type: ignore[operator, no-any-return]

    assert within("neardup.index.redis") == "index"
    assert within("redis.client") == "Redis client"
    assert within("redistribution") == inside.OTHER


def test_stages_are_what_was_used_between_two_moments() -> None:
    def note(at: float, decide: float, process: float) -> dict[str, object]:
        return {"at": at, "rooms": {"index": decide}, "process": process, "watch": 0.0}

    def mark(at: float, verdicts: int, consumer: float) -> Mark:
        return Mark(at, verdicts, consumer, 0.0, 0.0, 0.0, 0.0)

    notes = [note(0.0, 0.0, 0.0), note(1.0, 1.0, 2.0), note(2.0, 3.0, 5.0), note(9.0, 9.0, 9.0)]
    found = by_stage(notes, mark(1.04, 100, 10.0), mark(1.98, 200, 20.0))
    assert found == {DECODERS: 70.0, "index": 20.0, LIBRARIES: 10.0}


def test_only_what_is_above_its_tolerance_has_grown() -> None:
    name = "redis_bytes_sent"
    limit = 100 * (1 + TOLERANCES[name][0])
    assert grown({name: limit}, {name: 100}) == {}
    assert grown({name: 1.0}, {name: 100}) == {}
    assert grown({name: limit + 1}, {name: 100}) == {name: (limit + 1) / 100}


def test_each_count_of_the_baseline_has_a_tolerance() -> None:
    counts = json.loads(BASELINE.read_text("utf-8"))["counts"]
    assert {name for each in counts.values() for name in each} == set(TOLERANCES)
