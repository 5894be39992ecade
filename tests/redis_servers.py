"""Run what is promised of the index on other servers than the suite's: Redis 8, Valkey 8 and 9.

    make check-redis [ARGS="--only valkey-sid"]

Each comes from a release of Debian, unpacked with all of its libraries into a folder of its own, and runs from there;
nothing is installed. Wants apt-get and dpkg.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIRROR = "http://deb.debian.org/debian"
SERVERS: Mapping[str, tuple[str, str]] = {
    "redis-trixie": ("trixie", "redis-server"),
    "redis-sid": ("sid", "redis-server"),
    "valkey-backports": ("bookworm-backports", "valkey-server"),
    "valkey-trixie": ("trixie", "valkey-server"),
    "valkey-sid": ("sid", "valkey-server"),
}
"""By name: Debian's release, and its package."""
TESTS = ("tests/contract", "tests/integration/test_generations.py", "tests/faults/test_redis_sentinel.py")
_ALONE = """#!/bin/sh
exec {loader} --library-path {libraries} {program} "$@"
"""
"""Its own C library, too: it is newer than this machine's may be."""


def main() -> int:
    """Run the tests on each server; return how many servers failed them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SERVERS, nargs="+", default=list(SERVERS))
    parser.add_argument("tests", nargs="*", default=TESTS, help="what to run, as pytest takes it")
    given = parser.parse_args()
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="neardup-servers-") as temp:
        for name in given.only:
            program = unpacked(*SERVERS[name], Path(temp) / name)
            version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()
            sys.stdout.write(f"{name}: {version}\n")
            sys.stdout.flush()
            environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
            environment.pop("NEARDUP_REDIS_URL", None)
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *given.tests]
            ran = subprocess.run(command, cwd=ROOT, env=environment, check=False)
            outcomes[f"{name}: {version}"] = ran.returncode
    for name, code in outcomes.items():
        sys.stdout.write(f"{'passed' if code == 0 else 'FAILED'}  {name}\n")
    return sum(code != 0 for code in outcomes.values())


def unpacked(release: str, package: str, folder: Path) -> Path:
    """Return the program ``redis-server`` of a package, fetched with all that it needs."""
    lists, debs, root, programs = (folder / name for name in ("lists", "cache", "root", "bin"))
    for made in (lists / "partial", debs / "archives/partial", root, programs):
        made.mkdir(parents=True)
    # Packages of backports want those of the release below them.
    releases = {release, release.removesuffix("-backports")}
    (folder / "sources.list").write_text("".join(f"deb {MIRROR} {each} main\n" for each in sorted(releases)))
    (folder / "status").touch()
    said = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::lists": lists,
        "Dir::State::status": folder / "status",
        "Dir::Cache": debs,
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in said.items())]
    subprocess.run([*apt, "update"], check=True)
    wanted = ["install", "--download-only", "--yes", "--no-install-recommends", "-t", release, package]
    subprocess.run([*apt, *wanted], check=True, stdout=subprocess.DEVNULL)
    for deb in sorted((debs / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)  # noqa: S607 - where it is is Debian's matter
    return _started_alone(root, root / "usr/bin" / package, programs / "redis-server")


def _started_alone(root: Path, program: Path, at: Path) -> Path:
    [loader] = [path for path in root.rglob("ld-linux-*.so.*") if not path.is_symlink()]
    libraries = sorted({str(path.parent) for path in root.rglob("*.so.*")})
    at.write_text(_ALONE.format(loader=loader, libraries=":".join(libraries), program=program))
    at.chmod(0o755)
    return at


if __name__ == "__main__":
    sys.exit(main())
