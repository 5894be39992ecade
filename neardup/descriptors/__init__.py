"""Descriptors by name. A name's module is imported when it is asked for: TensorFlow takes seconds."""

import difflib

from neardup.descriptors.base import Descriptor
from neardup.errors import Misconfigured

NAMES = ("dct", "copynet", "pixels", "vgg16", "keras", "file")
DEFAULT = "dct"
SPECS = "dct, dct:notrim, copynet, copynet:FOLDER, pixels, pixels:SIDE, vgg16, keras:NAME, keras:NAME:flat or file:PATH"
"""What a descriptor may be called, for help texts."""
_MAX_SIDE_PX = 1024


def load_descriptor(spec: str, weights: str | None = None) -> Descriptor:
    """Return the descriptor that `spec` names.

    Parameters
    ----------
    spec
        ``dct``, ``dct:notrim`` (bars and frames stay), ``copynet`` (the network that ships), ``copynet:FOLDER`` (one
        trained by ``make train``), ``pixels``, ``pixels:SIDE``, ``keras:NAME``,
        ``keras:NAME:pooled``, ``keras:NAME:flat`` (NAME as in keras.applications), ``vgg16`` (short for
        ``keras:VGG16:flat``, the article's) or ``file:PATH``.
    weights
        Weights file for the networks of Keras; see `neardup.descriptors.keras_net.KerasDescriptor`. The others have
        none, or have them in their file, and refuse any.

    Raises
    ------
    Misconfigured
        Unknown name, bad argument, or weights that cannot be had.
    """
    name, _, argument = spec.partition(":")
    if weights is not None and name in {"dct", "copynet", "pixels", "file"}:
        has = {"copynet": "brings its own", "file": "has them in its file"}.get(name, "has none")
        raise Misconfigured(f"--weights: descriptor {spec!r} {has}; leave --weights out")
    if name == "pixels":
        return _pixels(spec, argument)
    if name == "file" and argument:
        from neardup.descriptors.model_file import ModelFileDescriptor  # noqa: PLC0415 - see above

        return ModelFileDescriptor(argument)
    if spec == "copynet" or (name == "copynet" and argument):
        from neardup.descriptors.copynet import CopynetDescriptor  # noqa: PLC0415 - see above

        return CopynetDescriptor(argument or None)
    if name == "keras" and argument:
        return _keras(spec, argument, weights)
    if spec == "vgg16":
        return _keras(spec, "VGG16:flat", weights)
    if spec in {"dct", "dct:notrim"}:
        from neardup.descriptors.dct import DctDescriptor  # noqa: PLC0415 - as its siblings

        return DctDescriptor(trim=spec == "dct")
    raise _unknown(spec)


def _unknown(spec: str) -> Misconfigured:
    near = difflib.get_close_matches(spec.partition(":")[0].lower(), NAMES, n=1)
    meant = f"; did you mean {near[0]}?" if near and near[0] != spec else ""
    return Misconfigured(f"unknown descriptor {spec!r}: say one of {SPECS}{meant}")


def _keras(spec: str, argument: str, weights: str | None) -> Descriptor:
    from neardup.descriptors.keras_net import OUTPUTS, KerasDescriptor  # noqa: PLC0415 - as its siblings

    name, _, output = argument.partition(":")
    if not name or (output or OUTPUTS[0]) not in OUTPUTS:
        raise Misconfigured(f"descriptor {spec!r}: say keras:NAME, keras:NAME:{' or keras:NAME:'.join(OUTPUTS)}")
    return KerasDescriptor(name, output or OUTPUTS[0], weights)


def _pixels(spec: str, argument: str) -> Descriptor:
    from neardup.descriptors.pixels import DEFAULT_SIDE_PX, PixelsDescriptor  # noqa: PLC0415 - as its siblings

    if not argument:
        return PixelsDescriptor(DEFAULT_SIDE_PX)
    if not argument.isdecimal() or not 1 <= int(argument) <= _MAX_SIDE_PX:
        raise Misconfigured(f"descriptor {spec!r}: the side is a number of pixels from 1 to {_MAX_SIDE_PX}")
    return PixelsDescriptor(int(argument))
