"""What is decoded, and at what cost, as settings: one declaration for seeds and stream, which are treated alike."""

from typing import Any, Protocol

from neardup.decode_limits import DECODE_MEMORY_BYTES, DECODE_TIMEOUT_S, DecodeLimits, WorkLimits
from neardup.formats import FORMATS, formats_of
from neardup.settings.options import option
from neardup.settings.parsers import integer, number, off_or, one_of

MEBIBYTE = 1024 * 1024
ACCEPT = "accept"


class DecodeSettings(Protocol):
    """The fields that the functions below declare, and those of size."""

    @property
    def max_image_bytes(self) -> int:
        """Largest encoded image."""

    @property
    def max_image_pixels(self) -> int:
        """Largest width times height."""

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of formats."""

    @property
    def truncated(self) -> str:
        """What becomes of a JPEG that breaks off."""

    @property
    def decode_timeout_s(self) -> float | None:
        """Seconds; None decodes in threads."""

    @property
    def decode_memory_bytes(self) -> int:
        """Address space for an image."""


def formats_option() -> Any:  # noqa: ANN401 - stands where a field's default stands, as `option` does
    """Declare the field `formats` of a settings dataclass."""
    return option(
        "--formats",
        "formats that are decoded; +ico,+psd adds some, -gif leaves one out",
        FORMATS,
        formats_of,
    )


def truncated_option() -> Any:  # noqa: ANN401 - as above
    """Declare the field `truncated` of a settings dataclass."""
    return option(
        "--truncated",
        "what becomes of a JPEG that breaks off: reject, or accept with what is missing in grey",
        "reject",
        one_of("reject", ACCEPT),
    )


def decode_timeout_option() -> Any:  # noqa: ANN401 - as above
    """Declare the field `decode_timeout_s` of a settings dataclass."""
    return option(
        "--decode-timeout",
        "seconds that an image may take; off decodes in threads, without limits of time and memory",
        DECODE_TIMEOUT_S,
        off_or(number(0.1, 3600)),
    )


def decode_memory_option() -> Any:  # noqa: ANN401 - as above
    """Declare the field `decode_memory_bytes` of a settings dataclass."""
    return option(
        "--decode-memory-bytes",
        "memory that decoding an image may ask for",
        DECODE_MEMORY_BYTES,
        integer(64 * MEBIBYTE, 1024 * 1024 * MEBIBYTE),
    )


def decode_limits(settings: DecodeSettings) -> DecodeLimits:
    """Return what is decoded."""
    return DecodeLimits(
        settings.max_image_bytes, settings.max_image_pixels, settings.truncated == ACCEPT, settings.formats
    )


def work_limits(settings: DecodeSettings) -> WorkLimits | None:
    """Return what decoding may cost; None without limits."""
    if settings.decode_timeout_s is None:
        return None
    return WorkLimits(settings.decode_timeout_s, settings.decode_memory_bytes)
