"""Whether frames of an H.264 stream are lost: its decoder goes on with what it has, and marks nothing.

Each reference frame has a number, one more than the one before. Source: ITU-T H.264, sections 7.3.2.1, 7.3.3 and 7.4.3.
"""

from collections.abc import Iterator

_SLICE, _KEY_SLICE, _PARAMETERS = 1, 5, 7
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})
_HEAD_BYTES = 1 << 16
"""Of a packet: what comes before its first slice is no longer."""
_SLICE_HEAD_BYTES = 24
_AVCC_HEAD_BYTES = 8
_START = b"\0\0\1"


class FrameNumbers:
    """Follows the numbers of reference frames.

    Parameters
    ----------
    extradata
        What the container says of the stream: its parameters, and how long a length is where units have one.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._length_bytes = 0
        self._bits: int | None = None
        self._has_planes = self._may_skip = False
        self._latest: int | None = None
        if extradata and extradata[0] == 1 and len(extradata) > _AVCC_HEAD_BYTES:
            self._length_bytes = (extradata[4] & 3) + 1
            size = int.from_bytes(extradata[6:8], "big")
            self._read_parameters(extradata[_AVCC_HEAD_BYTES : _AVCC_HEAD_BYTES + size])
        elif extradata:
            self.is_after_loss(memoryview(extradata))

    def is_after_loss(self, packet: memoryview) -> bool:
        """Return whether reference frames are lost between the packet and the one before."""
        for unit in self._units(bytes(packet[:_HEAD_BYTES])):
            kind = unit[0] & 31
            if kind == _PARAMETERS:
                self._read_parameters(unit)
            elif kind in {_SLICE, _KEY_SLICE}:
                return self._is_lost_before(unit)
        return False

    def _is_lost_before(self, unit: bytes) -> bool:
        number = self._number(unit)
        latest, is_reference = self._latest, unit[0] & 96
        if is_reference:
            self._latest = number
        if number is None or latest is None or self._bits is None or unit[0] & 31 == _KEY_SLICE or self._may_skip:
            return False
        return number not in {latest, (latest + 1) % (1 << self._bits)}

    def _number(self, unit: bytes) -> int | None:
        if self._bits is None:
            return None
        bits = _Bits(unit[1:_SLICE_HEAD_BYTES])
        try:
            for _ in range(3):
                bits.number()
            bits.take(2 if self._has_planes else 0)
            return bits.take(self._bits)
        except EOFError:
            return None

    def _read_parameters(self, unit: bytes) -> None:
        bits = _Bits(unit[1:])
        try:
            self._bits, self._has_planes, self._may_skip = _parameters(bits)
        except EOFError:
            self._bits = None

    def _units(self, data: bytes) -> Iterator[bytes]:
        if not self._length_bytes:
            yield from (unit for unit in data.split(_START)[1:] if unit)
            return
        at = 0
        while at + self._length_bytes < len(data):
            start = at + self._length_bytes
            at = start + int.from_bytes(data[at:start], "big")
            if at > start:
                yield data[start:at]


def _parameters(bits: "_Bits") -> tuple[int, bool, bool]:
    """Return the bits of a frame's number, whether colour planes are apart, and whether numbers may be left out."""
    profile = bits.take(24) >> 16
    bits.number()
    has_planes = False
    if profile in _HIGH_PROFILES:
        chroma = bits.number()
        has_planes = chroma == 3 and bool(bits.take(1))  # noqa: PLR2004 - 4:4:4
        bits.number()
        bits.number()
        if bits.take(2) & 1:
            for kind in range(12 if chroma == 3 else 8):  # noqa: PLR2004 - see above
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if kind < 6 else 64)  # noqa: PLR2004 - of 4 x 4, then of 8 x 8
    number_bits = bits.number() + 4
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(1)
        bits.number()
        bits.number()
        for _ in range(bits.number()):
            bits.number()
    bits.number()
    return number_bits, has_planes, bool(bits.take(1))


def _skip_scaling_list(bits: "_Bits", size: int) -> None:
    scale = 8
    for _ in range(size):
        scale = (scale + bits.signed()) % 256
        if scale == 0:
            return


class _Bits:
    """Reads bits of a unit, the bytes left out that keep it from looking like a start."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\0\0\3", b"\0\0")
        self._bits = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise EOFError
        return self._bits >> self._left & ((1 << count) - 1)

    def number(self) -> int:
        """Take an Exp-Golomb number."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        number = self.number()
        return (number + 1) // 2 if number % 2 else -(number // 2)
