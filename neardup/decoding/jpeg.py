"""Decoding a JPEG, if it holds all of its picture; its end marker does not prove it.

Most have no flaw at all, and what a decoder that stops at any flaw decodes in one go is whole. The others take the long
way: cameras leave the marker out of whole files, proxies put it behind broken ones; and where a marker cuts pixels
short, libjpeg fills in grey with no more than a warning. So it gets the file without the marker, scan by scan, and is
asked after each whether it still waits for pixels.
"""

from typing import Protocol

import numpy as np
import simplejpeg
from PIL import Image, ImageFile

from neardup.decoding.jpeg_markers import IMAGE_ENDS, LOSSLESS, USUAL, Scan, frame_of, refusal_of, scans_of
from neardup.errors import TruncatedImage, UndecodableImage
from neardup.types import Pixels

_END = bytes([0xFF, IMAGE_ENDS])
_FILLING = b"\xff\x00" * 8
"""64 ones, as many bits as libjpeg reads ahead. No code is all ones, so this makes hardly a block."""
_OUT_OF_MEMORY = -9
_SCALES = (8, 4, 2)
_LEAST_PX = 8
"""Of smaller sides two scales may lead to the same, and the decoder is told no scale but what it leads to."""


def flawless(image: ImageFile.ImageFile, data: bytes, reduce_to_px: int | None) -> Pixels | None:
    """Return the pixels of a JPEG that Pillow has opened, if it has no flaw at all; None for `load` to see to it.

    They are those of `load`, uint8 (height, width, 3), in RGB, for three quarters of the time: the file is decoded in
    one go, to where the pixels stay.

    Parameters
    ----------
    image
        As in `load`; left as it is.
    data
        The file that it was opened from.
    reduce_to_px
        See `neardup.decoding.decode.decode`.
    """
    frame = frame_of(data)
    if frame is None or frame.kind not in USUAL or image.mode not in {"L", "RGB"} or min(image.size) < _LEAST_PX:
        return None
    scale = _scale(image.size, reduce_to_px)
    width, height = (-(-side // scale) for side in image.size)
    pixels = np.empty((height, width, 3), dtype=np.uint8)  # here, so that no header makes the decoder ask for more
    try:
        decoded = simplejpeg.decode_jpeg(
            data, "RGB", min_height=height, min_width=width, min_factor=scale, buffer=pixels
        )
    except ValueError:  # a warning is enough
        return None
    return pixels if decoded.shape == pixels.shape else None


def _scale(size: tuple[int, int], reduce_to_px: int | None) -> int:
    """Return by which scale Pillow's `draft` makes a JPEG smaller."""
    if reduce_to_px is None:
        return 1
    most = min(size) // reduce_to_px
    return next((scale for scale in _SCALES if scale <= most), 1)


def load(image: ImageFile.ImageFile, data: bytes, reduce_to_px: int | None, *, accept_truncated: bool) -> None:
    """Decode a JPEG that Pillow has opened.

    Parameters
    ----------
    image
        Gets its pixels.
    data
        The file that it was opened from.
    reduce_to_px
        See `neardup.decoding.decode.decode`. A lossless JPEG keeps its size: it has no frequencies to leave out.
    accept_truncated
        Make the part that is missing grey.

    Raises
    ------
    TruncatedImage
        A part is missing, and that is not accepted; or all of it is.
    UndecodableImage
        Its data make no sense.
    UnsupportedFormat
        It is of a kind that is not decoded.
    """
    frame = frame_of(data)
    if frame is None or not image.tile:
        raise TruncatedImage("the JPEG's data end before its first pixel")
    if refusal := refusal_of(frame):
        raise refusal
    if reduce_to_px is not None and frame.kind != LOSSLESS:
        image.draft(image.mode, (reduce_to_px, reduce_to_px))
    image.load_prepare()
    (tile,) = image.tile
    # Pillow's own loop does not tell how far the decoder came.
    decoder = Image._getdecoder(image.mode, tile.codec_name, tile.args, image.decoderconfig)  # noqa: SLF001
    try:
        decoder.setimage(image.im, tile.extents)
        feed = _Feed(decoder)
        for scan in scans_of(data, frame):
            if not _is_whole(feed, scan) and not accept_truncated:
                raise TruncatedImage("the JPEG's data end before its last pixel, or have a hole")
            if feed.is_done:
                break
        if not feed(_END):
            raise TruncatedImage("the JPEG's data end within a header")
    finally:
        decoder.cleanup()
    image.tile = []


class _Decoder(Protocol):
    def decode(self, data: bytes, /) -> tuple[int, int]:
        """Return how many bytes were used, below 0 at the end; and an error, below 0 if there is one."""


class _Feed:
    """Hands data to a decoder."""

    def __init__(self, decoder: _Decoder) -> None:
        self._decoder = decoder
        self._rest = b""
        self.is_done = False

    def __call__(self, data: bytes) -> bool:
        """Give it more; return whether it could do something with all of it."""
        if self.is_done:
            return True
        self._rest += data
        used, error = self._decoder.decode(self._rest)
        if error == _OUT_OF_MEMORY:
            raise MemoryError
        if error < 0:
            raise UndecodableImage("the JPEG's data are broken")
        self.is_done = used < 0
        self._rest = b"" if self.is_done else self._rest[used:]
        return not self._rest


def _is_whole(feed: _Feed, scan: Scan) -> bool:
    """Hand over a scan; tell whether all of its pixels are there."""
    feed(scan.data)
    feed(_FILLING)
    # Whoever waits for pixels wants several bytes more, and leaves a single one, if not the first then the second;
    # whoever looks for a marker passes over both.
    return feed(b"\0") and feed(b"\0") and not scan.has_gap
