"""Where a Chromium comes from: installed on this machine, or Debian's package, which root may install."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from demo.services.cache import cache_root, only_one
from demo.services.errors import ServiceUnavailable
from demo.services.packages import run_tool

_SERVICE = "Chromium"
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PACKAGES = ("chromium", "fonts-dejavu-core")
"""A machine without any font shows no text, and every page is narrow."""
_FETCH_TIMEOUT_S = 600
_APT = ["apt-get", "-qq", "-oAcquire::http::Timeout=30", "-oAcquire::Retries=2", "-oDPkg::Lock::Timeout=300"]


def find_chromium(environ: Mapping[str, str], say: Callable[[str], None]) -> Path:
    """Return the program of a Chromium: the one on the path, else Debian's, installed when we are root.

    Installed, not unpacked into our cache as Redis is: it needs dozens of libraries, fonts and files at fixed places.

    Raises
    ------
    ServiceUnavailable
        There is none, and it cannot be installed here.
    """
    found = _installed(environ)
    if found is None:
        say("Chromium: none on the path")
        found = _from_debian(environ, say)
    say(f"Chromium: running {found}")
    return found


def _installed(environ: Mapping[str, str]) -> Path | None:
    path = environ.get("PATH", "")
    return next((Path(found) for name in _NAMES if (found := shutil.which(name, path=path))), None)


def _from_debian(environ: Mapping[str, str], say: Callable[[str], None]) -> Path:
    if not shutil.which("apt-get", path=environ.get("PATH", "")):
        raise ServiceUnavailable(_SERVICE, "none on the path, and no apt-get here to install it with")
    if os.geteuid() != 0:
        raise ServiceUnavailable(_SERVICE, "none on the path, and only root may install it: apt-get install chromium")
    root = cache_root(environ)
    root.mkdir(parents=True, exist_ok=True)
    with only_one(root / "chromium.lock"):
        if _installed(environ) is None:
            say("Chromium: installing the package chromium with apt-get (100 MB, once) ...")
            _install(environ)
    found = _installed(environ)
    if found is None:
        raise ServiceUnavailable(_SERVICE, "apt-get installed the package chromium, and there is none on the path")
    return found


def _install(environ: Mapping[str, str]) -> None:
    """Install the package; its lists are renewed first, since an old one names versions that are gone."""
    run_tool(_SERVICE, [*_APT, "update"], environ, _FETCH_TIMEOUT_S)
    run_tool(_SERVICE, [*_APT, "install", "-y", "--no-install-recommends", *_PACKAGES], environ, _FETCH_TIMEOUT_S)
