"""A backfill on a real Kafka: killed whenever it may be, it publishes each line once; what changes is refused."""

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.feeding import tar_of
from tests.support.processes import DEADLINE_S, Program, TopicReader, eventually, read_topic, run, running
from tests.support.transports import KafkaRig

pytestmark = pytest.mark.kafka

_KILLED_AT = """
import os, signal, sys
from consumer.backfill.progress import ProgressFile
from consumer.transport.numbered import NumberedBatches
from neardup.cli import main

places = {"noted": ("begin", ProgressFile), "half sent": ("_commit", NumberedBatches), "sent": ("end", ProgressFile)}
place, cls = places[sys.argv[1]]
work, left = getattr(cls, place), int(sys.argv[2])

def killed(self, *arguments, **words):
    global left
    left -= 1
    done = work(self, *arguments, **words) if left or place == "begin" else None
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

setattr(cls, place, killed)
sys.exit(main(["backfill", *sys.argv[3:]]))
"""


class Archive:
    """A listing, and the backfills of it."""

    def __init__(self, kafka: KafkaRig, tmp_path: Path) -> None:
        self.kafka = kafka
        self.path = tmp_path / "archive.jsonl"
        self.state = tmp_path / "state.db"
        self.rejects = tmp_path / "rejects.jsonl"
        self.settings = ["--state", str(self.state), "--rejects", str(self.rejects)]
        self.settings += ["--bootstrap-servers", kafka.address, "--topic", kafka.output]

    def write(self, lines: int, refused: int = 0) -> list[str]:
        """Write a list, with lines spread in it that are refused; return the ids of the others."""
        bad = {(number + 1) * lines // (refused + 1) for number in range(refused)}
        with self.path.open("w") as file:
            for number in range(lines):
                uri = f"http://no/{number}" if number in bad else f"s3://bucket/{number}.jpg"
                file.write(json.dumps({"uri": uri, "id": str(number)}) + "\n")
        return [str(number) for number in range(lines) if number not in bad]

    @contextmanager
    def filled(self, *more: str, named: str | None = None) -> Iterator[Program]:
        with running(["-m", "neardup", "backfill", named or str(self.path), *self.settings, *more]) as backfill:
            yield backfill

    def killed(self, place: str, batch: int, *more: str) -> None:
        with running(["-c", _KILLED_AT, place, str(batch), str(self.path), *self.settings, *more]) as backfill:
            assert backfill.wait() == -signal.SIGKILL

    def published(self, *, committed: bool = True) -> Counter[str]:
        records = read_topic(self.kafka.address, self.kafka.output, committed=committed)
        return Counter(dict(record.headers)["image_id"].decode() for record in records)


@pytest.fixture
def archive(kafka: KafkaRig, tmp_path: Path) -> Archive:
    return Archive(kafka, tmp_path)


def test_listings_of_all_kinds_become_claim_checks(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/1 ä.jpg").write_bytes(b"x")
    (tmp_path / "list.csv").write_text("uri,captured_at,id\ns3://bucket/2.jpg,2026-01-01T12:00:00Z,two\nhttp://no/,,\n")
    (tmp_path / "s-0.tar").write_bytes(tar_of({"a.jpg": b"12345", "a.json": b"{}"}))
    named = [str(tmp_path / name) for name in ("folder", "list.csv", "s-{0..0}.tar")]
    answer = run(["-m", "neardup", "backfill", *named, *archive.settings, "--key", "k", "--source", "old"])
    assert answer.returncode == 3
    assert answer.stderr.splitlines() == [
        f"backfill: refused {tmp_path}/list.csv, line 3: 'http://no/': it should begin with file:, https:, s3: or gs:",
        f"backfill: 3 images published to {archive.kafka.output}, 1 line refused",
        "backfill: passed over: *.json (1)",
    ]
    records = read_topic(archive.kafka.address, archive.kafka.output)
    json_header, source = ("content-type", b"application/json"), ("source", b"old")
    told = [(record.key, json.loads(record.value), record.headers) for record in records]
    assert told == [
        (
            b"k",
            {"uri": f"file://{tmp_path}/folder/1%20%C3%A4.jpg"},
            [json_header, source, ("image_id", "1 ä.jpg".encode())],
        ),
        (
            b"k",
            {"uri": "s3://bucket/2.jpg"},
            [json_header, source, ("image_id", b"two"), ("captured_at", b"1767268800000")],
        ),
        (
            b"k",
            {"uri": f"file://{tmp_path}/s-0.tar#bytes=512-516"},
            [json_header, source, ("image_id", b"s-0.tar/a.jpg")],
        ),
    ]
    [line] = archive.rejects.read_text().splitlines()
    assert json.loads(line)["place"] == f"{tmp_path}/list.csv, line 3"
    archive.rejects.unlink()
    again = run(["-m", "neardup", "backfill", *named, *archive.settings])
    assert again.returncode == 3
    assert "all 3 images were published before" in again.stderr
    assert archive.rejects.read_text().splitlines() == [line]
    assert len(read_topic(archive.kafka.address, archive.kafka.output)) == 3


@pytest.mark.parametrize("place", ["noted", "half sent", "sent"])
def test_killed_anywhere_it_publishes_each_line_once(archive: Archive, place: str) -> None:
    wanted = archive.write(3500, refused=5)
    archive.killed(place, 2)
    archive.killed(place, 1)
    with archive.filled() as backfill:
        assert backfill.wait() == 3
        assert any("going on behind" in line for line in backfill.lines) or place == "noted"
        assert backfill.lines[-1] == f"backfill: 3495 images published to {archive.kafka.output}, 5 lines refused\n"
    assert archive.published() == Counter(wanted)
    assert len(archive.rejects.read_text().splitlines()) == 5


def test_without_transactions_a_batch_may_come_twice_under_its_names(archive: Archive) -> None:
    wanted = archive.write(1500)
    archive.killed("sent", 1, "--delivery", "at-least-once")
    with archive.filled("--delivery", "at-least-once") as backfill:
        assert backfill.wait() == 0
    published = archive.published(committed=False)
    assert published == Counter(wanted) + Counter(wanted[:1000])


@pytest.mark.slow
def test_killed_over_and_over_it_publishes_each_line_once(archive: Archive) -> None:
    rng = random.Random(11)  # noqa: S311 - no secret
    lines, kills = (
        int(os.environ.get(name, usual)) for name, usual in (("BACKFILL_LINES", "20000"), ("BACKFILL_KILLS", "3"))
    )
    wanted = archive.write(lines, refused=30)
    reader = TopicReader(archive.kafka.address, archive.kafka.output, committed=False)
    for _ in range(kills):
        with archive.filled("--rate", "8000") as backfill:
            more = reader.end() + rng.randrange(1, lines // (kills + 1))
            eventually(lambda: reader.end() >= more, "some of it")  # noqa: B023 - at once
            backfill.stop(signal.SIGKILL)
    reader.close()
    with archive.filled() as backfill:
        assert backfill.wait(DEADLINE_S + lines / 500) == 3
    assert archive.published() == Counter(wanted)
    assert len(archive.rejects.read_text().splitlines()) == 30


def test_stopped_it_says_so_and_goes_on(archive: Archive) -> None:
    wanted = archive.write(6000)
    with archive.filled("--rate", "100") as backfill:
        eventually(lambda: archive.published().total() >= 20, "some of it")
        assert backfill.stop(signal.SIGTERM) == 130
        assert "backfill: stopped: " in backfill.lines[-1]
    done = archive.published().total()
    assert 0 < done < 6000
    with archive.filled() as backfill:
        assert backfill.wait() == 0
        assert f"going on behind {done} images" in backfill.lines[0]
    assert archive.published() == Counter(wanted)


def test_a_dry_run_needs_no_kafka_and_tells_what_is_left(archive: Archive) -> None:
    wanted = archive.write(3500, refused=1)
    archive.killed("sent", 2)
    nowhere = ("--dry-run", "--bootstrap-servers", "127.0.0.1:1")
    with archive.filled(*nowhere) as backfill:
        assert backfill.wait() == 3
        left = "images would be published to"
        assert backfill.lines[0].startswith("backfill: going on behind 1000 images, says ")
        assert f"2499 {left} {archive.kafka.output}, 1500 if Kafka has the batch" in backfill.lines[-1]
    with archive.filled() as backfill:
        assert backfill.wait() == 3
    assert archive.published() == Counter(wanted)
    with archive.filled(*nowhere) as backfill:
        assert backfill.wait() == 3
        assert "all 3499 images were published before" in backfill.lines[-1]


def test_a_stop_of_a_second_run_says_that_the_command_without_again_goes_on(archive: Archive) -> None:
    wanted = archive.write(3000)
    with archive.filled() as backfill:
        assert backfill.wait() == 0
    with archive.filled("--again", "--rate", "100") as backfill:
        eventually(lambda: archive.published().total() >= 3020, "some of it")
        assert backfill.stop(signal.SIGTERM) == 130
        assert backfill.lines[-1].endswith("; the same command without --again goes on from here\n")
    with archive.filled() as backfill:
        assert backfill.wait() == 0
    assert archive.published() == Counter(wanted * 2)


def test_a_manifest_that_changed_is_refused_until_it_is_asked_for_again(archive: Archive) -> None:
    wanted = archive.write(1500)
    archive.killed("noted", 2)
    with archive.path.open("a") as file:
        file.write('{"uri": "s3://bucket/more.jpg", "id": "more"}\n')
    with archive.filled() as backfill:
        assert backfill.wait() == 2
        assert "archive.jsonl is not what it was when its first images were published" in backfill.lines[-1]
    assert archive.published() == Counter(wanted[:1000])
    with archive.filled("--column", "uri") as backfill:
        assert backfill.wait() == 2
        assert "remembers listings" in backfill.lines[-1]
    with archive.filled("--again") as backfill:
        assert backfill.wait() == 0
    assert archive.published() == Counter([*wanted, "more"]) + Counter(wanted[:1000])
    archive.write(1499)
    with archive.filled() as backfill:
        assert backfill.wait() == 2
        assert "archive.jsonl is not what it was" in backfill.lines[-1]


def test_a_list_on_standard_input_goes_on_and_the_next_is_another(archive: Archive, tmp_path: Path) -> None:
    wanted = archive.write(25_000)
    piped = tmp_path / "piped"
    command = f"exec {sys.executable} -m neardup backfill - {' '.join(archive.settings)}"

    def fill(text: bytes) -> tuple[int, str]:
        piped.write_bytes(text)
        answer = run(
            [
                "-c",
                "import os, sys; os.execvp('sh', ['sh', '-c', sys.argv[1]])",
                f"{command} < {piped}",
            ]
        )
        return answer.returncode, answer.stderr

    whole = archive.path.read_bytes()
    shell = f"{command} --rate 500 < {archive.path}"
    with running(["-c", "import os, sys; os.execvp('sh', ['sh', '-c', sys.argv[1]])", shell]) as backfill:
        eventually(lambda: archive.published().total() >= 100, "some of it")
        backfill.stop(signal.SIGKILL)
    other = fill(b"s3://bucket/0.jpg\n" * 2000)
    assert other[0] == 2
    assert "on standard input are not those that were published" in other[1]
    assert fill(whole)[0] == 0
    assert archive.published() == Counter(wanted)
    assert fill(b'{"uri": "s3://bucket/new.jpg", "id": "new"}\n')[0] == 0
    assert archive.published() == Counter([*wanted, "new"])


def test_lines_of_a_pipe_are_published_as_they_come_and_waiting_for_more_can_be_stopped(
    archive: Archive, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    shell = f"exec {sys.executable} -m neardup backfill - {' '.join(archive.settings)} < {tmp_path}/pipe"
    with (
        running(["-c", "import os, sys; os.execvp('sh', ['sh', '-c', sys.argv[1]])", shell]) as backfill,
        (tmp_path / "pipe").open("wb", buffering=0) as pipe,
    ):
        for number in range(3):
            pipe.write(b"s3://bucket/%d.jpg\n" % number)
            eventually(lambda: archive.published().total() > number, f"line {number}")  # noqa: B023 - called at once
        pipe.write(b"s3://bucket/half")
        assert backfill.stop() == 130
    assert f"backfill: stopped: 3 images published to {archive.kafka.output}" in backfill.lines[-1]


def test_two_at_once_nothing_to_publish_and_no_kafka_are_told_in_a_line(archive: Archive, tmp_path: Path) -> None:
    archive.write(500)
    with archive.filled("--rate", "20") as backfill:
        eventually(lambda: archive.published().total() >= 1, "some of it")
        with archive.filled() as other:
            assert other.wait() == 2
            assert "is in use by another feed" in other.lines[-1]
        assert backfill.stop() == 130
    (tmp_path / "empty").mkdir()
    state = ["--state", str(tmp_path / "other.db")]
    with archive.filled(*state, named=str(tmp_path / "empty")) as backfill:
        assert backfill.wait() == 2
        assert f"no images found in {tmp_path}/empty" in backfill.lines[-1]
    with archive.filled("--rejects", str(tmp_path / "nowhere" / "x")) as backfill:
        assert backfill.wait() == 2
        assert backfill.lines == [f"backfill: --rejects: there is no folder for '{tmp_path}/nowhere/x'\n"]
    with archive.filled("--bootstrap-servers", "127.0.0.1:1") as backfill:
        assert backfill.wait() == 1


_MEASURED = """
import sys
from neardup.cli import main
code = main(["backfill", *sys.argv[1:], "--dry-run"])
with open("/proc/self/status") as status:
    print(next(line for line in status if line.startswith("VmHWM")).split()[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the most memory of a process")
def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    def most_kib(lines: int) -> int:
        path = tmp_path / f"{lines}.csv"
        with path.open("w") as file:
            file.write("uri,id\n")
            file.writelines(f"s3://bucket/{number:09d}/{number:040d}.jpg,{number}\n" for number in range(lines))
        answer = run(["-c", _MEASURED, str(path)])
        assert answer.returncode == 0
        assert f"{lines} images would be published" in answer.stderr
        return int(answer.stderr.splitlines()[-1])

    few, many = most_kib(2000), most_kib(int(os.environ.get("BACKFILL_LINES", "40000")))
    assert many - few < 4096  # of 40,000 lines the text alone has 3 MB
