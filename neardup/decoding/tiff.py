"""TIFFs whose white is zero, in depths and byte orders that Pillow knows only with black as zero."""

from typing import Literal

_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
_PHOTOMETRIC_INTERPRETATION = 262
_ENTRY_BYTES = 12


def with_black_as_zero(data: bytes) -> bytes | None:
    """Return a TIFF whose first page says that black is zero where it said white; None for all other data."""
    order = _ORDERS.get(data[:4])
    if order is None:
        return None
    start = int.from_bytes(data[4:8], order)
    entries = int.from_bytes(data[start : start + 2], order)
    for at in range(start + 2, min(start + 2 + entries * _ENTRY_BYTES, len(data)), _ENTRY_BYTES):
        if int.from_bytes(data[at : at + 2], order) == _PHOTOMETRIC_INTERPRETATION:
            says_white = not any(data[at + 8 : at + 10])
            return data[: at + 8] + (1).to_bytes(2, order) + data[at + 10 :] if says_white else None
    return None
