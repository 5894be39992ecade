"""Descriptors by name. A name's module is imported when it is asked for: TensorFlow takes seconds."""

from neardup.descriptors.base import Descriptor
from neardup.errors import Misconfigured

NAMES = ("dct", "pixels", "vgg16")
DEFAULT = "dct"
_MAX_SIDE_PX = 1024


def load_descriptor(spec: str, weights: str | None = None) -> Descriptor:
    """Return the descriptor that `spec` names.

    Parameters
    ----------
    spec
        ``dct``, ``pixels``, ``pixels:SIDE`` or ``vgg16``.
    weights
        Weights file for the ones that have weights; see the descriptor.

    Raises
    ------
    Misconfigured
        Unknown name, bad argument, or weights that cannot be had.
    """
    name, _, argument = spec.partition(":")
    if name == "pixels":
        return _pixels(spec, argument)
    if name not in NAMES or argument:
        raise Misconfigured(f"unknown descriptor {spec!r}: say one of dct, pixels, pixels:SIDE, vgg16")
    if name == "vgg16":
        from neardup.descriptors.vgg16 import Vgg16Descriptor  # noqa: PLC0415 - see above

        return Vgg16Descriptor(weights)
    from neardup.descriptors.dct import DctDescriptor  # noqa: PLC0415 - as its siblings

    return DctDescriptor()


def _pixels(spec: str, argument: str) -> Descriptor:
    from neardup.descriptors.pixels import DEFAULT_SIDE_PX, PixelsDescriptor  # noqa: PLC0415 - as its siblings

    if not argument:
        return PixelsDescriptor(DEFAULT_SIDE_PX)
    if not argument.isdecimal() or not 1 <= int(argument) <= _MAX_SIDE_PX:
        raise Misconfigured(f"descriptor {spec!r}: the side is a number of pixels from 1 to {_MAX_SIDE_PX}")
    return PixelsDescriptor(int(argument))
