"""What an image may do to the process that decodes it. A process finds these functions by name, so they load little."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neardup.errors import Undescribable
from neardup.relation.describing import Preparation
from neardup.relation.kept import Parts
from neardup.types import Descriptors, Pixels, Symmetry

BAD_PX = 77
"""Height of the image that does harm."""


def mean(pixels: Pixels) -> NDArray[np.uint8]:
    """Return the mean colour, uint8 (3,)."""
    return np.asarray(pixels.mean(axis=(0, 1)), dtype=np.uint8)


def harmed(pixels: Pixels, how: str, flag: str) -> NDArray[np.uint8]:
    """Return the mean colour, after the harm that the bad image does."""
    if pixels.shape[0] == BAD_PX:
        HARM[how](flag)
    return mean(pixels)


def hang(_flag: str) -> None:
    """Never come back."""
    time.sleep(3600)


def take_a_second(_flag: str) -> None:
    """Be slow."""
    time.sleep(1)


def crash(_flag: str) -> None:
    """End by SIGSEGV."""
    ctypes.string_at(0)


def allocate(_flag: str) -> None:
    """Ask for 100 GB."""
    np.ones(100_000 * 1024 * 1024, dtype=np.uint8)


def fail(_flag: str) -> None:
    """Raise what nobody expects."""
    raise ValueError("no picture of mine")


def be_killed_once(flag: str) -> None:
    """End as somebody else may end it, the first time."""
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def print_something(_flag: str) -> None:
    """Print as C libraries do."""
    os.write(1, b"on stdout\n")
    os.write(2, b"on stderr\n")


def tell_modules(_flag: str) -> None:
    """Raise the names of all that is loaded."""
    raise ValueError(" ".join(sys.modules))


HARM = {
    function.__name__: function
    for function in (hang, take_a_second, crash, allocate, fail, be_killed_once, print_something, tell_modules)
}


def harm(how: str, flag: str = "") -> Preparation:
    """Return what prepares good images, and does harm by the bad one."""
    return replace(HARMLESS, prepare_input=partial(harmed, how=how, flag=flag))


HARMLESS = Preparation(mean, symmetries=(Symmetry.NONE,), seeks_parts=False, parts=Parts.NOTHING, reduce_to_px=8)


# What describes in a process of its own.


def describe_no_blue(inputs: Sequence[NDArray[np.uint8]]) -> Descriptors:
    """Return the mean colours, unless one is blue."""
    if any(each.tolist() == [0, 0, 255] for each in inputs):
        raise Undescribable("blue")
    return np.stack(inputs).astype(np.float16)


def describe_badly(_inputs: Sequence[NDArray[np.uint8]]) -> Descriptors:
    """Raise what nobody expects."""
    raise ValueError("no picture of mine")


class Large:
    """A model that takes memory once it is loaded."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes

    def __setstate__(self, state: dict[str, int]) -> None:
        self._numbers = np.ones(state["_nbytes"], dtype=np.uint8)

    def __call__(self, inputs: Sequence[NDArray[np.uint8]]) -> Descriptors:
        """Return the mean colours."""
        return np.stack(inputs).astype(np.float16)


class Failing(Large):
    """A model that cannot be loaded."""

    def __setstate__(self, state: dict[str, int]) -> None:
        raise ValueError("no picture of mine")
