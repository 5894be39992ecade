"""What the tools for a live index share: how they reach it, what they print, and how they end."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bootstrap.index_settings import RetentionSettings, StatsSettings
from bootstrap.termination import unwound_by_sigterm
from neardup.cli.progress import shown_progress

if TYPE_CHECKING:
    from bootstrap.live.reading import LiveGeneration
    from neardup.index.retention import Retention

EXIT_NO_MEMBER = 4

Document = dict[str, Any]


def client_of(settings: StatsSettings) -> Any:  # noqa: ANN401 - of redis-py
    """Return a client for the Redis that the settings name."""
    from neardup.index.stored.connection import connect  # noqa: PLC0415 - redis-py: not for --help

    return connect(settings.redis_url, settings.redis_password)


def generation_of(settings: StatsSettings) -> "LiveGeneration":
    """Return the live generation of the index that the settings name."""
    from bootstrap.live.reading import LiveGeneration  # noqa: PLC0415 - as above

    return LiveGeneration(client_of(settings), settings.index, shown=shown_progress)


def retention_of(settings: RetentionSettings) -> "Retention":
    """Return which members count for an image, by the settings."""
    from neardup.index.retention import Retention  # noqa: PLC0415 - as above

    return Retention(None if settings.retention_s is None else settings.retention_s * 1000)


@contextmanager
def changing(*, logged: bool = True) -> Iterator[None]:
    """Log on stderr what is changed, and leave nothing half done behind when told to end."""
    if logged:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    with unwound_by_sigterm():
        yield


def written(settings: StatsSettings, document: Document, lines: Callable[[Document], Iterator[str]]) -> int:
    """Print a document, as JSON or as lines, and return the exit code: 4 when it knows of no member of a name."""
    text = json.dumps(document, ensure_ascii=False, indent=2) if settings.as_json else "\n".join(lines(document))
    sys.stdout.write(f"{text}\n" if text else "")
    unknown = document.get("unknown", ())
    if not settings.as_json:
        sys.stderr.writelines(f"no member has the image id or the key {name!r}\n" for name in unknown)
    return EXIT_NO_MEMBER if unknown else 0


def table(pairs: Sequence[tuple[str, object]]) -> Iterator[str]:
    """Iterate over lines of a subject each, and what is said of it."""
    width = max(len(subject) for subject, _ in pairs) + 2
    for subject, text in pairs:
        yield f"{subject:{width}}{text}".rstrip()


def refusal(document: Document) -> Iterator[str]:
    """Iterate over the line that tells why a change would be refused, if it would."""
    if document.get("refusal"):
        yield f"This would be refused with exit code 2: {document['refusal']}"


def decided(decision: Document) -> str:
    """Return a remembered decision in words."""
    of = f" of {decision['duplicate_of']}" if decision["duplicate_of"] is not None else ""
    return f"{decision['verdict']}{of}, by generation {decision['generation']}"


def differing(measured: Document) -> str:
    """Return in words what else was measured of a pair than its distance, to be added to a line."""
    from neardup.relation.edit import told_agreement  # noqa: PLC0415 - numpy: not for --help

    change, agreement = measured["local_change"], measured.get("agreement")
    words = "" if change is None else f", local change {change:.1f}"
    return words if agreement is None else f"{words}, {told_agreement(agreement, measured['agreement_needed'])}"


def kept(previous: Document | None) -> str:
    """Return in words which generation a rollback would make live again."""
    if previous is None:
        return "none"
    left = timedelta(seconds=previous["left_s"])
    return f"generation {previous['generation']}, kept for another {left} for a rollback"


def mebibytes(size: int) -> str:
    """Return a size in bytes in words."""
    return f"{size / 2**20:.1f} MiB"
