"""Records of the verdict topic and the dead-letter topic, as kafka-python gives them, for the live view."""

import json
from dataclasses import dataclass
from typing import Any

from consumer.verdicts.told import ToldLetter, ToldVerdict
from neardup.wire import VERDICT_SCHEMA

VERDICTS, DEAD, IMAGES = "verdicts", "images.dead", "images"


@dataclass(frozen=True)
class Record:
    """What is read of kafka-python's records."""

    topic: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_767_225_600_000
    key: bytes | None = None


def verdict_record(
    image_id: str = "a.jpg",
    duplicate_of: str | None = None,
    distance: float | None = 0.25,
    *,
    headers: tuple[tuple[str, bytes], ...] = (),
    **more: Any,  # noqa: ANN401 - fields of the document
) -> Record:
    """Return a verdict: a duplicate where it is told of what."""
    document = {
        "schema": VERDICT_SCHEMA,
        "image_id": image_id,
        "verdict": "unique" if duplicate_of is None else "duplicate",
        "duplicate_of": duplicate_of,
        "distance": distance,
        "radius": 0.36,
        "symmetry": None if duplicate_of is None else "none",
        "cluster": 0,
        "uri": None,
        "source": {"topic": IMAGES, "partition": 1, "offset": 7, "timestamp": 1_767_225_600_000},
        "member": None if duplicate_of is None else {"key": f"{IMAGES}-0-3", "captured_at": None},
        **more,
    }
    return Record(VERDICTS, json.dumps(document).encode(), headers)


def letter_record(image_id: str = "b.jpg", reason: str = "truncated", detail: str = "it ends") -> Record:
    """Return a dead letter."""
    headers = {"image_id": image_id, "error.reason": reason, "error.detail": detail, "error.source": f"{IMAGES}-0-9"}
    return Record(DEAD, b"bytes", tuple((name, text.encode()) for name, text in headers.items()))


def told(*args: Any, **more: Any) -> ToldVerdict:  # noqa: ANN401 - as `verdict_record`
    """Return the same, read."""
    return ToldVerdict.of_record(verdict_record(*args, **more))


def letter(*args: str) -> ToldLetter:
    """Return a dead letter, read."""
    return ToldLetter.of_record(letter_record(*args))
