"""Reads what the allowed prefixes name, waits for stores that are away, and gives up in the end."""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from consumer.claim_checks.allowed import OUTSIDE
from consumer.claim_checks.errors import Outage, shown
from consumer.claim_checks.outages import Outages
from consumer.claim_checks.scheme import Access, FetchSettings, Found, Images, Scheme
from consumer.claim_checks.schemes import SCHEMES, scheme_of
from consumer.claim_checks.spans import Span, divided
from neardup.errors import (
    BadInput,
    Misconfigured,
    StoreUnavailable,
    TooManyBytes,
    UriNotAllowed,
    UriTooSlow,
    UriUnavailable,
)

if TYPE_CHECKING:
    import aiohttp

_USUAL_FETCH = FetchSettings()


class UriReader:
    """Reads what the allowed prefixes name, and nothing else. Nothing is allowed by default.

    May be used by several threads. Each waits for its own image; connections are kept and shared.

    Parameters
    ----------
    allowed
        Prefixes, in the form that each of `SCHEMES` has: ``file:///data/``, ``https://host/path/``.
    max_bytes
        Largest image, in bytes.
    fetch
        How images are fetched over the network.
    permitted_address
        Says whether an https host may have this address; by default the public ones, and those that `fetch` adds.
    resolver
        Resolves https hosts; None for the system's resolver.

    Raises
    ------
    Misconfigured
        A prefix is malformed, or its scheme needs an extra that is not installed.
    """

    def __init__(
        self,
        allowed: Sequence[str],
        max_bytes: int,
        fetch: FetchSettings = _USUAL_FETCH,
        *,
        permitted_address: Callable[[str], bool] | None = None,
        resolver: "aiohttp.abc.AbstractResolver | None" = None,
    ) -> None:
        prefixes = _by_scheme(allowed)
        for name in prefixes:
            check_extra(SCHEMES[name], f"--allow-uri {name}://...")
        access = Access(max_bytes, fetch, permitted_address, resolver)
        self._outages = Outages(fetch.patience_s)
        self._max_bytes = max_bytes
        self._images: dict[str, Images] = {}
        with ExitStack() as opened:
            for name, parsed in prefixes.items():
                self._images[name] = SCHEMES[name].open(parsed, access)
                opened.callback(self._images[name].close)
            self._opened = opened.pop_all()

    def read(self, uri: str) -> bytes:
        """Return the bytes behind an allowed URI.

        Raises
        ------
        UriNotAllowed, UriAddressNotAllowed, UriUnreadable, UriTooSlow, UriUnavailable, TooManyBytes
            Why not.
        StoreUnavailable
            The store cannot be reached or cannot serve now: call again later.
        """
        found, span = self._find(uri)
        try:
            data = found.read(span)
        except BadInput:
            self._outages.answered(found.origin, uri)
            raise
        except Outage as outage:
            raise self._judged(outage, found.origin, uri) from outage
        self._outages.answered(found.origin, uri)
        return data

    def _find(self, uri: str) -> tuple[Found, Span | None]:
        try:
            address, span = divided(uri)
            images = self._images.get(scheme_of(address).name)
        except ValueError as exc:
            raise UriNotAllowed(f"{shown(uri)} is not allowed: {exc}") from exc
        if images is None:
            raise UriNotAllowed(f"{shown(uri)} is not allowed: {OUTSIDE}")
        found = images.find(address)
        if span is not None and span.size_bytes > self._max_bytes:
            raise TooManyBytes(f"{shown(uri)} names {span.size_bytes} bytes; the limit is {self._max_bytes}")
        return found, span

    def _judged(self, outage: Outage, origin: str, uri: str) -> Exception:
        if self._outages.worth_waiting(origin, uri):
            return StoreUnavailable(str(outage))
        kind = UriTooSlow if outage.slow else UriUnavailable
        return kind(f"{outage}; gave up")

    def close(self) -> None:
        """Close all connections."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _by_scheme(allowed: Sequence[str]) -> dict[str, list[Any]]:
    prefixes: dict[str, list[Any]] = {}
    for prefix in allowed:
        scheme = _scheme(prefix)
        try:
            prefixes.setdefault(scheme.name, []).append(scheme.parse(prefix))
        except ValueError as exc:
            raise Misconfigured(f"--allow-uri {shown(prefix)}: {exc}; write it as {scheme.prefix}") from exc
    return prefixes


def _scheme(prefix: str) -> Scheme[Any]:
    try:
        return scheme_of(prefix)
    except ValueError as exc:
        raise Misconfigured(f"--allow-uri {shown(prefix)}: {exc}") from exc


def check_extra(scheme: Scheme[Any], where: str) -> None:
    """Refuse a setting (`where`) that names a scheme whose extra is not installed.

    Raises
    ------
    Misconfigured
        It is not.
    """
    if scheme.package is not None and importlib.util.find_spec(scheme.package) is None:
        raise Misconfigured(
            f"{where}: {scheme.package} is not installed; install neardup with its extra: neardup[{scheme.name}]"
        )
