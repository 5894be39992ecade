"""Every descriptor by name, without importing NumPy: settings and help texts list them.

A new descriptor is one module with a function ``from_spec`` and one line here.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from neardup.errors import Misconfigured

DCT = "dct"
COPYNET = "copynet"
DEFAULT = DCT


@dataclass(frozen=True, slots=True)
class Entry:
    """A descriptor's entry, known before its module is loaded.

    Attributes
    ----------
    forms
        How it may be written, for help texts; what the user fills in is in capitals.
    made_by
        ``module:function`` in `neardup.descriptors`. The function takes a spec and, where the descriptor may have
        one, the weights file or None. It returns the descriptor; it raises `unknown` for a spec in none of its forms,
        and `Misconfigured` for other errors.
    no_weights
        Why it takes no weights file; None where it takes one.
    """

    forms: tuple[str, ...]
    made_by: str
    no_weights: str | None = "it has no weights"


DESCRIPTORS: Mapping[str, Entry] = MappingProxyType(
    {
        DCT: Entry(("dct", "dct:notrim"), "dct:from_spec"),
        COPYNET: Entry(("copynet", "copynet:FOLDER"), "copynet:from_spec", "it brings its own weights"),
        "pixels": Entry(("pixels", "pixels:SIDE"), "pixels:from_spec"),
        "vgg16": Entry(("vgg16",), "keras_net:vgg16_from_spec", None),
        "keras": Entry(("keras:NAME", "keras:NAME:flat"), "keras_net:from_spec", None),
        "file": Entry(("file:PATH",), "model_file:from_spec", "it has its weights in its own file"),
    }
)

_FORMS = [form for entry in DESCRIPTORS.values() for form in entry.forms]
SPECS = f"{', '.join(_FORMS[:-1])} or {_FORMS[-1]}"
"""The forms that a spec may take, for help texts."""


def hardly_sees_turns(spec: str) -> bool:
    """Return whether a descriptor gives nearly the same for a picture and for itself mirrored or turned."""
    return spec.partition(":")[0] == COPYNET


def unknown(spec: str) -> Misconfigured:
    """Return the error for a spec that matches no form of any descriptor."""
    near = difflib.get_close_matches(spec.partition(":")[0].lower(), DESCRIPTORS, n=1)
    meant = f"; did you mean {near[0]}?" if near and near[0] != spec else ""
    return Misconfigured(f"unknown descriptor {spec!r}: use one of {SPECS}{meant}")
