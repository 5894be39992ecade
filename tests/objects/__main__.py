"""`make chart-objects`: what the chart makes, before the code by which an API server takes or refuses objects.

More than schemas know: whether names, ports, selectors, mounts and probes fit one another, and what is warned of.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from demo.services import find_helm
from demo.services.cache import cache_root, cached
from demo.services.chart_tools import go_of
from demo.services.packages import run_tool
from tests.support import chart
from tests.support.chart import EXAMPLES, NOTHING

SOURCE = Path(__file__).with_name("program")
OF_OPERATORS = {"PrometheusRule", "ScaledObject", "ServiceMonitor", "TriggerAuthentication"}
"""Kinds that other servers know; kubeconform looks at these."""
_SERVICE = "Kubernetes"
_BUILD_TIMEOUT_S = 3600


def find_program(environ: Mapping[str, str], say: Callable[[str], None]) -> Path:
    """Return the program, compiled by Go into our cache.

    Raises
    ------
    ServiceUnavailable
        It could not be fetched or compiled.
    """
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sorted(SOURCE.iterdir()))).hexdigest()[:12]
    folder = cache_root(environ) / f"kubernetes-{digest}"
    if not folder.is_dir():
        say(f"Kubernetes: compiling what it checks objects by into {folder} (7 minutes of a processor, once) ...")
    return cached(folder, lambda into: _build(into, environ)) / "objects"


def _build(into: Path, environ: Mapping[str, str]) -> None:
    command = ["build", "-C", str(SOURCE), "-mod=readonly", "-ldflags=-s -w", "-o", str(into / "objects"), "."]
    with go_of(_SERVICE, environ) as go:
        run_tool(_SERVICE, [go, *command], environ, _BUILD_TIMEOUT_S)


def said_of(program: Path, manifests: str) -> list[str]:
    """Return a line for each object, and for each warning."""
    done = subprocess.run([program], input=manifests, capture_output=True, text=True, check=False)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def wrong(helm: Path, program: Path, folder: Path) -> Iterator[str]:
    """Iterate over the cases; yield what is wrong with them."""
    cases = {path.stem: chart.example(path.stem) for path in sorted(EXAMPLES.glob("*.yaml"))}
    for name, values in {"defaults": {}, **cases, "nothing": NOTHING}.items():
        manifests = chart.render(helm, values, folder)
        told = said_of(program, manifests)
        taken = [line for line in told if line.startswith("taken ")]
        print(f"{name}: taken are {len(taken)}")  # noqa: T201
        fine = {*taken, *(f"unknown {kind}" for kind in OF_OPERATORS)}
        yield from (f"{name}: {line}" for line in told if line not in fine)
        if not taken:
            yield f"{name}: nothing was taken"
        other = manifests.replace("component: test", "component: Test of it", 1)
        if not any(line.startswith("refused ") for line in said_of(program, other)):
            yield f"{name}: a label with spaces was taken"


def main() -> int:
    helm, program = find_helm(os.environ, print), find_program(os.environ, print)
    with tempfile.TemporaryDirectory(prefix="neardup-objects-") as folder:
        found = list(wrong(helm, program, Path(folder)))
    print("\n".join(found) or "nothing is refused, and nothing warned of")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
