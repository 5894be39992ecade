"""Ask a public database whether what we lock has known vulnerabilities: ``python -m tests.audit``, as `make lint` does.

One request to OSV (osv.dev), which holds the advisories of PyPI, GitHub and others.

Exit codes: 0 nothing is known, or the database could not be asked, which is said aloud; 1 something is known, or an
exception in pyproject.toml is of no use any more; 2 not audited, and REQUIRE_AUDIT=1 says that it must be.
"""

import http.client
import json
import os
import re
import sys
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-runtime.lock", "requirements-bench.lock")
SERVICE = "https://api.osv.dev"
TIMEOUT_S = 10.0
_LARGEST_BATCH = 1000
Pin = tuple[str, str]


class NotAudited(Exception):
    """The database did not answer, or not as it should."""


def pins_of(lock: str) -> set[Pin]:
    """Return name and version of each package of a lock file, whatever the platform that it is for."""
    return set(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE))


def vulnerabilities(pins: Sequence[Pin], service: str) -> dict[str, list[Pin]]:
    """Return the packages that each known vulnerability is in, by its id.

    Raises
    ------
    NotAudited
        There is no answer, or not one for each package.
    """
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in pins]
    answer = _asked(f"{service}/v1/querybatch", {"queries": queries})
    results = answer.get("results", []) if isinstance(answer, dict) else []
    if len(results) != len(pins) or len(pins) > _LARGEST_BATCH:
        raise NotAudited(f"{len(results)} answers for {len(pins)} packages")
    found: dict[str, list[Pin]] = {}
    for pin, result in zip(pins, results, strict=True):
        for vulnerability in result.get("vulns") or []:
            found.setdefault(vulnerability["id"], []).append(pin)
    return found


def _asked(url: str, question: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    request = urllib.request.Request(  # noqa: S310 - an address of ours, or of a test
        url, json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
            return json.load(answer)
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise NotAudited(f"{url} does not answer: {exc}") from exc


def exceptions_of(project: Mapping[str, Any]) -> dict[str, str]:
    """Return the vulnerabilities that are let pass, each with the reason why."""
    listed: dict[str, str] = project.get("tool", {}).get("neardup", {}).get("audit", {})
    return listed


def complaints(found: Mapping[str, Sequence[Pin]], excepted: Mapping[str, str]) -> list[str]:
    """Return a line for each vulnerability without an exception, and for each exception without a vulnerability."""
    lines = [
        f"{name} {version}: {known}, see https://osv.dev/{known}"
        for known in sorted(set(found) - set(excepted))
        for name, version in found[known]
    ]
    lines += [
        f"pyproject.toml: {known} is in nothing that is locked: take it out" for known in set(excepted) - set(found)
    ]
    lines += [f"pyproject.toml: {known} needs a reason" for known, reason in excepted.items() if len(reason) < 20]
    return lines


def main(service: str, environ: Mapping[str, str]) -> int:
    """Audit the lock files; return the exit code."""
    pins = sorted(set().union(*(pins_of((ROOT / lock).read_text("utf-8")) for lock in LOCKS)))
    try:
        found = vulnerabilities(pins, service)
    except NotAudited as exc:
        required = environ.get("REQUIRE_AUDIT") == "1"
        sys.stderr.write(f"NOT AUDITED for known vulnerabilities: {exc}\n")
        return 2 if required else 0
    wrong = complaints(found, exceptions_of(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))))
    sys.stderr.write("".join(f"audit: {line}\n" for line in wrong))
    sys.stdout.write(
        f"audited {len(pins)} packages for known vulnerabilities: {len(found)} known, {len(wrong)} complaints\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(SERVICE, os.environ))
