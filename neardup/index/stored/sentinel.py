"""Finds the primary through Redis Sentinel, each time that a connection is made."""

from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from neardup.errors import Misconfigured

PORT = 26379
PARAMETERS = ("sentinel_username", "sentinel_password")
"""Of a URL: the login at the sentinels, where they have one."""
_OF_BOTH = ("socket_", "ssl_")
_FORM = "redis+sentinel://user@sentinel-1:26379,sentinel-2:26379/mymaster/0"


def sentinel_client(url: str, **connection: Any) -> redis.Redis:  # noqa: ANN401 - as `redis.Redis.from_url` takes them
    """Return a client of the primary that sentinels watch over; nothing is sent yet.

    Parameters
    ----------
    url
        ``redis://``, or ``rediss://`` for TLS, to the sentinels as well; the primary's user; hosts and ports of
        sentinels, divided by commas; the primary's name; the number of the database, unless it is 0.
    connection
        What else holds for connections to the primary. Timeouts and TLS hold for the sentinels, too.

    Raises
    ------
    Misconfigured
        No sentinel is named, or no primary.
    ValueError
        A value does not work.
    """
    parts = urlsplit(url)
    login, at, places = parts.netloc.rpartition("@")
    name, _, database = unquote(parts.path).strip("/").partition("/")
    hosts = [_host_and_port(place) for place in places.split(",")]
    if not name or not all(host for host, _ in hosts):
        raise Misconfigured(f"a URL for Sentinel names sentinels and after them the primary: write {_FORM}")
    if database and not database.isdecimal():
        raise Misconfigured(
            f"a URL for Sentinel ends in the number of a database, or in the primary's name: write {_FORM}"
        )
    asked = parse_qs(parts.query)
    own = {each.removeprefix("sentinel_"): asked.pop(each)[0] for each in PARAMETERS if each in asked}
    # What is left is a URL as redis-py reads it, but for the host, which the sentinels will tell.
    rest = parts._replace(netloc=f"{login}{at}unknown", path=f"/{database}", query=urlencode(asked, doseq=True))
    given: dict[str, Any] = {**cast("Any", parse_url)(rest.geturl()), **connection}
    del given["host"]
    secure = given.pop("connection_class", None) is not None
    shared = {key: value for key, value in given.items() if key.startswith(_OF_BOTH)}
    # A sentinel whose host is gone costs one timeout, and the next one is asked.
    shared |= {"ssl": secure, "retry": Retry(NoBackoff(), 0)}
    sentinel = cast("Any", Sentinel)(hosts, sentinel_kwargs={**shared, **own}, ssl=secure, **given)
    return cast("redis.Redis", sentinel.master_for(name))


def _host_and_port(place: str) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    return parts.hostname or "", parts.port or PORT
