"""Connects to Redis, and translates its errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from neardup.errors import CorruptIndex, Misconfigured, RedisUnavailable

TIMEOUT_S = 5.0
"""For one reply; a commit takes milliseconds, so a longer wait means a stalled server."""

_CLUSTER = "+cluster"
_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)
# A read-only server has been replaced by another, perhaps at the same address: after any of these errors we reconnect,
# or the connection would stay with the old server for ever.
_RECONNECTED = (RedisConnectionError, RedisTimeoutError, ReadOnlyError)
# Connection errors cover everything that is not a reply; these are temporary error replies.
_PASSING = (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
_PASSING_TEXTS = (
    "OOM ",
    "LOADING ",
    "READONLY ",
    "MASTERDOWN ",
    "CLUSTERDOWN ",
    "NOREPLICAS ",
    "MISCONF ",
    "BUSY ",
)
# OpenSSL errors, on either side: a certificate that is missing, untrusted or for another host, or no TLS at all.
_TLS_REFUSALS = ("CERTIFICATE_VERIFY_FAILED", "_ALERT_", "WRONG_VERSION_NUMBER", "NO_CERTIFICATE_OR_CRL_FOUND")
_HUNG_UP = "EOF occurred in violation of protocol"
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SECRET_PARAMETERS = ("password", "ssl_password")
_PARAMETERS = (
    *("client_name", "db", "health_check_interval", "max_connections", "password", "socket_connect_timeout"),
    *("socket_keepalive", "socket_timeout", "username"),
)
_TLS_PARAMETERS = (
    *_TLS_FILES,
    *("ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers", "ssl_min_version"),
    "ssl_password",
)
"""What a URL may set. redis-py takes more: it would change its replies under us (`decode_responses`), or fail at the
first command, which looks like a defect or an outage."""


def connect(url: str, password: str | None = None, *, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """Return a client for a ``redis://``, ``rediss://`` or ``unix://`` URL; nothing is sent yet.

    ``redis+cluster://`` and ``rediss+cluster://`` name any node of a Redis Cluster, which is asked for the others.
    The client itself retries only once, with a new connection. `password` is for a URL without one.

    Raises
    ------
    Misconfigured
        The URL is invalid, has an unknown parameter or value, holds a password besides `password`, or names missing
        TLS files.
    RedisUnavailable
        The cluster does not answer.
    """
    scheme, separator, rest = url.partition("://")
    in_cluster = scheme.endswith(_CLUSTER)
    _check(url, password)
    kind: Any = RedisCluster if in_cluster else redis.Redis
    try:
        with translated_errors():
            client = kind.from_url(
                scheme.removesuffix(_CLUSTER) + separator + rest,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 1, _RECONNECTED),
                health_check_interval=30,
                **({} if password is None else {"password": password}),
            )
            _check_values(client)
    except (ValueError, TypeError) as exc:
        # All but the name of a parameter may contain part of a password.
        named = re.search(r"(?:Invalid value for|unexpected keyword argument) '(\w+)'", str(exc))
        what = f"its {named[1]} does not work" if named else "write redis://user@host:6379/0"
        raise Misconfigured(f"not a Redis URL: {masked(url)}: {what}") from None
    # A cluster client has the same commands, but redis-py gives the two no common type.
    return cast("redis.Redis", client)


def _check(url: str, password: str | None) -> None:
    """Refuse what redis-py would misread, silently override, or only notice when it connects."""
    try:
        parts = urlsplit(url)
        parameters = parse_qs(parts.query)
        own = parts.password or parameters.get("password")
    except ValueError:
        raise Misconfigured(f"not a Redis URL: {masked(url)}") from None
    if parts.scheme != "unix" and "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise Misconfigured(
            f"not a Redis URL: {masked(url)}: write /, ?, # and @ in a password as %2F, %3F, %23 and %40"
        )
    if own and password is not None:
        raise Misconfigured("the Redis URL holds a password, and another is given separately: give only one")
    for name in parameters:
        if name in _TLS_PARAMETERS and not parts.scheme.startswith("rediss"):
            raise Misconfigured(f"the Redis URL has the parameter {name}, which is for rediss:// (TLS)")
        if name not in (*_PARAMETERS, *_TLS_PARAMETERS):
            known = ", ".join((*_PARAMETERS, *_TLS_PARAMETERS))
            raise Misconfigured(f"the Redis URL has the parameter {name!r}, which is none of: {known}")
    for name in _TLS_FILES:
        for path in parameters.get(name, []):
            if not Path(path).is_file():
                raise Misconfigured(f"Redis: {name} of the URL: there is no file {path!r}")


def _check_values(client: Any) -> None:  # noqa: ANN401 - redis.Redis, or a cluster
    """Refuse values that redis-py looks at when it makes a connection, and would then take for an outage."""
    if isinstance(client, redis.Redis):
        pool = client.connection_pool
        try:
            pool.connection_class(**pool.connection_kwargs)  # opens nothing yet
        except RedisError as exc:
            raise Misconfigured(f"the Redis URL has a value that does not work: {exc}") from None


def masked(url: str) -> str:
    """Return the URL with its passwords replaced by stars."""
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    host, question, query = host.partition("?")
    # A password without a host after it is in the port's place.
    host = re.sub(r":(?![0-9]+(/|$))[^/]*", ":***", host, count=1) if ":" in host and "[" not in host else host
    place = f"{host}{question}{'&'.join(map(_masked_parameter, query.split('&')))}"
    if not at:
        return f"{scheme}{separator}{place}"
    # In a malformed URL the password may follow any of these.
    user = re.split("[:/?#]", credentials)[0]
    return f"{scheme}{separator}{user}:***@{place}"


def _masked_parameter(text: str) -> str:
    name = text.partition("=")[0]
    return f"{name}=***" if unquote(name) in _SECRET_PARAMETERS else text


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the project's errors in place of redis-py's.

    Raises
    ------
    RedisUnavailable
        Not reachable, loading, read-only or full: it may be temporary.
    Misconfigured
        Access was denied, or Redis does not know the command.
    CorruptIndex
        A key of the index has the wrong type.
    """
    try:
        yield
    except _REFUSED as exc:
        raise Misconfigured(f"Redis rejected the client: {_why_refused(exc)}") from exc
    except _PASSING as exc:
        raise RedisUnavailable(f"Redis cannot serve right now: {exc}") from exc
    except ResponseError as exc:
        if any(text in str(exc) for text in _PASSING_TEXTS):
            raise RedisUnavailable(f"Redis cannot serve right now: {exc}") from exc
        if "WRONGTYPE" in str(exc):
            raise CorruptIndex(f"a key of the index is not what it should be: {exc}") from exc
        raise Misconfigured(f"Redis rejected a command: {exc}") from exc
    except (RedisError, RedisClusterException, OSError) as exc:
        if any(sign in str(exc) for sign in _TLS_REFUSALS):
            raise Misconfigured(f"the TLS handshake with Redis failed: {exc}") from exc
        # TLS 1.3 lets us write before the server has refused: its reason may or may not arrive.
        hint = "; it may require a client certificate" if _HUNG_UP in str(exc) else ""
        raise RedisUnavailable(f"Redis does not answer: {exc}{hint}") from exc


def _why_refused(exc: RedisError) -> str:
    # Without a password, Redis's own message is about the protocol.
    return f"it requires a password, and none was given ({exc})" if "HELLO must be called" in str(exc) else str(exc)


def require_no_eviction(client: redis.Redis) -> None:
    """Refuse a Redis that may evict members.

    Raises
    ------
    Misconfigured
        A memory limit is set together with an eviction policy.
    """
    with translated_errors():
        nodes = _memory_of_each(client)
    for memory in nodes:
        policy = memory.get("maxmemory_policy", "noeviction")
        if memory.get("maxmemory", 0) and policy != "noeviction":
            raise Misconfigured(
                f"Redis evicts keys when it is full (maxmemory-policy {policy}), which would lose members: "
                "set maxmemory-policy noeviction"
            )


def _memory_of_each(client: Any) -> list[dict[str, object]]:  # noqa: ANN401 - redis.Redis, or a cluster
    if isinstance(client, RedisCluster):
        return list(client.info("memory", target_nodes=RedisCluster.PRIMARIES).values())
    return [client.info("memory")]
