"""Verdicts one by one, and dead letters: of a span of the topic, or of a run in folder mode."""

import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from consumer.verdicts.seen import Seen
from consumer.verdicts.settings import SpanSettings, edge
from consumer.verdicts.told import Broken, LinePlace, NotTold, ToldLetter, ToldVerdict, place_of
from neardup.errors import Misconfigured
from neardup.kafka.reading import Edge, Flags, read_topic
from neardup.tidy.places import Places

_LONGEST_LINE_BYTES = 1 << 20
Told = TypeVar("Told")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Noticed:
    """What a reader of verdicts should be told besides; filled while they are read.

    Attributes
    ----------
    broken
        Records and lines that are no verdicts, or no dead letters: passed over.
    gone
        In a line each, what of the span the topic no longer has.
    repeated
        How many verdicts were a repetition, which is left out.
    """

    broken: Broken = field(default_factory=Broken)
    gone: list[str] = field(default_factory=list)
    repeated: int = 0


def verdicts_of_topic(
    settings: SpanSettings, noticed: Noticed, *, client_id: str, now: Callable[[], datetime] = _now
) -> Iterator[ToldVerdict]:
    """Iterate over the verdicts of a span of the topic, each message's once, up to where the topic ends now.

    They come in the order of each partition.

    Raises
    ------
    KafkaUnavailable
        It may be temporary.
    Misconfigured
        There is no such topic or span, or we may not read it.
    """
    seen = Seen()
    flags = Flags("--verdicts-topic", "--from", "--to")
    edges = edge(settings.since, now()), edge(settings.until, now())
    records = _records(settings, settings.verdicts_topic, edges, flags, noticed, client_id=client_id)
    for told in _read(records, ToldVerdict.of_record, noticed):
        source = told.source
        if seen.add((source.topic, source.partition), source.offset, source.timestamp_ms):
            yield told
        else:
            noticed.repeated += 1


def letters_of_topic(
    settings: SpanSettings,
    topic: str,
    noticed: Noticed,
    *,
    flag: str,
    client_id: str,
    now: Callable[[], datetime] = _now,
) -> Iterator[ToldLetter]:
    """Iterate over the dead letters of the same span of time, in a topic that `flag` names; raises likewise.

    Where the span is one of offsets, all letters are of it: they have offsets of their own.
    """
    flags = Flags(flag, "--from", "--to")
    edges = [edge(given, now()) for given in (settings.since, settings.until)]
    times = [None if isinstance(each, dict) else each for each in edges]
    records = _records(settings, topic, (times[0], times[1]), flags, noticed, client_id=client_id)
    yield from _read(records, ToldLetter.of_record, noticed)


def _records(
    settings: SpanSettings,
    topic: str,
    edges: tuple[Edge, Edge],
    flags: Flags,
    noticed: Noticed,
    *,
    client_id: str,
) -> Iterator[Any]:
    config = {
        **settings.client_config(),
        "client_id": client_id,
        "max_partition_fetch_bytes": settings.max_message_bytes,
    }
    for records in read_topic(config, topic, *edges, flags=flags, tell=noticed.gone.append):
        yield from records


def _read(records: Iterable[Any], read: Callable[[Any], Told], noticed: Noticed) -> Iterator[Told]:
    for record in records:
        try:
            yield read(record)
        except NotTold as exc:
            noticed.broken.add(place_of(record), exc)


def verdicts_of_run(path: Path, noticed: Noticed) -> Iterator[ToldVerdict]:
    """Iterate over the verdicts that a run in folder mode has written.

    Raises
    ------
    Misconfigured
        The file cannot be read.
    """
    return _of_file(path, ToldVerdict.of_line, noticed)


def letters_of_run(path: Path, noticed: Noticed) -> Iterator[ToldLetter]:
    """Iterate over the dead letters that belong to a file of verdicts; a run without any has no such file."""
    letters = Places.beside(path).dead
    return _of_file(letters, ToldLetter.of_line, noticed) if letters.exists() else iter(())


def _of_file(path: Path, read: Callable[[bytes, LinePlace], Told], noticed: Noticed) -> Iterator[Told]:
    for number, line in _lines(path):
        place = LinePlace(path, number)
        try:
            if line is None:
                raise NotTold(f"longer than {_LONGEST_LINE_BYTES:,} bytes")  # noqa: TRY301 - as what is wrong in it
            yield read(line, place)
        except NotTold as exc:
            noticed.broken.add(place, exc)


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Iterate over the lines of a file with their numbers; None stands for one that is far too long."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Misconfigured(f"cannot read {path}: not a regular file; name the file of verdicts of a folder run")
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST_LINE_BYTES):
                number += 1
                whole = line.endswith(b"\n") or len(line) < _LONGEST_LINE_BYTES
                yield number, line if whole else None
                while line and not line.endswith(b"\n"):
                    line = file.readline(_LONGEST_LINE_BYTES)
    except (OSError, ValueError) as exc:
        raise Misconfigured(f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}") from exc
