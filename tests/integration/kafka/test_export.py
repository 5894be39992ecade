"""Exports of a real verdict topic, with the images that are still in the image topic."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition

from neardup.cli import main
from tests.support.processes import photo
from tests.support.transports import KafkaRig, Sent
from tests.support.verdict_lines import duplicate, line, unique

pytestmark = pytest.mark.kafka

SENT_MS = 1_767_225_600_000
URI = "s3://bucket/a b.jpg"
PER_PARTITION = 30


@pytest.fixture
def topic(kafka: KafkaRig, kafka_producer: KafkaProducer) -> str:
    """Fill the image topic, and a topic of its verdicts, one in ten on a duplicate; return the latter's name."""
    count = 2 * PER_PARTITION
    kafka.write([Sent(photo(number, size=(40, 30)), number % 2, timestamp_ms=SENT_MS) for number in range(count)])
    for number in range(count):
        source = {"topic": kafka.images, "partition": number % 2, "offset": number // 2, "timestamp": SENT_MS}
        told = duplicate(number, of=0) if number % 10 == 5 else unique(number)
        document = {**told, "source": source, "image_id": f"../{number}", "uri": URI if number == 7 else None}
        kafka_producer.send(kafka.output, line(document), partition=0)
    kafka_producer.flush(30)
    return kafka.output


Export = Callable[..., int]


@pytest.fixture
def export(kafka: KafkaRig, topic: str, tmp_path: Path) -> Export:
    """Give what exports the topic to a file, and returns the exit code."""

    def made(form: str, *more: str) -> int:
        kafka_is = ["--bootstrap-servers", kafka.address, "--verdicts-topic", topic]
        return main(["export", *kafka_is, "--format", form, "--output", str(tmp_path / "out"), *more], {})

    return made


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text("utf-8").splitlines()]


def test_a_table_of_a_span(export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("jsonl", "--which", "all") == 0
    rows = lines_of(tmp_path / "out")
    assert [row["image_id"] for row in rows] == [f"../{number}" for number in range(60)]
    assert [row["image"] for row in rows if row["image"]] == [URI]
    assert rows[5]["group"] == "images-0-0"
    assert capsys.readouterr() == (f"60 images (6 duplicate, 54 unique) -> {tmp_path / 'out'}\n", "")
    assert export("jsonl", "--from", "0:10", "--to", "0:14") == 0
    assert [row["image_id"] for row in lines_of(tmp_path / "out")] == ["../10", "../11", "../12", "../13"]


def test_the_images_of_a_span(
    kafka: KafkaRig, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    kafka.admin.delete_records({TopicPartition(kafka.images, 0): 3})
    assert export("coco", "--images", str(folder), "--which", "all") == 3
    images = json.loads((tmp_path / "out").read_text("utf-8"))["images"]
    assert len(images) == 57
    assert {(image.get("width"), image.get("height")) for image in images} == {(40, 30), (None, None)}
    assert [image["coco_url"] for image in images if "coco_url" in image] == [URI]
    # Each is the image of its own message, in whatever order they were fetched.
    for image in images:
        number = int(image["neardup"]["image_id"].removeprefix("../"))
        if number != 7:
            assert image["file_name"] == f"{kafka.images}-{number % 2}-{number // 2}.jpg"
            assert (folder / image["file_name"]).read_bytes() == photo(number, size=(40, 30))
    assert len(list(folder.iterdir())) == 56
    said = capsys.readouterr().err
    assert said.startswith("3 images are left out, as there is no file or URI to name them by:\n")
    assert f"  ../0: {kafka.images}-0-0 is no longer in its topic\n" in said


def test_tools_need_images(export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("labelstudio") == 3
    (task,) = json.loads((tmp_path / "out").read_text("utf-8"))
    assert task["data"]["image"] == URI
    assert "../0: its message carries it: --images DIR writes it to a file" in capsys.readouterr().err
    (tmp_path / "out").unlink()
    assert export("fiftyone", "--from", "0:0", "--to", "0:1") == 2
    assert "no image can be named" in capsys.readouterr().err


def test_a_topic_that_is_not_there(export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert export("csv", "--from", "9:0") == 2
    assert "has no partition 9" in capsys.readouterr().err
    assert export("csv", "--verdicts", "no-such-topic") == 2
    assert (tmp_path / "out").read_text() == "mine"
