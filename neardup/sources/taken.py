"""When a picture was taken: by its EXIF, by its clip, by its file."""

import os
import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from PIL import ExifTags, Image

from neardup.capture_time import UNKNOWN_MS, known_ms

_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATES = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.SubsecTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.SubsecTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
)
_EXIF_DATE = "%Y:%m:%d %H:%M:%S"


def exif_ms(file: BinaryIO, clock_ms: int) -> int:
    """Return when a camera says that it took a picture, in milliseconds since the epoch; 0 when unknown.

    Most cameras give no time zone: then it is this machine's.

    Parameters
    ----------
    file
        The encoded picture; broken or no picture at all is unknown, too.
    clock_ms
        The time by this machine's clock: what is far ahead of it is no time.
    """
    # Whatever stands in the EXIF of a broken file: Pillow raises anything, and all of it means that nothing is known.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(file) as image:
            tags = image.getexif().get_ifd(ExifTags.IFD.Exif)
        for date, fraction, offset in _DATES:
            if date in tags:
                return known_ms(_moment_ms(str(tags[date]), tags.get(fraction), tags.get(offset)), clock_ms)
    return UNKNOWN_MS


def _moment_ms(date: str, fraction: Any, offset: Any) -> int:  # noqa: ANN401 - EXIF holds what it likes
    moment = datetime.strptime(date.strip("\0 "), _EXIF_DATE)  # noqa: DTZ007 - the zone follows
    with suppress(ValueError):
        moment = moment.replace(tzinfo=datetime.strptime(str(offset or ""), "%z").tzinfo)
    digits = str(fraction or "").strip("\0 ")
    more_ms = int(f"{digits:0<3}"[:3]) if digits.isdecimal() else 0
    return (moment.astimezone(UTC) - _EPOCH) // _MILLISECOND + more_ms


def file_ms(path: str, clock_ms: int) -> int:
    """Return when a file was last written, in milliseconds since the epoch; 0 when unknown."""
    try:
        return known_ms(os.stat(path).st_mtime_ns // 1_000_000, clock_ms)  # noqa: PTH116 - a name, as it is
    except (OSError, ValueError):
        return UNKNOWN_MS


def clip_began_ms(path: str, clock_ms: int) -> int:
    """Return when the first frame of a clip was filmed, in milliseconds since the epoch; 0 when unknown.

    By the clip itself where it says so, else by its file, which was written when its last frame was. Needs PyAV.
    """
    import av  # noqa: PLC0415 - an extra

    duration_ms = 0
    with suppress(av.FFmpegError, OSError), av.open(path) as clip:
        duration_ms = (clip.duration or 0) // (av.time_base // 1000)
        said = clip.metadata.get("creation_time") or ""
        with suppress(ValueError):
            moment = datetime.fromisoformat(said)
            if began_ms := known_ms(int(moment.timestamp() * 1000), clock_ms):
                return began_ms
    ended_ms = file_ms(path, clock_ms)
    return known_ms(ended_ms - duration_ms, clock_ms)
