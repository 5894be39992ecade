"""The settings that name a span of the verdict topic; commands that read one embed them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from neardup.settings.kafka import KafkaConnection, verdicts_topic_option
from neardup.settings.options import option
from neardup.settings.parsers import duration_or_off, duration_text
from neardup.settings.subjects import TOPICS

_OFFSETS = re.compile(r"\d{1,9}:\d{1,18}(,\d{1,9}:\d{1,18})*")
_WANTED = (
    "it should be a time with its zone (2026-01-31T12:00:00Z), an age (30m, 2h, 7d), or offsets (PARTITION:OFFSET, "
    "and more of them after commas)"
)


@dataclass(frozen=True, slots=True)
class Ago:
    """A moment so many seconds before now."""

    seconds: int

    def __str__(self) -> str:
        """Return it as it is written on a command line, in its largest unit."""
        return f"{duration_text(self.seconds)} ago"


@dataclass(frozen=True, slots=True)
class Offsets:
    """An offset for each partition that is read."""

    by_partition: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        """Return it as it is written on a command line."""
        return ",".join(f"{partition}:{offset}" for partition, offset in self.by_partition)


Moment = datetime | Ago | Offsets


def moment(text: str) -> Moment:
    """Parse where a span begins or ends."""
    if _OFFSETS.fullmatch(text):
        return _offsets(text)
    try:
        age_s = duration_or_off(text.removesuffix("ago").rstrip())
        if age_s is not None:
            return Ago(age_s)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_WANTED) from None
    if time.tzinfo is None:
        raise ValueError(f"the time has no zone; {_WANTED}")
    try:
        return time.astimezone(UTC)
    except OverflowError:  # its zone takes it out of what can be told
        raise ValueError(_WANTED) from None


def _offsets(text: str) -> Offsets:
    pairs = [(int(partition), int(offset)) for partition, offset in (each.split(":") for each in text.split(","))]
    if len(dict(pairs)) < len(pairs):
        raise ValueError("it names a partition twice")
    return Offsets(tuple(pairs))


def edge(given: Moment | None, now: datetime) -> int | dict[int, int] | None:
    """Return a moment as `neardup.kafka.reading` takes it."""
    if given is None:
        return None
    if isinstance(given, Offsets):
        return dict(given.by_partition)
    before_s = given.seconds if isinstance(given, Ago) else 0
    time = now if isinstance(given, Ago) else given
    return max(0, int(1000 * (time.timestamp() - before_s)))


@dataclass(frozen=True, kw_only=True)
class SpanSettings(KafkaConnection):
    """A span of the verdict topic: which topic, from where, and up to where."""

    verdicts_topic: str = verdicts_topic_option()
    since: Moment | None = option(  # noqa: RUF009 - a dataclass field, as all of these
        "--from",
        "where to begin in the verdict topic: a time (2026-01-31T12:00:00Z), an age (2h), or PARTITION:OFFSET,...; "
        "without it, at the oldest verdict",
        None,
        moment,
        subject=TOPICS,
        common=True,
        env="",
    )
    until: Moment | None = option(  # noqa: RUF009 - as above
        "--to",
        "where to end in it, likewise; what is there itself is left out; without it, where the topic ends now",
        None,
        moment,
        subject=TOPICS,
        common=True,
        env="",
    )
