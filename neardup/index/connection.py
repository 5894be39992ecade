"""Reaching Redis, and telling its errors apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

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
from redis.retry import Retry

from neardup.errors import CorruptIndex, Misconfigured, RedisUnavailable

TIMEOUT_S = 5.0
"""Of one reply; a commit takes milliseconds, and a stalled server must not look like a slow one for long."""

_CLUSTER = "+cluster"
_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)
# Connection errors come with everything that is not a reply; these are replies that pass with time.
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


def connect(url: str, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """Return a client for a ``redis://``, ``rediss://`` or ``unix://`` URL; nothing is sent yet.

    ``redis+cluster://`` and ``rediss+cluster://`` name any node of a Redis Cluster, which is asked for the others.
    The client itself never retries beyond one reconnection: the caller knows what to do meanwhile.

    Raises
    ------
    Misconfigured
        The URL is none.
    RedisUnavailable
        The cluster does not answer.
    """
    scheme, separator, rest = url.partition("://")
    in_cluster = scheme.endswith(_CLUSTER)
    kind: Any = RedisCluster if in_cluster else redis.Redis
    try:
        with translated_errors():
            client = kind.from_url(
                scheme.removesuffix(_CLUSTER) + separator + rest,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 1),
                health_check_interval=30,
            )
    except (ValueError, TypeError) as exc:
        raise Misconfigured(f"not a Redis URL: {masked(url)} ({exc})") from exc
    # A cluster's client has the same commands; redis-py gives the two no type in common.
    return cast("redis.Redis", client)


def masked(url: str) -> str:
    """Return the URL with its password replaced by stars."""
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not at:
        return url
    user = credentials.partition(":")[0]
    return f"{scheme}{separator}{user}:***@{host}"


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the project's errors in place of redis-py's.

    Raises
    ------
    RedisUnavailable
        Not reached, loading, read-only, full: it may pass.
    Misconfigured
        Not allowed in, or Redis does not know what it is asked for.
    CorruptIndex
        A key of ours is something else.
    """
    try:
        yield
    except _REFUSED as exc:
        raise Misconfigured(f"Redis refused us: {exc}") from exc
    except _PASSING as exc:
        raise RedisUnavailable(f"Redis cannot serve right now: {exc}") from exc
    except ResponseError as exc:
        if any(text in str(exc) for text in _PASSING_TEXTS):
            raise RedisUnavailable(f"Redis cannot serve right now: {exc}") from exc
        if "WRONGTYPE" in str(exc):
            raise CorruptIndex(f"a key of the index is not what it should be: {exc}") from exc
        raise Misconfigured(f"Redis rejects what it is asked for: {exc}") from exc
    except (RedisError, RedisClusterException, OSError) as exc:
        raise RedisUnavailable(f"Redis does not answer: {exc}") from exc


def require_no_eviction(client: redis.Redis) -> None:
    """Refuse a Redis that may throw members away.

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
