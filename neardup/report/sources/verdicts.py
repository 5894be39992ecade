"""From a verdict document to what a report knows of its image."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from neardup.report.entry import Entry, Judged, Place, corners_of
from neardup.tidy.groups import edit_in, told_done
from neardup.wire import FILES_TOPIC

_FILE_URI = "file://"
_FARTHEST = 2.01
"""The largest distance that a verdict may tell."""


def judged_of(verdict: Mapping[str, Any], record: bytes | None = None) -> Judged:
    """Return what a report knows of an image, by its verdict.

    Parameters
    ----------
    verdict
        As the service publishes it, or folder mode writes it.
    record
        Of the member that it became, as a verdict carries it.

    Raises
    ------
    ValueError
        It is no verdict; the message says what is wrong.
    """
    try:
        return _judged_of(verdict, record)
    except KeyError as exc:
        raise ValueError(f"it has no {exc.args[0]}") from exc
    except (TypeError, AttributeError, OverflowError, IndexError) as exc:
        raise ValueError(f"no verdict: {exc}") from exc


def _judged_of(verdict: Mapping[str, Any], record: bytes | None) -> Judged:
    said, name = verdict["verdict"], _text(verdict, "image_id")
    if said not in {"unique", "duplicate"}:
        raise ValueError(f"the verdict is {said!r}, and neither unique nor duplicate")
    is_duplicate = said == "duplicate"
    radius, distance = _number(verdict["radius"], "radius"), verdict["distance"]
    distance = None if distance is None else _number(distance, "distance")
    edit = edit_in(dict(verdict)) if is_duplicate else None
    is_ruled_out = not is_duplicate and distance is not None and distance <= radius
    place, member = _place(verdict), verdict.get("member")
    entry = Entry(
        key=name if place.topic == FILES_TOPIC else f"{place.topic}-{place.partition}-{place.offset}",
        name=name,
        is_duplicate=is_duplicate,
        other=_other(verdict, member, place) if is_duplicate else None,
        other_name=_text(verdict, "duplicate_of") if is_duplicate else None,
        distance=None if is_ruled_out else distance,
        cluster=-1 if verdict["cluster"] is None else int(verdict["cluster"]),
        done=told_done(edit, verdict["symmetry"]) if is_duplicate else "",
        outline=corners_of(edit.inset) if edit else None,
        other_outline=corners_of(edit.box) if edit else None,
        place=place,
        judged_ms=_judged_ms(verdict),
        record=record,
    )
    return Judged(entry, radius, _text(verdict, "descriptor"), _needs(verdict), is_ruled_out)


def _text(verdict: Mapping[str, Any], field: str) -> str:
    text = verdict[field]
    if not isinstance(text, str) or not text:
        raise ValueError(f"its {field} is no text")
    return text


def _number(number: object, field: str) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0.0 <= number <= _FARTHEST:
        raise ValueError(f"its {field} is no number from 0 to 2")
    return float(number)


def _other(verdict: Mapping[str, Any], member: Mapping[str, Any] | None, place: Place) -> str:
    named = _text(verdict, "duplicate_of")
    # In a folder names are unique, and the keys of its members tell the version of a file besides. Only an index from
    # before may have a member of the image's own name.
    if place.topic == FILES_TOPIC and named != verdict["image_id"]:
        return named
    return _text(member, "key") if member else f"{named} (before)"


def _place(verdict: Mapping[str, Any]) -> Place:
    source, uri = verdict["source"], verdict.get("uri")
    topic = _text(source, "topic")
    return Place(
        path=_path_of(uri) if topic == FILES_TOPIC and isinstance(uri, str) else None,
        topic=topic,
        partition=int(source["partition"]),
        offset=int(source["offset"]),
        found_ms=int(source["timestamp"]),
        uri=uri if isinstance(uri, str) and topic != FILES_TOPIC else None,
    )


def _judged_ms(verdict: Mapping[str, Any]) -> int:
    moment = datetime.fromisoformat(_text(verdict, "decided_at"))
    if moment.tzinfo is None:
        raise ValueError("its decided_at has no time zone")
    return int(moment.timestamp() * 1000)


def _path_of(uri: str) -> str | None:
    # By hand: to take URIs and paths apart by their libraries is a third of the time that a million verdicts take.
    host, slash, path = uri.removeprefix(_FILE_URI).partition("/")
    if not uri.startswith(_FILE_URI) or not slash or host not in {"", "localhost"} or "%00" in path:
        return None
    return f"/{os.fsdecode(unquote_to_bytes(path)) if '%' in path else path}"


def _needs(verdict: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether a thumbnail and a look are kept of the images that were compared."""
    return verdict.get("local_change") is not None, "agreement" in verdict
