"""The live view beside a real consumer on a real Kafka."""

import io
import os
import pty
import secrets
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kafka import TopicPartition
from PIL import Image

from demo.services import KafkaProgram, KafkaServer
from tests.support.processes import DEADLINE_S, ROOT, Program, environment, eventually, get, photo, run, running
from tests.support.stage import SEEDS, Service, Stage, bootstrap, fresh, seed_folder
from tests.support.watched import arguments, events, lines, page, publish_pair

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

ESCAPES = "\x1b]0;owned\x07"


@pytest.fixture(scope="module")
def stage(
    kafka_address: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stage, Service]]:
    name = f"watch-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path_factory.mktemp("watch") / "seeds"), redis_url, name)
    made = Stage(kafka_address, redis_url, name, partitions=2)
    with made.stack, made.service("--decode-workers", "1") as service:
        eventually(service.is_ready, "the consumer")
        yield made, service


def told(program: Program) -> list[str]:
    return [line[9:].rstrip("\n") for line in program.lines]


def test_lines_tell_what_comes_and_the_consumer_notices_nothing(stage: tuple[Stage, Service]) -> None:
    made, service = stage
    restarts = service.metrics()
    with lines(made) as program:
        program.await_line("watching")
        first, copy = publish_pair(made, "lines")
        made.publish(b"garbage", headers=[("image_id", b"broken.jpg")])
        # Of a message without an id the place is told: a publisher's bytes go nowhere else.
        made.publish(photo(0, quality=50), headers=[("image_id", f"evil{ESCAPES}".encode())])
        made.flush()
        program.await_line("broken.jpg: undecodable")
        program.await_line("bad-image-id")
        program.await_line(" sum ")
        members = made.admin.describe_groups([made.group])[made.group]["members"]
        assert len(members) == 1
        assert program.stop(signal.SIGINT) == 0
    text = told(program)
    assert any(line.startswith(f"unique     {first}") for line in text)
    assert any(line.startswith(f"duplicate  {copy} of {first}, 0.0") for line in text)
    assert "\x1b" not in "".join(program.lines)
    total = next(line for line in text if line.startswith("sum"))
    assert "1 unique, 1 duplicate, 2 dead letters (" in total
    eventually(lambda: sum(made.committed().values()) >= made.published.total(), "the commit of the consumer alone")
    rebalances = [key for key in service.metrics() if "restart" in key[0]]
    assert all(service.metrics()[key] == restarts[key] for key in rebalances)


def test_what_was_there_before_is_shown_up_to_last(stage: tuple[Stage, Service]) -> None:
    made, _ = stage
    first, copy = publish_pair(made, "before")
    eventually(lambda: copy.encode() in b"".join(each.value for each in made.verdict_reader.read_to_end()), "verdicts")
    with lines(made, "--last", "100") as program:
        program.await_line(f"duplicate  {copy} of {first}")
        assert program.stop() == 0
    with lines(made, "--last", "0") as program:
        program.await_line("watching")
        assert program.stop() == 0
    assert told(program) == ["watching"]


