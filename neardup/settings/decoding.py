"""Settings for what is decoded, and at what cost; the same for seeds and stream."""

from dataclasses import dataclass

from neardup.decoding.formats import FORMATS, formats_of
from neardup.decoding.limits import DECODE_MEMORY_BYTES, DECODE_TIMEOUT_S, DecodeLimits, WorkLimits
from neardup.settings.options import option
from neardup.settings.parsers import integer, number, off_or, one_of
from neardup.settings.subjects import DECODING

MEBIBYTE = 1024 * 1024
ACCEPT = "accept"


@dataclass(frozen=True)
class DecodingSettings:
    """Shared by every command that decodes more than one image."""

    max_image_bytes: int = option(
        "--max-image-bytes",
        "largest encoded image in bytes; larger ones are skipped, or become dead letters",
        32 * MEBIBYTE,
        integer(1, 1024 * MEBIBYTE),
        subject=DECODING,
    )
    max_image_pixels: int = option(
        "--max-image-pixels",
        "largest width times height, read from the header",
        64_000_000,
        integer(1, 178_956_970),
        subject=DECODING,
    )
    decode_timeout_s: float | None = option(
        "--decode-timeout",
        "seconds that an image may take; off decodes in threads, without limits on time and memory",
        DECODE_TIMEOUT_S,
        off_or(number(0.1, 3600)),
        subject=DECODING,
    )
    decode_memory_bytes: int = option(
        "--decode-memory-bytes",
        "bytes of memory that decoding one image may use",
        DECODE_MEMORY_BYTES,
        integer(64 * MEBIBYTE, 1024 * 1024 * MEBIBYTE),
        subject=DECODING,
    )
    formats: tuple[str, ...] = option(
        "--formats",
        "formats to decode; +ico,+psd adds some, -gif removes one",
        FORMATS,
        formats_of,
        subject=DECODING,
    )
    truncated: str = option(
        "--truncated",
        "for a JPEG that ends early: reject it, or accept it with the missing part in grey",
        "reject",
        one_of("reject", ACCEPT),
        subject=DECODING,
    )


def decode_limits(settings: DecodingSettings) -> DecodeLimits:
    """Return what is decoded."""
    return DecodeLimits(
        settings.max_image_bytes, settings.max_image_pixels, settings.truncated == ACCEPT, settings.formats
    )


def work_limits(settings: DecodingSettings) -> WorkLimits | None:
    """Return what decoding may cost; None without limits."""
    if settings.decode_timeout_s is None:
        return None
    return WorkLimits(settings.decode_timeout_s, settings.decode_memory_bytes)
