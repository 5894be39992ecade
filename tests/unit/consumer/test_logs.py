"""The log: one line a message, whatever is in it."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from consumer.handler import Outcome
from consumer.logs import configure_logging, report_outcomes
from consumer.messages import ImageMessage, OutgoingMessage
from consumer.metrics import Metrics
from neardup.errors import UndecodableImage
from neardup.index.base import IndexMeta
from neardup.types import Decision, Verdict
from neardup.wire import Judged

META = IndexMeta(name="default", generation=3, descriptor="dct", fingerprint="dct-1", dimension=4, radius=0.2)
NASTY = 'a"b\\ \x1b[31m\n{"level": "error"}\r\u2028\x00 ä'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    kept = {
        name: logging.getLogger(name).level for name in ("kafka", "PIL", "kafka.net.selector", "kafka.net.transport")
    }
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in kept.items():
        logging.getLogger(name).setLevel(before)


def message(offset: int = 7) -> ImageMessage:
    return ImageMessage("images", 2, offset, 0, None, b"image bytes")


def judged(image_id: str = "camera/1", duplicate_of: str | None = None, l2_distance: float | None = 0.5) -> Outcome:
    verdict = Verdict.DUPLICATE if duplicate_of else Verdict.UNIQUE
    decision = Decision(verdict, duplicate_of, l2_distance, 0, 3)
    letter = OutgoingMessage("verdicts", None, b"", ())
    return Outcome(message(), (letter,), judged=Judged(message(), image_id, 0, decision, META, datetime.now(UTC)))


def bad(detail: str) -> Outcome:
    return Outcome(message(8), (OutgoingMessage("dead", None, b"", ()),), error=UndecodableImage(detail))


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]


def fail(text: str) -> None:
    logging.getLogger("elsewhere").error("failed", exc_info=ZeroDivisionError(text))


def test_a_message_is_one_line_with_all_that_matters() -> None:
    stream, metrics = io.StringIO(), Metrics()
    configure_logging("INFO", stream)
    report_outcomes([judged(duplicate_of="seed"), bad("no image")], {"decode": 0.123456}, metrics)
    verdict, letter = lines_of(stream)
    assert verdict.pop("seconds") == {"decode": 0.1235}
    assert datetime.fromisoformat(verdict.pop("time")).tzinfo is not None
    assert verdict == {
        "level": "info",
        "logger": "consumer.logs",
        "message": "verdict",
        "topic": "images",
        "partition": 2,
        "offset": 7,
        "image_id": "camera/1",
        "verdict": "duplicate",
        "distance": 0.5,
        "duplicate_of": "seed",
    }
    assert (letter["message"], letter["offset"]) == ("dead letter", 8)
    assert (letter["reason"], letter["detail"]) == ("undecodable", "no image")
    assert "image bytes" not in stream.getvalue()


def test_what_is_logged_is_counted() -> None:
    metrics = Metrics()
    report_outcomes([judged(), judged(duplicate_of="seed"), judged(l2_distance=None), bad("x")], {}, metrics)
    value = metrics.registry.get_sample_value
    assert value("neardup_images_total", {"verdict": "unique"}) == 2
    assert value("neardup_images_total", {"verdict": "duplicate"}) == 1
    assert value("neardup_bad_input_total", {"reason": "undecodable"}) == 1
    assert value("neardup_nearest_distance_count") == 2
    assert value("neardup_nearest_distance_sum") == 1.0


def test_bytes_of_images_that_go_on_are_counted() -> None:
    metrics, outcome = Metrics(), judged()
    report_outcomes([outcome, bad("x")], {}, metrics)
    value = metrics.registry.get_sample_value
    assert value("neardup_forwarded_bytes_total") == 0
    goes_on = OutgoingMessage("uniques", None, outcome.message.value, ())
    report_outcomes([replace(outcome, outgoing=(*outcome.outgoing, goes_on))], {}, metrics)
    assert value("neardup_forwarded_bytes_total") == len(b"image bytes")


def test_json_stays_one_line_whatever_others_wrote() -> None:
    stream = io.StringIO()
    configure_logging("INFO", stream)
    report_outcomes([judged(image_id=NASTY, duplicate_of=NASTY), bad(NASTY)], {}, Metrics())
    logging.getLogger("elsewhere").warning("said: %s", NASTY)
    verdict, letter, other = lines_of(stream)
    assert (verdict["image_id"], verdict["duplicate_of"], letter["detail"]) == (NASTY, NASTY, NASTY)
    assert other["message"] == f"said: {NASTY}"
    assert stream.getvalue().isascii()


def test_a_terminal_gets_text_that_cannot_steer_it() -> None:
    stream = Terminal()
    configure_logging("INFO", stream)
    report_outcomes([judged(image_id=NASTY), bad(NASTY)], {}, Metrics())
    lines = stream.getvalue().split("\n")
    assert len(lines) == 3
    assert "\x1b" not in stream.getvalue()
    assert "INFO    verdict topic=images partition=2 offset=7 image_id=a" in lines[0]
    assert "dead letter" in lines[1]
    assert "reason=undecodable" in lines[1]


def test_an_exception_is_told_with_its_traceback() -> None:
    for stream in (io.StringIO(), Terminal()):
        configure_logging("INFO", stream)
        fail("by nothing")
        assert "ZeroDivisionError" in stream.getvalue()
        assert "by nothing" in stream.getvalue()


def test_json_keeps_even_a_traceback_in_one_line() -> None:
    stream = io.StringIO()
    configure_logging("INFO", stream)
    fail(NASTY)
    (line,) = lines_of(stream)
    assert line["level"] == "error"
    assert "ZeroDivisionError" in line["exception"]


def test_a_traceback_on_a_terminal_cannot_pass_for_lines_of_the_log() -> None:
    stream = Terminal()
    configure_logging("INFO", stream)
    fail("by\n12:00:00 INFO    verdict image_id=forged\x1b[2J")
    first, *others = stream.getvalue().rstrip("\n").split("\n")
    assert first.endswith("failed")
    assert any("forged" in line for line in others)
    assert all(line.startswith("    ") for line in others)
    assert "\x1b" not in stream.getvalue()


def test_the_level_leaves_out_what_is_below_it() -> None:
    stream = io.StringIO()
    configure_logging("WARNING", stream)
    report_outcomes([judged()], {}, Metrics())
    assert stream.getvalue() == ""


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_other_peoples_chatter_is_left_out(level: str) -> None:
    stream = io.StringIO()
    configure_logging(level, stream)
    logging.getLogger("kafka.consumer.group").info("chatter")
    logging.getLogger("PIL.PngImagePlugin").debug("chatter")
    assert stream.getvalue() == ""
    logging.getLogger("kafka.consumer.group").warning("serious")
    assert "serious" in stream.getvalue()


def test_warnings_are_log_lines() -> None:
    stream = io.StringIO()
    configure_logging("INFO", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("mind the gap", stacklevel=1)
    (line,) = lines_of(stream)
    assert "mind the gap" in line["message"]


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_where_several_workers_share_a_stream_each_line_says_whose_it_is(stream: io.StringIO) -> None:
    configure_logging("INFO", stream, worker=2)
    logging.getLogger("consumer").info("a line")
    line = stream.getvalue()
    if stream.isatty():
        assert line.endswith("a line worker=2\n")
    else:
        assert json.loads(line)["worker"] == 2
