"""A message with a decision on its image, made up."""

from datetime import UTC, datetime

from consumer.messages import ImageMessage
from neardup.index.base import IndexMeta
from neardup.types import Decision
from neardup.wire import Judged

SENT_MS = 1_767_225_600_000


def judged_message(decision: Decision, meta: IndexMeta) -> Judged:
    """Return a message of the first moment of 2026."""
    message = ImageMessage("images", 0, 7, SENT_MS, b"key", b"image")
    return Judged(message, "image-7", SENT_MS, decision, meta, datetime(2026, 1, 1, tzinfo=UTC))
