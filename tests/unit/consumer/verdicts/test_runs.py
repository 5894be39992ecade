"""Verdicts of a run in folder mode, and the images of its files."""

import os
from pathlib import Path

import pytest

from consumer.verdicts.images import FetchedImage, Images, file_of
from consumer.verdicts.reading import Noticed, letters_of_run, verdicts_of_run
from neardup.errors import Misconfigured
from neardup.settings.kafka import KafkaConnection
from tests.support.verdict_lines import duplicate, line, unique

LATE_MS = 4_000_000_000_000


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "verdicts.jsonl"


def test_lines_are_read_in_order(run: Path) -> None:
    run.write_bytes(b"".join(line(document) + b"\n" for document in (unique(0), unique(1), duplicate(2, of=0))))
    noticed = Noticed()
    found = list(verdicts_of_run(run, noticed))
    assert [(each.image_id, str(each.place)) for each in found] == [
        (f"image-{number}", f"{run}, line {number + 1}") for number in range(3)
    ]
    assert noticed == Noticed()


def test_broken_lines_are_counted_and_named_and_the_rest_is_read(run: Path) -> None:
    long = b'{"x":"' + b"x" * (1 << 21) + b'"}'
    lines = [line(unique(0)), b"{", long, b"", line(unique(4)), b"x" * (1 << 20), line(unique(6))[:-1]]
    run.write_bytes(b"\n".join(lines))
    noticed = Noticed()
    assert [each.image_id for each in verdicts_of_run(run, noticed)] == ["image-0", "image-4"]
    assert noticed.broken.count == 5
    assert [text.removeprefix(f"{run}, ").partition(":")[0] for text in noticed.broken.examples] == [
        f"line {number}" for number in (2, 3, 4, 6, 7)
    ]
    assert "longer than 1,048,576 bytes" in noticed.broken.examples[1]


def test_a_last_line_without_an_end_is_read(run: Path) -> None:
    run.write_bytes(line(unique(0)))
    assert len(list(verdicts_of_run(run, Noticed()))) == 1


def test_dead_letters_lie_beside(run: Path) -> None:
    run.touch()
    noticed = Noticed()
    assert list(letters_of_run(run, noticed)) == []
    beside = run.with_name("verdicts.dead.jsonl")
    beside.write_text('{"image_id": "a", "reason": "empty", "detail": ""}\n{"image_id": "b"}\n', "utf-8")
    assert [letter.reason for letter in letters_of_run(run, noticed)] == ["empty"]
    assert noticed.broken.examples == [f"{beside}, line 2: its reason is missing"]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot read .*missing.jsonl: No such file"):
        list(verdicts_of_run(tmp_path / "missing.jsonl", Noticed()))
    with pytest.raises(Misconfigured, match=r"not a regular file; name the file of verdicts"):
        list(verdicts_of_run(tmp_path, Noticed()))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Misconfigured, match="not a regular file"):
        list(verdicts_of_run(tmp_path / "pipe", Noticed()))
    with pytest.raises(Misconfigured, match="embedded null"):
        list(verdicts_of_run(Path("a\0b"), Noticed()))


# Images of files.


def fetched(run: Path, path: Path | None, judged_ms: int = LATE_MS) -> FetchedImage:
    source = {"topic": "files", "partition": 0, "offset": 0, "timestamp": judged_ms}
    run.write_bytes(line(unique(0, source=source, uri=None if path is None else path.as_uri())) + b"\n")
    (told,) = verdicts_of_run(run, Noticed())
    assert file_of(told) == path
    with Images(KafkaConnection(), client_id="test") as images:
        return images.fetch(told)


def test_a_file_is_read(run: Path) -> None:
    path = run.with_name(os.fsdecode(b"a %41 b#c?d \xff.jpg"))
    path.write_bytes(b"pixels")
    assert fetched(run, path) == FetchedImage(data=b"pixels")


def test_a_file_that_is_not_what_was_judged_is_not_given(run: Path) -> None:
    path = run.with_name("a.jpg")
    assert fetched(run, path).gone == "the file cannot be read: No such file or directory"
    path.write_bytes(b"other pixels")
    assert fetched(run, path, judged_ms=1_000_000_000_000).gone == "the file has changed since it was judged"
    path.unlink()
    os.mkfifo(path)
    assert fetched(run, path).gone == "no longer a file"
    assert fetched(run, None).gone == "a frame of a video clip, which is not decoded again"
