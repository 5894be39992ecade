"""Cameras over RTSP, by a server of the system's, to a real Kafka, and what a mask does to the verdicts."""

import signal
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("av", reason="extra cameras is not installed")

import neardup
from consumer.messages import ImageMessage, parse_message
from tests.support.cameras import CLOCK, STILL_WITH_CLOCK, rtsp_camera
from tests.support.processes import eventually, read_topic, running
from tests.support.transports import KafkaRig

pytestmark = pytest.mark.kafka
LOGIN, PASSWORD = "admin", "s3cr3t"


def messages_of(kafka: KafkaRig) -> list[ImageMessage]:
    records = read_topic(kafka.address, kafka.output)
    return [
        ImageMessage(kafka.output, 0, each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
        for each in records
    ]


@pytest.mark.slow
def test_a_camera_that_is_away_at_first_and_goes_again_is_found_again(kafka: KafkaRig, tmp_path: Path) -> None:
    config = tmp_path / "cameras.toml"
    with rtsp_camera(login=LOGIN, password=PASSWORD) as camera:
        camera.off()
        config.write_text(
            f'[[camera]]\nid = "door"\nurl = "rtsp://{LOGIN}:{PASSWORD}@{camera.address}"\nevery = "200ms"\n'
        )
        arguments = ["--cameras", str(config), "--bootstrap-servers", kafka.address, "--topic", kafka.output]
        with running(["-m", "consumer.feed", *arguments]) as feed:
            feed.await_line("camera door at rtsp://127.0.0.1:")
            camera.on()
            eventually(lambda: len(messages_of(kafka)) >= 5, "pictures")
            camera.off()
            feed.await_line("trying again in")
            before = len(messages_of(kafka))
            camera.on()
            eventually(lambda: len(messages_of(kafka)) >= before + 3, "pictures again")
            assert feed.stop(signal.SIGTERM) == 0
        said = "".join(feed.lines)
    messages = messages_of(kafka)
    requests = [parse_message(message) for message in messages]
    assert len({request.image_id for request in requests}) == len(requests)
    times = [request.captured_at_ms for request in requests]
    assert times == sorted(times)
    assert {message.key for message in messages} == {b"door"}
    assert said.count("pictures of 320x240 pixels") == 2
    assert PASSWORD not in said
    assert not [message for message in messages if PASSWORD.encode() in repr((message.key, message.headers)).encode()]


def six_of_each(kafka: KafkaRig) -> bool:
    counts = Counter(message.key for message in messages_of(kafka))
    return counts[b"masked"] >= 6 and counts[b"plain"] >= 6


def uniques(messages: list[ImageMessage]) -> int:
    """Return how many of the pictures are unique by what a camera's profile asks: that nothing changed anywhere."""
    index = neardup.Index(local_change=2.5)
    return sum(index.add(message.value or b"").verdict == "unique" for message in messages)


@pytest.mark.slow
def test_a_clock_under_a_mask_makes_no_picture_new(kafka: KafkaRig, tmp_path: Path) -> None:
    config = tmp_path / "cameras.toml"
    with rtsp_camera(STILL_WITH_CLOCK) as camera:
        tables = [
            f'[[camera]]\nid = "{name}"\nurl = "rtsp://{camera.address}"\nevery = "100ms"\n{mask}\n'
            for name, mask in (("masked", f"mask = [{[0, 0, CLOCK[2] + 8, CLOCK[3] + 8]}]"), ("plain", ""))
        ]
        config.write_text("".join(tables))
        arguments = ["--cameras", str(config), "--bootstrap-servers", kafka.address, "--topic", kafka.output]
        with running(["-m", "consumer.feed", *arguments]) as feed:
            eventually(lambda: six_of_each(kafka), "pictures")
            assert feed.stop(signal.SIGTERM) == 0
    messages = messages_of(kafka)
    masked, plain = ([each for each in messages if each.key == key] for key in (b"masked", b"plain"))
    assert len({each.key for each in messages}) == 2
    # A live stream's first pictures may be coarser than the later ones, so a second one may count as new.
    assert uniques(masked) <= 2 < uniques(plain)
