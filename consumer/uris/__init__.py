"""Claim checks: reading an image from where its envelope says, if the operator allows it."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from consumer.uris.addresses import permitted
from consumer.uris.allowed import SCHEMES, Target, allowed_target, parse_prefix
from consumer.uris.errors import Outage, shown
from consumer.uris.https import HttpsImages
from consumer.uris.local import LocalFiles, file_path
from consumer.uris.outages import Outages
from consumer.uris.stores import ObjectStore
from neardup.errors import BadInput, Misconfigured, StoreUnavailable, UriNotAllowed, UriTooSlow, UriUnavailable

if TYPE_CHECKING:
    import aiohttp

_PACKAGES = {"https": "aiohttp", "s3": "s3fs", "gs": "gcsfs"}


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
        PEM file of the authorities that https hosts are trusted by; None for the system's.
    """

    connect_timeout_s: float = 5.0
    timeout_s: float = 20.0
    patience_s: float = 300.0
    private_addresses: bool = False
    ca_file: str | None = None


class _Fetcher(Protocol):
    def read(self, target: Target) -> bytes: ...


class UriReader:
    """Reads what the allowed prefixes name, and nothing else. Nothing is allowed by default.

    May be used by several threads. Each waits for its own image; connections are kept and shared.

    Parameters
    ----------
    allowed
        Prefixes: ``file:///data/``, ``https://host/path/``, ``s3://bucket/path/``, ``gs://bucket/path/``.
    max_bytes
        Largest image that is read.
    fetch
        How images are fetched over the network.
    permitted_address
        Says whether an https host may have this address; by default the public ones, and those that `fetch` adds.
    resolver
        Finds the addresses of https hosts; None for the system's way.

    Raises
    ------
    Misconfigured
        A prefix is none of these, or its scheme needs an extra that is not installed.
    """

    def __init__(
        self,
        allowed: Sequence[str],
        max_bytes: int,
        fetch: FetchSettings = FetchSettings(),
        *,
        permitted_address: Callable[[str], bool] | None = None,
        resolver: "aiohttp.abc.AbstractResolver | None" = None,
    ) -> None:
        self._files = LocalFiles([_root(prefix) for prefix in allowed if prefix.startswith("file:")], max_bytes)
        self._prefixes = [_prefix(prefix) for prefix in allowed if not prefix.startswith("file:")]
        self._outages = Outages(fetch.patience_s)
        self._https: HttpsImages | None = None
        self._fetchers: dict[str, _Fetcher] = {}
        for scheme in sorted({prefix.scheme for prefix in self._prefixes}):
            _check_extra(scheme)
            if scheme == "https":
                self._https = HttpsImages(
                    allowed=partial(allowed_target, prefixes=self._prefixes),
                    permitted=permitted_address or partial(permitted, private=fetch.private_addresses),
                    max_bytes=max_bytes,
                    connect_timeout_s=fetch.connect_timeout_s,
                    timeout_s=fetch.timeout_s,
                    ca_file=fetch.ca_file,
                    resolver=resolver,
                )
                self._fetchers[scheme] = self._https
            else:
                self._fetchers[scheme] = ObjectStore(scheme, max_bytes, fetch.timeout_s)

    def read(self, uri: str) -> bytes:
        """Return the bytes behind an allowed URI.

        Raises
        ------
        UriNotAllowed, UriAddressNotAllowed, UriUnreadable, UriTooSlow, UriUnavailable, TooManyBytes
            Why not.
        StoreUnavailable
            Where it lies cannot be reached, or cannot serve now: call again later.
        """
        if uri.startswith("file:"):
            return self._files.read(uri)
        try:
            target = allowed_target(uri, self._prefixes)
        except ValueError as exc:
            raise UriNotAllowed(f"{shown(uri)} is not allowed: {exc}") from exc
        try:
            data = self._fetchers[target.scheme].read(target)
        except BadInput:
            self._outages.answered(target.origin, uri)
            raise
        except Outage as outage:
            raise self._judged(outage, target, uri) from outage
        self._outages.answered(target.origin, uri)
        return data

    def _judged(self, outage: Outage, target: Target, uri: str) -> Exception:
        if self._outages.worth_waiting(target.origin, uri):
            return StoreUnavailable(str(outage))
        kind = UriTooSlow if outage.slow else UriUnavailable
        return kind(f"{outage}; given up")

    def close(self) -> None:
        """Let go of all connections."""
        if self._https is not None:
            self._https.close()
            self._https = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _root(prefix: str) -> Path:
    try:
        return file_path(prefix).resolve()
    except ValueError as exc:
        raise Misconfigured(f"--allow-uri {shown(prefix)}: {exc}; say file:///absolute/folder/") from exc


def _prefix(prefix: str) -> Target:
    try:
        return parse_prefix(prefix)
    except ValueError as exc:
        schemes = ", ".join(f"{scheme}:" for scheme in SCHEMES)
        raise Misconfigured(f"--allow-uri {shown(prefix)}: {exc}; prefixes are of {schemes}") from exc


def _check_extra(scheme: str) -> None:
    package = _PACKAGES[scheme]
    if importlib.util.find_spec(package) is None:
        raise Misconfigured(
            f"--allow-uri {scheme}://...: {package} is not installed; install neardup with its extra: neardup[{scheme}]"
        )
