"""Limits on what is decoded and what it may cost; imports neither numpy nor Pillow, which would delay ``--help``."""

from dataclasses import dataclass

from neardup.decoding.formats import FORMATS

DECODE_TIMEOUT_S = 30.0
DECODE_MEMORY_BYTES = 2048 * 1024 * 1024
"""What `DecodeLimits` let in takes 16 bytes a pixel, and the encoded image: half of it at the default limits.

An animation takes 24: its frames are put together.
"""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What is decoded, and what it may cost, checked on its length and its header before anything is allocated.

    Attributes
    ----------
    max_bytes
        Encoded size.
    max_pixels
        Width times height as the header declares them. Pillow itself refuses more than 178,956,970.
    accept_truncated
        Decode a JPEG that ends early; the missing part is grey.
    formats
        See `neardup.decoding.formats.FORMATS`.
    """

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 64_000_000
    accept_truncated: bool = False
    formats: tuple[str, ...] = FORMATS


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """What decoding and preparing one image may cost.

    Attributes
    ----------
    timeout_s
        Seconds, from when it is begun; of those that are handed over together each has its own.
    memory_bytes
        Address space, beyond that of an idle process and the encoded image; enforced on Linux.
    """

    timeout_s: float = DECODE_TIMEOUT_S
    memory_bytes: int = DECODE_MEMORY_BYTES
