"""The log: one line per message, and its format."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from consumer.messages import CONTROL

if TYPE_CHECKING:  # the parent of several workers logs, too, and does without what these load
    from consumer.handler import Outcome
    from consumer.metrics import Metrics

_log = logging.getLogger(__name__)
_FIELDS = "fields"


def configure_logging(level: str, stream: TextIO | None = None, *, worker: int | None = None) -> None:
    """Log to a stream (stderr when None): readable on a terminal, one JSON object per line elsewhere.

    Where several workers share a stream, each line says which one wrote it.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TerminalFormatter(worker) if stream.isatty() else JsonFormatter(worker))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Their INFO lines interest only their own developers.
    logging.getLogger("kafka").setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("PIL").setLevel(logging.WARNING)
    # Repeats with a traceback what kafka.net.connection says in a line, at every attempt.
    logging.getLogger("kafka.net.transport").setLevel(logging.CRITICAL)
    # Warns of every task above 0.1 s, and fetching full-size images takes longer.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)


class _Formatter(logging.Formatter):
    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._writer = {} if worker is None else {"worker": worker}


class TerminalFormatter(_Formatter):
    """Time, level, message, and the fields as ``name=value``; control characters cannot reach the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line (and a traceback when there is one)."""
        fields = " ".join(f"{name}={value}" for name, value in {**self._writer, **_fields(record)}.items())
        record.message = CONTROL.sub(" ", f"{record.getMessage()} {fields}".rstrip())
        line = f"{datetime.now(UTC):%H:%M:%S} {record.levelname:<7} {record.message}"
        return f"{line}\n{_indented(self.formatException(record.exc_info))}" if record.exc_info else line


def _indented(traceback: str) -> str:
    """Return a traceback, indented so that it cannot be mistaken for log lines."""
    return "\n".join(f"    {CONTROL.sub(' ', line)}" for line in traceback.split("\n"))


class JsonFormatter(_Formatter):
    """Everything as one JSON object on one line, whatever an image id holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._writer,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, _FIELDS, {})
    return fields


def report_outcomes(outcomes: "Sequence[Outcome]", took_s: Mapping[str, float], metrics: "Metrics") -> None:
    """Count and log the outcomes of a batch, once it is committed, with the seconds of its stages."""
    seconds = {stage: round(elapsed_s, 4) for stage, elapsed_s in took_s.items()}
    for outcome in outcomes:
        what, fields = _told(outcome, metrics)
        message = outcome.message
        place = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
        place |= {} if message.identity is None else {"key": message.identity}
        _log.info(what, extra={_FIELDS: {**place, **fields, "seconds": seconds}})


def report_lookup(document: Mapping[str, Any]) -> None:
    """Log what a look-up found; it is no verdict, and not counted as one."""
    named = ("image_id", "verdict", "distance", "duplicate_of")
    _log.info("lookup", extra={_FIELDS: {name: document[name] for name in named}})


def _told(outcome: "Outcome", metrics: "Metrics") -> tuple[str, dict[str, Any]]:
    """Count an outcome; return what it is, and what there is to say of it."""
    if outcome.error:
        return "dead letter", _describe_error(outcome, metrics)
    if outcome.described:
        metrics.described_images.inc()
        return "described", {"image_id": outcome.described.image_id}
    return "verdict", _describe_verdict(outcome, metrics)


def _describe_error(outcome: "Outcome", metrics: "Metrics") -> dict[str, Any]:
    if outcome.error is None:
        return {}
    metrics.bad_input.labels(outcome.error.reason).inc()
    return {"reason": outcome.error.reason, "detail": str(outcome.error)}


def _describe_verdict(outcome: "Outcome", metrics: "Metrics") -> dict[str, Any]:
    if outcome.judged is None:
        return {}
    decision = outcome.judged.decision
    metrics.images.labels(decision.verdict.value).inc()
    value = outcome.message.value
    metrics.forwarded_bytes.inc(sum(len(sent.value or b"") for sent in outcome.outgoing if sent.value is value))
    if decision.l2_distance is not None:
        metrics.nearest_distance.observe(decision.l2_distance)
    return {
        "image_id": outcome.judged.image_id,
        "verdict": decision.verdict.value,
        "distance": decision.l2_distance,
        "duplicate_of": decision.duplicate_of,
    }
