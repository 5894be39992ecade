"""Connects to Redis, and translates its errors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import parse_url
from redis.credentials import CredentialProvider
from redis.event import AfterSlotsCacheRefreshEvent, EventDispatcher, EventListenerInterface
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
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
from redis.sentinel import MasterNotFoundError

from neardup.errors import CorruptIndex, Misconfigured, RedisUnavailable
from neardup.index.stored.sentinel import PARAMETERS as SENTINEL_PARAMETERS
from neardup.index.stored.sentinel import sentinel_client
from neardup.secrets import FileSecret
from neardup.wording import counted

TIMEOUT_S = 5.0
"""For one reply; a commit takes milliseconds, so a longer wait means a stalled server."""

_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)
# A read-only server has been replaced by another, perhaps at the same address: after any of these errors we reconnect,
# or the connection would stay with the old server for ever.
_RECONNECTED = (RedisConnectionError, RedisTimeoutError, ReadOnlyError)
# Connection errors cover everything that is not a reply; these are temporary error replies. A server that took
# the place of another within one attempt knows no scripts: the next attempt tells it.
_PASSING = (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
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
    "UNBLOCKED ",
    "MISCONF ",
    "BUSY ",
)
# OpenSSL errors, on either side: a certificate that is missing, untrusted or for another host, or no TLS at all.
_TLS_REFUSALS = ("CERTIFICATE_VERIFY_FAILED", "_ALERT_", "WRONG_VERSION_NUMBER", "NO_CERTIFICATE_OR_CRL_FOUND")
_HUNG_UP = "EOF occurred in violation of protocol"
_NO_NODE = "'NoneType' object has no attribute 'redis_connection'"
"""What redis-py raises where a node of a cluster names another one that it has not met yet."""
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_WITH_DATABASE = ("redis", "rediss", "redis+cluster", "rediss+cluster")
_HISTORY = (("server", "run_id"), ("replication", "master_replid"))
_SECRET_PARAMETERS = ("password", "ssl_password", "sentinel_password")
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

    ``redis+cluster://`` and ``rediss+cluster://`` name any node of a Redis Cluster, which is asked for the others;
    ``redis+sentinel://`` and ``rediss+sentinel://`` name sentinels, which are asked for the primary each time that a
    connection is made. The client itself retries only once, with a new connection. `password` is for a URL without
    one; one from a file is read there again for each connection.

    Raises
    ------
    Misconfigured
        The URL is invalid, has an unknown parameter or value, holds a password besides `password`, or names missing
        TLS files; or the cluster refuses this client.
    RedisUnavailable
        The cluster does not answer.
    """
    url = url.strip()  # as a file or a variable may end
    scheme, separator, rest = url.partition("://")
    _check(url, password)
    plain, plus, kind = scheme.partition("+")
    if plus and (kind not in _KINDS or plain == "unix"):
        raise Misconfigured(
            f"not a Redis URL: {masked(url)}: after redis or rediss and a plus stands {' or '.join(_KINDS)}"
        )
    opened: Any = _KINDS.get(kind, redis.Redis.from_url)
    bare, login = _login(f"{plain}{separator}{rest}", password)
    try:
        with translated_errors():
            client = opened(
                bare,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 1, _RECONNECTED),
                health_check_interval=30,
                **login,
            )
            _check_values(client)
    except (ValueError, TypeError) as exc:
        # All but the name of a parameter may contain part of a password.
        named = re.search(r"(?:Invalid value for|unexpected keyword argument) '(\w+)'", str(exc))
        what = f"its {named[1]} does not work" if named else "write redis://user@host:6379/0"
        raise Misconfigured(f"not a Redis URL: {masked(url)}: {what}") from None
    # A cluster client has the same commands, but redis-py gives the two no common type.
    return cast("redis.Redis", client)


