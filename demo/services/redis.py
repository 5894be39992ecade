"""Provides a Redis: the one that the environment names, one on this machine, or one that we fetch."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from demo.services.errors import ServiceFailed
from demo.services.process import HOST, Server, accepts
from demo.services.redis_program import RedisProgram, find_redis_program

_SERVICE = "Redis"
_ADDRESS_VARIABLE = "NEARDUP_REDIS_URL"
# A refused password counts as a lost connection there, and is tried again for seconds.
_NO_RETRY = Retry(NoBackoff(), 0)
_SETTINGS = {
    "bind": HOST,
    "daemonize": "no",
    "save": '""',
    "appendonly": "no",
    # An index that forgets members under memory pressure answers "unique" to what it has seen.
    "maxmemory-policy": "noeviction",
}


class RedisServer(Server):
    """A Redis of our own.

    Parameters
    ----------
    program
        What to run.
    settings
        Lines of redis.conf over ours: name to the rest of its line, `{"appendonly": "yes"}` for example.
    """

    service = _SERVICE

    def __init__(self, program: RedisProgram, settings: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._program = program
        self._settings = {"port": str(self.address[1]), "dir": f'"{self.folder}"', **_SETTINGS, **(settings or {})}

    @property
    def url(self) -> str:
        """Where clients connect, with the password should one be set."""
        host, port = self.address
        password = self._settings.get("requirepass")
        login = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{login}{host}:{port}/0"

    def _prepare(self) -> None:
        lines = [f"{name} {value}\n" for name, value in self._settings.items()]
        (self.folder / "redis.conf").write_text("".join(lines), "utf-8")

    def _command(self) -> list[str]:
        return [str(self._program.path), str(self.folder / "redis.conf")]

    def _environment(self) -> Mapping[str, str]:
        return self._program.environment

    def _answers(self, timeout_s: float) -> bool:
        return accepts(self.address) and _why_silent(self.url, timeout_s) is None


@contextmanager
def open_redis(environ: Mapping[str, str], say: Callable[[str], None]) -> Iterator[str]:
    """Give the URL of a Redis that answers, and end the server afterwards if it is ours.

    Parameters
    ----------
    environ
        NEARDUP_REDIS_URL names a Redis that runs already; PATH, HOME and XDG_CACHE_HOME are looked into.
    say
        Told each step.

    Raises
    ------
    ServiceFailed
        The Redis that the environment names does not answer, or ours did not start.
    ServiceUnavailable
        No Redis can be had here.
    """
    url = environ.get(_ADDRESS_VARIABLE)
    if url:
        yield _checked(url, say)
        return
    say(f"Redis: {_ADDRESS_VARIABLE} names none")
    program = find_redis_program(environ, say)
    began_s = time.monotonic()
    with RedisServer(program) as server:
        took_s = time.monotonic() - began_s
        say(f"Redis: started at {server.url} in {took_s:.1f} s, process {server.pid}")
        yield server.url


def _checked(url: str, say: Callable[[str], None]) -> str:
    """Return the URL that the environment names, once it has answered."""
    shown = _without_password(url)
    why = _why_silent(url, timeout_s=5.0)
    if why:
        raise ServiceFailed(_SERVICE, f"{shown}, named by {_ADDRESS_VARIABLE}, does not answer: {why}")
    say(f"Redis: {shown}, named by {_ADDRESS_VARIABLE}")
    return url


def _without_password(url: str) -> str:
    """Return a URL that may be shown."""
    parts = urlsplit(url)
    _, at, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"***@{place}" if at else place).geturl()


def _why_silent(url: str, timeout_s: float) -> str | None:
    """Send PING; return why no PONG came, None if it came."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=_NO_RETRY
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return str(error)
    return None
