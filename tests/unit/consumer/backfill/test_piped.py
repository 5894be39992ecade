"""Lists on standard input: as they come, and going on behind any of their lines."""

import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.backfill.entries import Entry, Pause, Refused, Step
from consumer.backfill.lists import PipedList
from consumer.backfill.manifests import LONGEST_LINE_BYTES, Columns
from consumer.backfill.piped import PipedLines
from consumer.feeding.inputs import readable
from consumer.feeding.outages import Stopped
from neardup.errors import Misconfigured
from tests.support.piped import piped_list


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def pipe(tmp_path: Path, opened: ExitStack) -> tuple[Path, int]:
    """Give a named pipe, and a descriptor to write to it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    opened.callback(lambda: os.close(descriptor))
    return path, descriptor


def uris(steps: list[Step]) -> list[str]:
    return [step.uri for step in steps if isinstance(step, Entry)]


def test_it_goes_on_if_it_is_the_same(tmp_path: Path, opened: ExitStack) -> None:
    def listed(text: bytes) -> PipedList:
        (tmp_path / "list").write_bytes(text)
        return opened.enter_context(piped_list(tmp_path / "list"))

    text = b"".join(b"file:///%d.jpg\n" % number for number in range(20))
    steps = [*listed(text).steps(None)]
    assert len(uris(steps)) == len(steps) == 20
    assert [*listed(text).steps(json.loads(json.dumps(steps[9].position)))] == steps[10:]
    for other in (b"x" + text, text[:50], b""):
        with pytest.raises(Misconfigured, match="the first 10 lines on standard input are not those"):
            list(listed(other).steps(steps[9].position))


def test_a_pause_comes_where_the_next_line_is_not_whole_yet(pipe: tuple[Path, int], opened: ExitStack) -> None:
    path, descriptor = pipe
    steps = opened.enter_context(piped_list(path)).steps(None)
    os.write(descriptor, b"/1.jpg\n/2.jpg\n/hal")
    first = [next(steps) for _ in range(3)]
    assert uris(first) == ["file:///1.jpg", "file:///2.jpg"]
    assert isinstance(first[2], Pause)
    os.write(descriptor, b"f.jpg\n/4.jpg\n")
    assert uris([next(steps), next(steps)]) == ["file:///half.jpg", "file:///4.jpg"]
    assert isinstance(next(steps), Pause)


def test_lines_that_were_published_are_passed_over_without_a_pause(pipe: tuple[Path, int], opened: ExitStack) -> None:
    path, descriptor = pipe
    os.write(descriptor, b"/1.jpg\n/2.jpg\n")
    steps = opened.enter_context(piped_list(path)).steps(None)
    second = [next(steps), next(steps)][1]
    os.write(descriptor, b"/1.jpg\n/2.jpg\n/3.jpg\n")
    again = opened.enter_context(piped_list(path)).steps(second.position)
    assert uris([next(again)]) == ["file:///3.jpg"]


def test_who_waits_for_a_line_can_be_stopped(pipe: tuple[Path, int], opened: ExitStack) -> None:
    path, descriptor = pipe
    stop = threading.Event()
    steps = opened.enter_context(piped_list(path, stop)).steps(None)
    os.write(descriptor, b"/1.jpg\n")
    assert uris([next(steps)]) == ["file:///1.jpg"]
    assert isinstance(next(steps), Pause)
    stop.set()
    with pytest.raises(Stopped):
        next(steps)


@given(st.lists(st.sampled_from([b"a", b"bc" * 40, b"\n", b"\n\n", b"\r\n"]), max_size=30), st.integers(1, 50))
def test_lines_are_those_of_any_file(parts: list[bytes], size: int) -> None:
    text = b"".join(parts)
    expected = io.BytesIO(text)
    with TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        lines = PipedLines(file.fileno(), threading.Event())
        while line := expected.readline(size):
            assert lines.is_ready()
            assert lines.readline(size) == line
        assert (lines.is_ready(), lines.readline(size)) == (True, b"")


def test_a_line_that_is_too_long_is_refused_and_the_next_is_read(tmp_path: Path, opened: ExitStack) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"x" * (2 * LONGEST_LINE_BYTES + 5) + b"\n/2.jpg")
    refused, entry = opened.enter_context(piped_list(path)).steps(None)
    assert isinstance(refused, Refused)
    assert refused.why == "it has more than 1,048,576 bytes"
    assert uris([entry]) == ["file:///2.jpg"]


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_no_bytes_in_a_list_are_more_than_a_refusal(lines: list[bytes]) -> None:
    with TemporaryFile() as file:
        file.write(b"\n" * 100 + b"\n".join(lines))
        file.seek(0)
        steps = [*PipedList(PipedLines(file.fileno(), threading.Event()), Columns()).steps(None)]
    assert len(steps) <= sum(line.count(b"\n") + 1 for line in lines) + 1
    for step in steps:
        assert isinstance(step, Entry | Refused)
        if isinstance(step, Entry):
            step.uri.encode()
            assert step.uri.isprintable() or any(ord(character) > 127 for character in step.uri)
        else:
            assert step.why.isascii()


def test_what_cannot_be_read_is_told_in_a_line(tmp_path: Path, opened: ExitStack) -> None:
    for path, flags, why in (("/dev/null", os.O_WRONLY, "Bad file descriptor"), (tmp_path, os.O_RDONLY, "Is a direct")):
        descriptor = os.open(path, flags)
        opened.callback(os.close, descriptor)
        with pytest.raises(Misconfigured, match=f"LISTING: standard input cannot be read: {why}"):
            readable(descriptor, "LISTING")