class _StartNodes(EventListenerInterface):
    """Has redis-py ask all nodes that it knows where the others are, and the URL's host as well.

    By itself it forgets either that host, and is lost when all nodes have moved, or all others, and is lost when that
    one has died.
    """

    def __init__(self, nodes: Any) -> None:  # noqa: ANN401 - a NodesManager, without types
        self._nodes = nodes
        self._named = dict(nodes.startup_nodes)
        self.listen()

    def listen(self, event: object = None) -> None:  # noqa: ARG002 - all of them say that nodes were found
        """Take in the nodes that were found."""
        self._nodes.startup_nodes = {**self._named, **self._nodes.nodes_cache}


def _cluster_client(url: str, **connection: Any) -> RedisCluster:  # noqa: ANN401 - as `redis.Redis.from_url` takes them
    """Return a client of the cluster that the URL's host belongs to, or whatever has its name later."""
    if cast("Any", parse_url)(url).get("db"):
        raise Misconfigured("a URL for a Redis Cluster has no number of a database")
    # The values of one connection are those of all.
    _check_values(redis.Redis.from_url(url, **connection))
    found = EventDispatcher()
    options = {"dynamic_startup_nodes": False, "event_dispatcher": found, **connection}
    client: RedisCluster = cast("Any", RedisCluster.from_url)(url, **options)
    found.register_listeners({AfterSlotsCacheRefreshEvent: [_StartNodes(client.nodes_manager)]})
    return client


_KINDS = {"cluster": _cluster_client, "sentinel": sentinel_client}
"""What opens a URL whose scheme ends in one of these, after a plus."""


class _FromFile(CredentialProvider):
    """The password as its file has it when a connection is made: passwords are rotated, and tokens last minutes."""

    def __init__(self, user: str | None, password: FileSecret) -> None:
        self._user = user
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._password.now()
        return (self._user, password) if self._user else (password,)


def _login(url: str, password: str | None) -> tuple[str, dict[str, Any]]:
    """Return the URL, and how to log in besides what it says."""
    if not isinstance(password, FileSecret):
        return url, {} if password is None else {"password": password}
    # redis-py wants all of a login from one place.
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    user, *_ = asked.pop("username", [parts.username and unquote(parts.username)])
    # Put together by hand: urllib leaves out the slashes before a path alone, as in unix:///run/redis.sock.
    query = f"?{urlencode(asked, doseq=True)}" if asked else ""
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"
    return bare, {"credential_provider": _FromFile(user, password)}


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
    # Of what is no number redis-py would make database 0, and of several numbers one.
    if parts.scheme in _WITH_DATABASE and not re.fullmatch("(/([0-9]+/?)?)?", parts.path):
        raise Misconfigured(f"not a Redis URL: {masked(url)}: after the port stands the number of a database, as in /0")
    if own and password is not None:
        raise Misconfigured("the Redis URL holds a password, and another is given separately: give only one")
    _check_parameters(parts.scheme, parameters)


def _check_parameters(scheme: str, parameters: Mapping[str, list[str]]) -> None:
    known = (*_PARAMETERS, *_TLS_PARAMETERS, *(SENTINEL_PARAMETERS if scheme.endswith("+sentinel") else ()))
    for name in parameters:
        if name in _TLS_PARAMETERS and not scheme.startswith("rediss"):
            raise Misconfigured(f"the Redis URL has the parameter {name}, which is for rediss:// (TLS)")
        if name not in known:
            raise Misconfigured(f"the Redis URL has the parameter {name!r}, which is none of: {', '.join(known)}")
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
    host = re.sub(r":(?![0-9]+([/,]|$))[^/]*", ":***", host, count=1) if ":" in host and "[" not in host else host
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
    except (RedisError, RedisClusterException, OSError) as exc:
        raise _translated(_of_node(exc)) from exc
    except AttributeError as exc:
        if _NO_NODE not in str(exc):
            raise
        raise RedisUnavailable("Redis cannot serve right now: a slot moves to a node that had none") from exc


def _of_node(exc: BaseException) -> BaseException:
    """Return what went wrong at a node, where redis-py tells that it found no cluster."""
    while isinstance(exc, RedisClusterException):
        # Whatever a node answers, redis-py says that it is not in cluster mode; the answer is left in the context.
        answer = exc.__context__ if isinstance(exc.__context__, ResponseError) else None
        inner = exc.__cause__ or answer
        if inner is None:
            break
        exc = inner
    return exc


