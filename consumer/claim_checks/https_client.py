"""Fetches images from https hosts.

Uses aiohttp directly, not fsspec's http files, which follow redirects, read without a limit and decompress. Here each
rule is enforced where it counts: the address when its socket is created, each redirect before it is followed, the size
while bytes arrive, and the time for the whole fetch.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from consumer.claim_checks.allowed import Target
from consumer.claim_checks.errors import Outage, shown
from consumer.claim_checks.spans import Span, whole
from neardup.errors import Misconfigured, TooManyBytes, UriAddressNotAllowed, UriNotAllowed, UriTooSlow, UriUnreadable

if TYPE_CHECKING:
    import aiohttp

MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_OK, _A_PART = 200, 206
_TURNS_TO_CLOSE = 5
"""Turns of the event loop: sockets are closed by callbacks, some of which schedule more."""

_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class HttpsClient:
    """Reads over https from any number of threads, which share connections.

    Parameters
    ----------
    allowed
        Parses an allowed https URI; ValueError for all others. Called for every redirect, too.
    permitted
        Says whether connecting to an address is allowed.
    max_bytes
        Largest image, in bytes.
    connect_timeout_s, timeout_s
        Seconds for one connection, and for the whole fetch.
    ca_file
        PEM file of trusted certificate authorities; None for the system's.
    resolver
        Resolves hosts; None for the system's resolver.

    Raises
    ------
    Misconfigured
        `ca_file` cannot be read.
    """

    def __init__(
        self,
        *,
        allowed: Callable[[str], Target],
        permitted: Callable[[str], bool],
        max_bytes: int,
        connect_timeout_s: float,
        timeout_s: float,
        ca_file: str | None = None,
        resolver: "aiohttp.abc.AbstractResolver | None" = None,
    ) -> None:
        self._allowed = allowed
        self._permitted = permitted
        self._max_bytes = max_bytes
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._tls = _tls(ca_file)
        self._resolver = resolver
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="https", daemon=True)
        self._thread.start()
        self._session = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    async def _open(self) -> "aiohttp.ClientSession":
        import aiohttp  # noqa: PLC0415 - an extra

        connector = aiohttp.TCPConnector(
            ssl=self._tls,
            resolver=self._resolver or aiohttp.ThreadedResolver(),
            socket_factory=self._socket,
            happy_eyeballs_delay=None,  # one after the other: the first address that is not allowed ends it
            limit=0,  # the threads that ask are few
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
            headers={"Accept-Encoding": "identity", "User-Agent": "neardup"},
            auto_decompress=False,
            trust_env=False,  # no proxy, no .netrc
        )

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make a socket for exactly this address if it is allowed; no second lookup could return another."""
        family, kind, protocol, _, address = info
        if not self._permitted(str(address[0])):
            raise UriAddressNotAllowed(
                "the host has an address that is private, local or reserved; see --allow-private-addresses"
            )
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        return made

    def read(self, target: Target, span: Span | None = None) -> bytes:
        """Return the bytes behind an allowed URI, or a part of them.

        Raises
        ------
        UriNotAllowed, UriAddressNotAllowed, UriUnreadable, UriTooSlow, TooManyBytes
            Why not.
        Outage
            The host does not answer or cannot serve now.
        """
        return asyncio.run_coroutine_threadsafe(self._fetch(target, span), self._loop).result()

    async def _fetch(self, target: Target, span: Span | None) -> bytes:
        import aiohttp  # noqa: PLC0415 - an extra

        name = shown(target.uri)
        answering = [False]
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(target, span, answering)
        except TimeoutError as exc:
            if answering[0]:
                raise UriTooSlow(f"{name} took longer than {self._timeout_s:g} s") from exc
            raise Outage(f"{name}: no answer in time", slow=True) from exc
        except UriAddressNotAllowed as exc:
            raise UriAddressNotAllowed(f"{name}: {exc}") from exc
        except aiohttp.ClientConnectorCertificateError as exc:  # a ValueError, too
            raise Outage(f"{name}: {exc.certificate_error}") from exc
        # The texts of these errors hold the URI, its query too.
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL, ValueError) as exc:
            raise UriUnreadable(f"{name}: its host sends invalid HTTP ({type(exc).__name__})") from exc
        except aiohttp.ClientConnectorError as exc:
            raise Outage(f"{name}: {_what_failed(exc.os_error)}") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise Outage(f"{name}: the connection was lost ({type(exc).__name__})") from exc

    async def _follow(self, target: Target, span: Span | None, answering: list[bool]) -> bytes:
        from yarl import URL  # noqa: PLC0415 - an extra

        headers = {} if span is None else {"Range": f"bytes={span.first}-{span.last}"}
        for _ in range(MOST_REDIRECTS + 1):
            # Encoded already: request exactly what was checked.
            url = URL(target.uri, encoded=True)
            async with self._session.get(url, allow_redirects=False, headers=headers) as answer:
                try:
                    if answer.status not in _REDIRECTS:
                        answering[0] = True
                        return whole(await self._body(target, span, answer), span, shown(target.uri))
                    target = self._next(target, answer.headers.get("Location", ""))
                finally:
                    _abort_unless_done(answer)
        raise UriUnreadable(f"{shown(target.uri)}: more than {MOST_REDIRECTS} redirects")

    def _next(self, target: Target, location: str) -> Target:
        onward = ""
        try:
            onward = urljoin(target.uri, location)
            return self._allowed(onward)
        except ValueError as exc:
            raise UriNotAllowed(f"{shown(target.uri)} redirects to {shown(onward or location)}: {exc}") from exc

    async def _body(self, target: Target, span: Span | None, answer: "aiohttp.ClientResponse") -> bytes:
        name = shown(target.uri)
        if answer.status in _TRY_AGAIN:
            raise Outage(f"{name}: HTTP {answer.status}")
        if span is not None and answer.status == _OK:
            raise UriUnreadable(f"{name}: its host sends only the whole of it, not a part")
        if answer.status != (_OK if span is None else _A_PART):
            raise UriUnreadable(f"{name}: HTTP {answer.status}")
        if span is not None and not answer.headers.get("Content-Range", "").startswith(f"bytes {span.first}-"):
            raise UriUnreadable(f"{name}: its host sends another part than was asked for")
        if answer.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
            raise UriUnreadable(f"{name} is sent compressed, though the request asked for no compression")
        if (answer.content_length or 0) > self._max_bytes:
            raise TooManyBytes(f"{name} has {answer.content_length} bytes; the limit is {self._max_bytes}")
        chunks, size = [], 0
        async for chunk in answer.content.iter_any():
            size += len(chunk)
            if size > self._max_bytes:
                raise TooManyBytes(f"{name} has more than {self._max_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def _close(self) -> None:
        await self._session.close()
        for left in self._sockets:  # hosts that are slow to close
            with contextlib.suppress(OSError):
                left.shutdown(socket.SHUT_RDWR)
        for _ in range(_TURNS_TO_CLOSE):
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close all connections."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _what_failed(error: OSError) -> str:
    # asyncio's own texts hold the address.
    if isinstance(error, socket.gaierror):
        return "no address was found for its host"
    return os.strerror(error.errno) if error.errno else "no connection"


def _abort_unless_done(answer: "aiohttp.ClientResponse") -> None:
    # A clean TLS shutdown would wait for a slow sender, and keep reading an endless body.
    connection = answer.connection
    if connection is not None and connection.transport is not None and not answer.content.at_eof():
        connection.transport.abort()


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise Misconfigured(f"--uri-ca-file {ca_file!r}: cannot read certificates from it: {exc.strerror}") from exc
