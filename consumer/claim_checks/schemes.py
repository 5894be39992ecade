"""Every scheme that can be read. Help texts load this, too: heavy imports wait until a scheme is opened."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from consumer.claim_checks.https import HTTPS
from consumer.claim_checks.local import FILE
from consumer.claim_checks.scheme import Scheme
from consumer.claim_checks.stores import GS, S3

_ALL: tuple[Scheme[Any], ...] = (FILE, HTTPS, S3, GS)
SCHEMES: Mapping[str, Scheme[Any]] = MappingProxyType({scheme.name: scheme for scheme in _ALL})
_NAMES = [f"{name}:" for name in SCHEMES]
LISTED = f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}"
"""The names, for help and error messages."""


def scheme_of(uri: str) -> Scheme[Any]:
    """Return the scheme of a URI or a prefix, compared letter by letter; ValueError if it has none of these."""
    name, colon, _ = uri.partition(":")
    if not colon or name not in SCHEMES:
        raise ValueError(f"it should begin with {LISTED}")
    return SCHEMES[name]