def _translated(exc: BaseException) -> Exception:
    said = str(exc)
    if isinstance(exc, _REFUSED):
        return Misconfigured(f"Redis rejected the client: {_why_refused(said)}")
    if isinstance(exc, _PASSING) or (isinstance(exc, ResponseError) and any(text in said for text in _PASSING_TEXTS)):
        return RedisUnavailable(f"Redis cannot serve right now: {said}")
    if isinstance(exc, ResponseError):
        if "WRONGTYPE" in said:
            return CorruptIndex(f"a key of the index is not what it should be: {said}")
        return Misconfigured(f"Redis rejected a command: {said}")
    return _of_silence(exc, said)


def _of_silence(exc: BaseException, said: str) -> Exception:
    if any(sign in said for sign in _TLS_REFUSALS):
        return Misconfigured(f"the TLS handshake with Redis failed: {said}")
    if isinstance(exc, MasterNotFoundError) and AuthenticationError.__name__ in said:
        return Misconfigured(f"the sentinels rejected the login of the URL: {said}")
    if isinstance(exc, MasterNotFoundError):
        return RedisUnavailable(f"Redis: {_of_sentinels(said)}")
    hint = ""
    if _HUNG_UP in said:  # TLS 1.3 lets us write before the server has refused: its reason may or may not arrive
        hint = "; it may require a client certificate"
    elif "handshake" in str(exc.__cause__ or exc.__context__):
        hint = " in the TLS handshake: rediss:// is for a server that speaks TLS"
    return RedisUnavailable(f"Redis does not answer: {said}{hint}")


def _of_sentinels(said: str) -> str:
    """Return in a line why sentinels gave no primary: redis-py shows each of its clients that got no answer."""
    what, _, why = said.partition(" : ")
    silent = why.count("<redis.client.Redis(")
    if not silent:
        return f"{what}: the sentinels know no primary of that name that is up"
    return f"{what}: {counted(silent, 'sentinel')} did not answer, and no other knows a primary of that name that is up"


def _why_refused(said: str) -> str:
    # Without a password, Redis's own message is about the protocol.
    return f"it requires a password, and none was given ({said})" if "HELLO must be called" in said else said


def require_no_eviction(client: redis.Redis) -> None:
    """Refuse a Redis that may evict members.

    Raises
    ------
    Misconfigured
        A memory limit is set together with an eviction policy.
    """
    with translated_errors():
        nodes = _of_each(client, "memory")
    for memory in nodes:
        policy = memory.get("maxmemory_policy", "noeviction")
        if memory.get("maxmemory", 0) and policy != "noeviction":
            raise Misconfigured(
                f"Redis evicts keys when it is full (maxmemory-policy {policy}), which would lose members: "
                "set maxmemory-policy noeviction"
            )


def require_replicas(client: Any, count: int) -> None:  # noqa: ANN401 - redis.Redis, or a cluster
    """Refuse to wait for replicas where they cannot be waited for.

    Raises
    ------
    Misconfigured
        It is a cluster, whose client does not say which node a command went to.
    """
    if count and isinstance(client, RedisCluster):
        raise Misconfigured(
            "in a Redis Cluster there is no waiting for replicas: wait for none, and set min-replicas-to-write"
        )


def run_of(client: Any) -> str:  # noqa: ANN401 - redis.Redis, or a cluster
    """Return what is another one once a server has been started again, or another one has taken its place.

    A server that was a replica meanwhile is the same process, but what it holds has another history.
    """
    with translated_errors():
        told = [node.get(field, "") for section, field in _HISTORY for node in _of_each(client, section)]
    return " ".join(sorted(map(str, told)))


def _of_each(client: Any, section: str) -> list[dict[str, object]]:  # noqa: ANN401 - as above
    """Return a section of what each primary tells of itself."""
    if not isinstance(client, RedisCluster):
        return [client.info(section)]
    told = client.info(section, target_nodes=RedisCluster.PRIMARIES)
    # A cluster of one primary answers as that one does.
    return list(told.values()) if all(isinstance(each, dict) for each in told.values()) else [told]