def test_lines_end_when_nobody_reads_them(stage: tuple[Stage, Service]) -> None:
    made, _ = stage
    process = subprocess.Popen(
        [sys.executable, *arguments(made)], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        publish_pair(made, "nobody")
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.communicate()


def test_a_terminal_is_drawn_on_and_given_back(stage: tuple[Stage, Service]) -> None:
    made, _ = stage
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(  # noqa: S606 - our own command line
            sys.executable,
            [sys.executable, *arguments(made)],
            {**environment(), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        )
    drawn = b""
    code = None
    try:
        first, ended = "", False
        until = time.monotonic() + 2 * DEADLINE_S
        while time.monotonic() < until:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    drawn += os.read(terminal, 65_536)
                except OSError:  # Linux says so that the other side is closed
                    break
            if not first and "● watching".encode() in drawn:
                first, _ = publish_pair(made, "terminal")
            if first and not ended and b"terminal-copy.jpg" in drawn:
                ended = True
                os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
    finally:
        os.close(terminal)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert code == 0
    entered, left = drawn.rfind(b"\x1b[?1049h"), drawn.rfind(b"\x1b[?1049l")
    assert 0 <= entered < left  # the screen that was there before is there again
    assert b"unique" in drawn[left:]
    assert b"Traceback" not in drawn


def test_the_page_is_told_as_it_happens_and_has_the_pictures(stage: tuple[Stage, Service]) -> None:
    made, _ = stage
    with page(made, "--last", "0") as (program, address):
        for seen in events(address):
            if not seen["away"]:
                break
        first, copy = publish_pair(made, "page")
        made.publish(photo(SEEDS - 1, quality=60), headers=[("image_id", b"like-a-seed.jpg")])
        made.flush()
        for seen in events(address):
            if len(seen["pairs"]) == 2:
                break
        pairs = {pair["image"]: pair for pair in seen["pairs"]}
        assert pairs[copy]["member"] == first
        assert 0 < pairs[copy]["distance"] < pairs[copy]["radius"]
        for side in ("image", "member"):
            with urlopened(f"{address}pictures/{pairs[copy]['number']}/{side}") as image:
                assert (image.format, image.size) == ("JPEG", (320, 240))
        seed = f"{address}pictures/{pairs['like-a-seed.jpg']['number']}/member"
        assert get(seed) == (200, f"seed-{SEEDS - 1:02}.jpg came by no message: a seed, or a file")
        for seen in events(address):
            if seen["lag"] == "0":
                break
        assert program.stop(signal.SIGINT) == 0
    assert len(program.lines) == 1


def urlopened(url: str) -> Image.Image:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own http:// address
        return Image.open(io.BytesIO(answer.read()))


def test_pictures_that_the_topic_no_longer_has_are_told(stage: tuple[Stage, Service]) -> None:
    made, _ = stage
    first, copy = publish_pair(made, "gone")
    eventually(lambda: copy.encode() in b"".join(each.value for each in made.verdict_reader.read_to_end()), "verdicts")
    place = TopicPartition(made.images, 0)
    made.admin.delete_records({place: made.published[0] - 1})  # all but the last, the copy
    with page(made) as (_, address):
        pair = next(pair for seen in events(address) for pair in seen["pairs"] if pair["image"] == copy)
        assert pair["member"] == first
        status, text = get(f"{address}pictures/{pair['number']}/member")
        assert (status, text.endswith("is no longer in its topic")) == (200, True)
        with urlopened(f"{address}pictures/{pair['number']}/image") as image:
            assert image.size == (320, 240)


def test_two_pages_do_not_listen_on_one_port(stage: tuple[Stage, Service]) -> None:
    made, _ = stage
    with page(made) as (_, address):
        taken = address.removeprefix("http://").rstrip("/")
        ended = run(arguments(made, "--page", taken))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"watch: --page: cannot listen on {taken}: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_broker_that_goes_and_comes_is_waited_for(
    kafka_program: KafkaProgram, redis_url: str, tmp_path: Path
) -> None:
    name = f"watch-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path / "seeds"), redis_url, name)
    with KafkaServer(kafka_program) as server, ExitStack() as stack:
        made = Stage(server.bootstrap_servers, redis_url, name, partitions=1)
        stack.enter_context(made.stack)
        service = stack.enter_context(made.service("--decode-workers", "1"))
        program = stack.enter_context(lines(made))
        _, address = stack.enter_context(page(made))
        program.await_line("watching")
        eventually(service.is_ready, "the consumer")
        publish_pair(made, "before")
        program.await_line("duplicate  before-copy.jpg")
        server.kill()
        program.await_line("waiting: Kafka is unavailable")
        assert next(seen for seen in events(address) if seen["away"])["state"].startswith("waiting: ")
        server.start()
        program.await_line("watching", 2 * DEADLINE_S)
        made.publish(photo(fresh()), headers=[("image_id", b"after.jpg")])
        made.flush()
        program.await_line("unique     after.jpg", 2 * DEADLINE_S)
        assert next(seen for seen in events(address) if not seen["away"])["state"] == "watching"
        assert program.stop(signal.SIGINT) == 0
        # None is told twice, and none is left out.
        assert [line.split(",")[0] for line in told(program) if line.startswith(("unique", "duplicate"))] == [
            "unique     before.jpg",
            "duplicate  before-copy.jpg of before.jpg",
            "unique     after.jpg",
        ]


def test_it_may_be_ended_while_kafka_is_away() -> None:
    ended = ["-m", "neardup", "watch", "--bootstrap-servers", "127.0.0.1:1"]
    for number in (signal.SIGINT, signal.SIGTERM):
        with running(ended, with_output=True) as program:
            program.await_line("waiting: Kafka is unavailable")
            assert program.stop(number) == 0
        assert len(program.lines) == 1
