"""``python -m tests.support.raising WHAT ...``: the consumer, with a descriptor that raises where it meets white.

WHAT is ``defect`` for an unexpected error, and ``bad-input`` for one that descriptors may raise.
"""

import os
import sys

import numpy as np
from numpy.typing import NDArray

import consumer.__main__
import neardup.descriptors.dct
from neardup.errors import Undescribable

SAID = "the model has no weights for white"
_ERRORS = {"defect": RuntimeError, "bad-input": Undescribable}


class Raising(neardup.descriptors.dct.DctDescriptor):
    """The default descriptor, which decoding processes load, too, until it meets white."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        if any(image.min() > 250 for image in prepared):
            raise _ERRORS[self._what](SAID)
        return super().features(prepared)


def main() -> int:
    # By the name under which other processes find it.
    from tests.support import raising  # noqa: PLC0415, PLW0406

    setattr(neardup.descriptors.dct, "from_spec", lambda _spec: raising.Raising(sys.argv[1]))  # noqa: B010 - as mypy says
    return consumer.__main__.main(sys.argv[2:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
