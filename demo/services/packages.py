"""The tools of a package manager, run to their end."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from demo.services.errors import ServiceUnavailable

_UNPACK_TIMEOUT_S = 180


def run_tool(
    service: str, command: list[str], environ: Mapping[str, str], timeout_s: float, folder: Path | None = None
) -> str:
    """Run a command of a package manager to its end, and return what it printed.

    Parameters
    ----------
    service
        What it is for, as an error names it.
    command
        The program, which is looked for on the path, and its arguments.
    environ
        The environment.
    timeout_s
        How long it may take.
    folder
        Where it runs; None for here.

    Raises
    ------
    ServiceUnavailable
        It failed, or took too long; the last line that it said is in the message.
    """
    program = shutil.which(command[0], path=environ.get("PATH", "")) or command[0]
    environment = {**environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [program, *command[1:]],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines() or [f"status {error.returncode}"]
        raise ServiceUnavailable(service, f"{command[0]} could not get it: {said[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(service, f"{command[0]} could not get it: {error}") from error
    return done.stdout


def unpack_debian(service: str, packages: Sequence[str], into: Path, environ: Mapping[str, str]) -> None:
    """Download packages, with all that they need and is not installed, and unpack them into a folder.

    Not installed: that would start servers at fixed ports, and change the system.

    Raises
    ------
    ServiceUnavailable
        They cannot be had.
    """
    archives = into / "archives"
    (archives / "partial").mkdir(parents=True)
    options = _apt_options(archives)
    get = ["install", "-y", "--no-install-recommends", "--reinstall", "--download-only", *packages]
    download = ["apt-get", "-qq", *options, *get]
    try:
        run_tool(service, download, environ, _UNPACK_TIMEOUT_S)
    except ServiceUnavailable:
        # Most often a machine whose package lists are missing or old; only root can renew them.
        if os.geteuid() != 0:
            raise
        run_tool(service, ["apt-get", "-qq", *options, "update"], environ, _UNPACK_TIMEOUT_S)
        run_tool(service, download, environ, _UNPACK_TIMEOUT_S)
    for package in sorted(archives.glob("*.deb")):
        run_tool(service, ["dpkg", "-x", str(package), str(into)], environ, _UNPACK_TIMEOUT_S)
    shutil.rmtree(archives)


def _apt_options(archives: Path) -> list[str]:
    return [
        f"-oDir::Cache::archives={archives}",
        "-oDebug::NoLocking=1",  # nothing is installed, and an ordinary user may not lock
        "-oAPT::Sandbox::User=root",  # the sandbox user cannot write to the folder
        "-oAcquire::http::Timeout=15",
        "-oAcquire::Retries=1",
    ]


def release() -> str:
    """Return the release of this Debian or child of it, whose libraries a package is linked to."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return found.get("VERSION_CODENAME") or found.get("ID", "unknown")
