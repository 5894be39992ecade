"""``python -m tests.support.raising WHAT ...``: the consumer, with a descriptor that raises where it meets white.

WHAT is ``defect`` for an unexpected error, and ``bad-input`` for one that descriptors may raise.
"""

import os
import sys

import numpy as np
from numpy.typing import NDArray

import consumer.__main__
from neardup.descriptors.dct import DctDescriptor
from neardup.errors import Undescribable

SAID = "the model has no weights for white"
_ERRORS = {"defect": RuntimeError, "bad-input": Undescribable}


def main() -> int:
    error, features = _ERRORS[sys.argv[1]], DctDescriptor.features

    def raising(self: DctDescriptor, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        if any(image.min() > 250 for image in prepared):
            raise error(SAID)
        return features(self, prepared)

    setattr(DctDescriptor, "features", raising)  # noqa: B010 - mypy takes no assignment to a method
    return consumer.__main__.main(sys.argv[2:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
