"""What is wrong on our side: a descriptor that raises, a disk that is full."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from PIL import Image

from neardup.index.stored.keys import IndexKeys
from tests.support.harness import audit, verdict_of
from tests.support.processes import eventually, photo, run, running
from tests.support.raising import SAID
from tests.support.stage import Stage, fresh, seed_folder

FULL_DISK = Path("/dev/full")


@pytest.fixture
def stage(make_stage: Callable[[int], Stage]) -> Stage:
    return make_stage(1)


def white() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (160, 120), "white").save(buffer, "JPEG")
    return buffer.getvalue()


def raising(stage: Stage, what: str) -> list[str]:
    """Return the command line of a consumer whose descriptor raises for white images."""
    _, _, *arguments = stage.arguments()
    return ["-m", "tests.support.raising", what, *arguments]


@pytest.mark.kafka
@pytest.mark.redis
def test_an_error_that_nobody_foresaw_ends_the_consumer_with_nothing_published(stage: Stage) -> None:
    places = [stage.publish(photo(fresh())), stage.publish(white()), stage.publish(photo(fresh()))]
    stage.flush()
    with running(raising(stage, "defect")) as program:
        assert program.wait() == 3
    (line,) = [line for line in program.lines if line.startswith("consumer: ")]
    assert f"RuntimeError: {SAID}" in line
    assert stage.committed() == {}
    assert stage.documents() == {}
    # Mended, it begins where it was.
    with stage.service() as service:
        stage.await_outcomes()
        eventually(lambda: stage.committed() == stage.published, "the commit")
        assert service.program.stop() == 0
    audit(stage)
    assert {verdict_of(stage, place) for place in places} == {"unique"}


@pytest.mark.kafka
@pytest.mark.redis
def test_a_descriptor_that_refuses_an_image_makes_a_dead_letter_of_that_image(stage: Stage) -> None:
    good = [stage.publish(photo(fresh())), stage.publish(photo(fresh()))]
    bad = stage.publish(white())
    good.append(stage.publish(photo(fresh())))
    stage.flush()
    with running(raising(stage, "bad-input")) as program:
        stage.await_outcomes()
        eventually(lambda: stage.committed() == stage.published, "the commit")
        assert program.stop() == 0
    audit(stage)
    assert {verdict_of(stage, place) for place in good} == {"unique"}
    (letter,) = stage.dead_reader.read_to_end()
    headers = dict(letter.headers)
    assert headers["error.source"].decode() == bad
    assert headers["error.reason"] == b"undescribable"
    assert SAID in headers["error.detail"].decode()


@pytest.mark.redis
@pytest.mark.skipif(not FULL_DISK.exists(), reason="a full disk is had from /dev/full, which only Linux has")
def test_a_report_on_a_full_disk_leaves_the_live_index_alone(redis_url: str, index: str, tmp_path: Path) -> None:
    seeds = seed_folder(tmp_path / "seeds")
    (tmp_path / "clusters.png").symlink_to(FULL_DISK)

    def stored() -> dict[bytes, bytes]:
        with redis.Redis.from_url(redis_url) as client:
            keys = list(client.scan_iter(match=IndexKeys(index).pattern))
            # The counter of generations moves on: a number that was given out once is not given out again.
            return {key: client.dump(key) for key in keys if not key.endswith((b":last", b":log"))}

    before = stored()
    arguments = [str(seeds), "--redis", redis_url, "--index", index, "--clusters", "2", "--report", str(tmp_path)]
    ended = run(["-m", "bootstrap", *arguments])
    assert ended.returncode == 2
    assert f"--report: cannot write {tmp_path / 'clusters.png'}: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert stored() == before
