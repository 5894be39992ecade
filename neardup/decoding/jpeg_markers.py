"""What the headers of a JPEG tell (ITU-T T.81): its kind, where its scans end, and whether one of them has a gap.

Imports neither numpy nor Pillow, which would delay ``--help``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from neardup.errors import UnsupportedFormat

IMAGE_BEGINS, IMAGE_ENDS, SCAN_BEGINS, RESTART_INTERVAL = 0xD8, 0xD9, 0xDA, 0xDD
_TEMPORARY = 0x01
_BARE = {IMAGE_BEGINS, IMAGE_ENDS, _TEMPORARY}
"""Markers that no header follows."""
PROGRESSIVE, LOSSLESS = 0xC2, 0xC3
USUAL = {0xC0, 0xC1, PROGRESSIVE}
"""Cosine frequencies in Huffman codes: of cameras, browsers and nearly all else."""
_DECODED = USUAL | {LOSSLESS}
_NOT_DECODED = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "with a hierarchy of sizes"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB), "with arithmetic coding"),
    0xF7: "of the kind JPEG-LS",
}
_BITS = 8
_POSSIBLE_BITS = range(2, 17)
_CHANNELS = (1, 3, 4)
_ADVICE = "save it as one of 8 bits with Huffman coding, as cameras and browsers do"
_BLOCK_PX = 8
_COEFFICIENTS = 64
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""Among pixels, 0xFF is followed by a zero or belongs to a restart."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Frame:
    """How a JPEG's pixels are coded.

    Attributes
    ----------
    kind
        Its marker, 0xC0 and so on.
    channels
        Of each its name, and its samples across and down in a unit.
    """

    kind: int
    bits: int
    height: int
    width: int
    channels: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """A part of a JPEG, up to the end of a scan.

    Attributes
    ----------
    has_gap
        Its headers, or its restarts, tell that something is missing.
    """

    data: bytes
    has_gap: bool


def frame_of(data: bytes) -> Frame | None:
    """Return the frame of a JPEG; None if there is none, or not all of it."""
    for kind, start, end in _segments(data):
        if kind in _DECODED or kind in _NOT_DECODED:
            return _frame(kind, data[start + 4 : end])
        if kind == SCAN_BEGINS:
            break
    return None


def refusal_of(frame: Frame) -> UnsupportedFormat | None:
    """Return the error for a JPEG of a kind that is not decoded, None for all others."""
    why = _NOT_DECODED.get(frame.kind)
    if frame.bits != _BITS and frame.bits in _POSSIBLE_BITS:
        why = why or f"of {frame.bits} bits a channel"
    if frame.channels and len(frame.channels) not in _CHANNELS:
        why = why or f"of {len(frame.channels)} channels"
    return UnsupportedFormat(f"a JPEG {why} is not decoded: {_ADVICE}") if why else None


def scans_of(data: bytes, frame: Frame) -> Iterator[Scan]:
    """Yield a JPEG in parts, the last one without its end marker."""
    # Where one of the restarts is missing, so are the pixels before it.
    interval, begun, head, pixels = 0, 0, b"", 0
    precisions: dict[int, list[int]] = {}
    for kind, start, end in _segments(data, with_end=True):
        if head:
            has_gap = _refines_nothing(head, frame, precisions)
            if interval and frame.kind != LOSSLESS:
                has_gap |= len(_RESTART.findall(data, pixels, start)) < (_units(head, frame) - 1) // interval
            yield Scan(data[begun:start], has_gap)
            begun, head = start, b""
            if kind in {IMAGE_BEGINS, IMAGE_ENDS}:
                return
        if kind == RESTART_INTERVAL:
            interval = int.from_bytes(data[start + 4 : end])
        elif kind == SCAN_BEGINS:
            head, pixels = data[start + 4 : end], end


def _segments(data: bytes, *, with_end: bool = False) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each header, where it begins and where it ends; pixels are passed over."""
    at = 2
    while match := _MARKER.search(data, at):
        kind, start, at = data[match.end() - 1], match.start(), match.end()
        if kind not in _BARE:
            at += int.from_bytes(data[at : at + 2])
        yield kind, start, at
    if with_end:
        yield IMAGE_ENDS, len(data), len(data)


def _frame(kind: int, body: bytes) -> Frame | None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:  # noqa: PLR2004 - B.2.2
        return None
    channels = tuple((body[at], body[at + 1] >> 4, body[at + 1] & 15) for at in range(6, 6 + 3 * body[5], 3))
    return Frame(kind, body[0], int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), channels)


def _units(head: bytes, frame: Frame) -> int:
    """Return of how many units a scan consists (A.2): blocks of one channel, groups of blocks of several."""
    names = head[1 : 1 + 2 * head[0] : 2]
    across = max(across for _, across, _ in frame.channels)
    down = max(down for _, _, down in frame.channels)
    if len(names) > 1:
        return ceil(frame.width / (_BLOCK_PX * across)) * ceil(frame.height / (_BLOCK_PX * down))
    own_across, own_down = next(sides for name, *sides in frame.channels if name == names[0])
    width, height = ceil(frame.width * own_across / across), ceil(frame.height * own_down / down)
    return ceil(width / _BLOCK_PX) * ceil(height / _BLOCK_PX)


def _refines_nothing(head: bytes, frame: Frame, precisions: dict[int, list[int]]) -> bool:
    """Tell whether a scan makes coefficients more precise that have not come so far (G.1.1.1), and keep account."""
    if frame.kind != PROGRESSIVE:
        return False
    first, last, both = head[-3:]
    before, now = both >> 4, both & 15
    has_gap = False
    for name in head[1 : 1 + 2 * head[0] : 2]:
        known = precisions.setdefault(name, [-1] * _COEFFICIENTS)
        has_gap |= before > 0 and any(each != before for each in known[first : last + 1])
        known[first : last + 1] = [now] * (last + 1 - first)
    return has_gap
