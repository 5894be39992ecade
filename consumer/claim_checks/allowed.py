"""Which network URIs the operator allows. An ambiguous URI is never allowed."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import unquote

from consumer.claim_checks.errors import shown
from consumer.claim_checks.scheme import Found
from consumer.claim_checks.spans import Span
from neardup.errors import UriNotAllowed

LONGEST_URI = 8192
"""For network URIs; servers accept no longer ones."""
OUTSIDE = "it is outside what --allow-uri names"
_MOST_DECODINGS = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed network URI; no part of it was rewritten.

    Attributes
    ----------
    scheme
        ``https``, or that of a store.
    host
        Name of a host, an IPv6 address in brackets, or a bucket.
    port
        0 when the URI needs none: the scheme's default port, or a bucket.
    path
        From the first slash on, unchanged.
    query
        With its question mark, or empty.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> str:
        """What becomes unavailable together."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def uri(self) -> str:
        """The URI as text; without a port of 0, but with a path of ``/``."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}{self.path}{self.query}"

    def is_below(self, prefix: "Target") -> bool:
        """Say whether scheme, host and port match a prefix, and the path equals it or lies below it, by segments."""
        if (self.scheme, self.host, self.port) != (prefix.scheme, prefix.host, prefix.port):
            return False
        return self.path == prefix.path or self.path.startswith(prefix.path.rstrip("/") + "/")


Parse = Callable[[str], Target]
"""Parses a URI of one scheme; ValueError if servers and libraries may read it differently."""


class Fetcher(Protocol):
    """Fetches targets that are allowed."""

    def read(self, target: Target, span: Span | None = None) -> bytes:
        """Return the bytes of an allowed image, or of a part of what is allowed."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class AllowedImages:
    """The images of one network scheme, below some prefixes.

    Parameters
    ----------
    parse
        Parses a URI of the scheme.
    prefixes
        What is allowed.
    fetcher
        Fetches what is allowed.
    """

    def __init__(self, parse: Parse, prefixes: Sequence[Target], fetcher: Fetcher) -> None:
        self._parse = parse
        self._prefixes = prefixes
        self._fetcher = fetcher

    def find(self, uri: str) -> Found:
        """Return the image of an allowed URI; `UriNotAllowed` for all others."""
        try:
            target = allowed_target(uri, self._parse, self._prefixes)
        except ValueError as exc:
            raise UriNotAllowed(f"{shown(uri)} is not allowed: {exc}") from exc
        return Found(target.origin, partial(self._fetcher.read, target))

    def close(self) -> None:
        """Close all connections."""
        self._fetcher.close()


def allowed_target(uri: str, parse: Parse, prefixes: Sequence[Target]) -> Target:
    """Return an allowed URI, parsed; ValueError says why it is not allowed."""
    target = parse(uri)
    if not any(target.is_below(prefix) for prefix in prefixes):
        raise ValueError(OUTSIDE)
    return target


def parts_of(uri: str, pattern: re.Pattern[str], form: str) -> Mapping[str, str]:
    """Return the groups of a scheme's pattern, empty ones as "" and an empty path as "/".

    Raises
    ------
    ValueError
        The URI is too long, does not match the pattern (`form` in words), or its path may lead elsewhere.
    """
    if len(uri) > LONGEST_URI:
        raise ValueError(f"it has more than {LONGEST_URI} characters")
    found = pattern.fullmatch(uri)
    if found is None:
        raise ValueError(f"it should be {form}: lower case, no user, no fragment")
    parts = found.groupdict(default="")
    parts["path"] = parts["path"] or "/"
    _check_path(parts["path"])
    return parts


def _check_path(path: str) -> None:
    """Refuse paths that change when normalised or decoded again: dots, hidden slashes."""
    for segment in path.split("/"):
        plain = _decoded(segment)
        # Some servers take "..;x" for "..".
        if plain.split(";")[0] in {".", ".."} or re.search(r"[/\\\x00-\x1f\x7f]", plain):
            raise ValueError("its path has dots, slashes or control characters that could lead elsewhere")


def _decoded(segment: str) -> str:
    for _ in range(_MOST_DECODINGS):
        plain = unquote(segment, errors="surrogateescape")
        if plain == segment:
            return plain
        segment = plain
    raise ValueError("its path is percent-encoded too many times")
