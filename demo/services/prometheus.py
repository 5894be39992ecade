"""Where a Prometheus comes from, and one of our own, which scrapes what a test runs."""

import platform
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.services.cache import cache_root, cached
from demo.services.errors import ServiceUnavailable
from demo.services.packages import release, unpack_debian
from demo.services.process import Server

_SERVICE = "Prometheus"


@dataclass(frozen=True)
class PrometheusProgram:
    """A Prometheus: its server, and the tool that checks rules and configurations."""

    server: Path
    promtool: Path


def find_prometheus_program(environ: Mapping[str, str], say: Callable[[str], None]) -> PrometheusProgram:
    """Find a Prometheus: on the path, else in Debian's package, unpacked into our cache and nowhere else.

    Raises
    ------
    ServiceUnavailable
        There is none.
    """
    path = environ.get("PATH", "")
    if (server := shutil.which("prometheus", path=path)) and (promtool := shutil.which("promtool", path=path)):
        return PrometheusProgram(Path(server), Path(promtool))
    if not shutil.which("apt-get", path=path) or not shutil.which("dpkg", path=path):
        raise ServiceUnavailable(_SERVICE, "none on the path, and no apt-get here")
    folder = cache_root(environ) / f"prometheus-{release()}-{platform.machine()}"
    if not folder.is_dir():
        say(f"Prometheus: fetching the package prometheus with apt-get into {folder} (20 MB, once) ...")
    cached(folder, lambda into: unpack_debian(_SERVICE, ["prometheus"], into, environ))
    return PrometheusProgram(folder / "usr/bin/prometheus", folder / "usr/bin/promtool")


class PrometheusServer(Server):
    """A Prometheus of our own.

    Parameters
    ----------
    program
        What to run.
    configuration
        Text of its prometheus.yml.
    environ
        Of the process.
    """

    service = _SERVICE

    def __init__(self, program: PrometheusProgram, configuration: str, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._program = program
        self._configuration = configuration
        self._environ = environ

    @property
    def url(self) -> str:
        """Where it is asked."""
        host, port = self.address
        return f"http://{host}:{port}"

    def _prepare(self) -> None:
        (self.folder / "prometheus.yml").write_text(self._configuration, "utf-8")

    def _command(self) -> list[str]:
        host, port = self.address
        return [
            str(self._program.server),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={host}:{port}",
        ]

    def _environment(self) -> Mapping[str, str]:
        return self._environ

    def _answers(self, timeout_s: float) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=timeout_s) as answer:  # noqa: S310 - our own http:// address
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
        except (OSError, urllib.error.URLError):
            return False
