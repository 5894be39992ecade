"""What a scheme of claim checks is: one object that parses the operator's prefixes and opens what they allow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from consumer.claim_checks.spans import Span

if TYPE_CHECKING:
    import aiohttp

Prefix = TypeVar("Prefix")


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How images are fetched over the network.

    Attributes
    ----------
    connect_timeout_s, timeout_s
        Seconds for one connection to an https host, and for an image in all.
    patience_s
        Seconds that a store may be away before its images are dead letters.
    private_addresses
        Whether https hosts may have addresses of private networks and of this machine.
    ca_file
        PEM file of the certificate authorities to trust for https hosts; None for the system's.
    """

    connect_timeout_s: float = 5.0
    timeout_s: float = 20.0
    patience_s: float = 300.0
    private_addresses: bool = False
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What every scheme is opened with; each takes what it needs.

    Attributes
    ----------
    max_bytes
        Largest image, in bytes.
    fetch
        How images are fetched over the network.
    permitted
        Says whether a host may have this address; None for the rule of `fetch`.
    resolver
        Resolves hosts; None for the system's resolver.
    """

    max_bytes: int
    fetch: FetchSettings
    permitted: Callable[[str], bool] | None = None
    resolver: "aiohttp.abc.AbstractResolver | None" = None


@dataclass(frozen=True, slots=True)
class Found:
    """An image that may be read.

    Attributes
    ----------
    origin
        What becomes unavailable together: a host, a bucket.
    read
        Returns its bytes, or those of a part of it. Raises `UriUnreadable` and its like, or
        `consumer.claim_checks.errors.Outage`.
    """

    origin: str
    read: Callable[[Span | None], bytes]


class Images(Protocol):
    """The images of one scheme that the operator allows; may be used by several threads."""

    def find(self, uri: str) -> Found:
        """Return the image of an allowed URI; `UriNotAllowed` for all others."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(frozen=True, slots=True)
class Scheme(Generic[Prefix]):
    """One kind of place that envelopes may name.

    Attributes
    ----------
    name
        The part before the colon, and the name of its extra.
    prefix
        How a prefix is written, for help and error messages.
    parse
        Parses an operator's prefix; ValueError says what is wrong with it.
    check
        Parses a URI; ValueError says why no prefix could ever allow it.
    open
        Returns the images below some prefixes, as `parse` made them.
    package
        The module that reads it, installed by the extra; None if none is needed.
    """

    name: str
    prefix: str
    parse: Callable[[str], Prefix]
    check: Callable[[str], object]
    open: Callable[[Sequence[Prefix], Access], Images]
    package: str | None = None
