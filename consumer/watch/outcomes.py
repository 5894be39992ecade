"""What came of one message, as it is shown: a verdict, a dead letter, or a record that is neither."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumer.verdicts.told import NotTold, RecordPlace, ToldLetter, ToldVerdict, place_of
from consumer.watch.shown import shown
from neardup.types import Symmetry, Verdict

_WORDS = {"mirror": "mirrored", "rotate": "turned by ", "-": ", "}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no verdict, or no dead letter, and why."""

    place: RecordPlace
    why: str


Outcome = ToldVerdict | ToldLetter | Unreadable


def outcome_of(record: Any, *, of_verdicts: bool) -> Outcome:  # noqa: ANN401 - kafka-python has no types
    """Return what a record of the verdict topic says, or of the dead-letter topic."""
    try:
        return ToldVerdict.of_record(record) if of_verdicts else ToldLetter.of_record(record)
    except NotTold as error:
        return Unreadable(place_of(record), str(error))


def done(told: ToldVerdict) -> str:
    """Return what was done to a copy, in words: by the second look if there was one, else by the symmetry."""
    from neardup.relation.edit import Edit  # noqa: PLC0415 - numpy and more: not for --help

    if edit := told.document.get("edit"):
        try:
            return str(Edit(**edit))
        except (ArithmeticError, TypeError, ValueError, LookupError):  # another version's, or nobody's
            return ""
    text = str(told.document.get("symmetry") or Symmetry.NONE)
    if text == Symmetry.NONE:
        return ""
    for name, words in _WORDS.items():
        text = text.replace(name, words)
    return text


def line_of(outcome: Outcome) -> str:
    """Return an outcome in one line that may go to a terminal, after the local time of its record."""
    match outcome:
        case ToldVerdict(verdict=Verdict.UNIQUE):
            text = f"unique     {outcome.image_id}{_apart(outcome)}"
        case ToldVerdict():
            what = done(outcome)
            text = f"duplicate  {outcome.image_id} of {outcome.duplicate_of}{_apart(outcome)}{what and f': {what}'}"
        case ToldLetter():
            text = f"dead       {outcome.image_id}: {outcome.reason}: {outcome.detail}"
        case Unreadable():
            text = f"unreadable {outcome.place}: {outcome.why}"
    return f"{_time_of(outcome)} {shown(text)}"


def _time_of(outcome: Outcome) -> str:
    place = outcome.place
    since_s = place.timestamp_ms / 1000 if isinstance(place, RecordPlace) else 0.0
    try:
        return f"{datetime.fromtimestamp(since_s).astimezone():%H:%M:%S}"
    except (OverflowError, OSError, ValueError):  # a publisher's clock that no calendar has
        return "--:--:--"


def _apart(told: ToldVerdict) -> str:
    return "" if told.distance is None else f", {told.distance:.3f} away"
