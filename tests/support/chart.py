"""The chart: its files, what Helm makes of values, and the table of values in its README.

    python -m tests.support.chart

writes that table, the names of settings in the schema of values, and the chart's copies of alerts and dashboards, anew.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from consumer.roles import foreign
from consumer.roles.foreign import ALL, DECIDE, DESCRIBE
from consumer.settings import ClaimCheckSettings
from neardup.cli.commands import command
from neardup.settings.decoding import DecodingSettings
from neardup.settings.options import ENV_PREFIX, options_of

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/neardup"
EXAMPLES = ROOT / "deploy/helm/examples"
COPIED = (*(ROOT / "deploy/grafana/dashboards").glob("*.json"), ROOT / "deploy/prometheus/rules.yml")
"""What the chart has a copy of: Helm packs nothing that lies outside a chart, and not every checkout has links."""
BEGIN, END = "<!-- values -->\n", "<!-- end -->\n"
NAMESPACE = "images"
RELEASE = "seen"
NOTHING: dict[str, Any] = {
    "consumers": {"all": {"enabled": False}},
    "podDisruptionBudget": {"enabled": False},
    "serviceAccount": {"create": False},
}

# By command: where values name its settings, and those that the chart gives itself or that pods cannot share.
SETTINGS = {
    "consume": ("consumers", "all", "settings"),
    "serve": ("serve", "settings"),
    "bootstrap": ("bootstrap", "settings"),
}
_READING = [name for owner in (DecodingSettings, ClaimCheckSettings) for name, _ in options_of(owner)]
FOREIGN = {ALL: (), DESCRIBE: foreign._OF_DECIDERS, DECIDE: (*foreign._OF_DESCRIBERS, *_READING)}
"""By role: the fields that it refuses."""
_REDIS = {"REDIS_URL", "INDEX"}
OF_THE_CHART = {
    "consume": {
        *_REDIS,
        *("BOOTSTRAP_SERVERS", "SECURITY_PROTOCOL", "SASL_MECHANISM", "SASL_USERNAME"),
        *("SSL_CAFILE", "SSL_CERTFILE", "SSL_KEYFILE"),
        *("IMAGES_TOPIC", "VERDICTS_TOPIC", "DEAD_LETTERS_TOPIC", "UNIQUE_TOPIC", "DESCRIPTORS_TOPIC"),
        *("GROUP", "GROUP_INSTANCE_ID", "ROLE", "METRICS_HOST", "METRICS_PORT"),
        *("SHUTDOWN_TIMEOUT_S", "CONSUME_WORKERS", "INDEX_CACHE"),
    },
    "serve": {*_REDIS, "SERVE_HOST", "SERVE_PORT", "SHUTDOWN_TIMEOUT_S", "TOKEN_FILE", "ALLOW_ANONYMOUS"},
    "bootstrap": {*_REDIS, "SEEDS", "REPORT", "IF_MISSING", "DRY_RUN"},
}

Document = dict[str, Any]
_ANY: Document = {"type": ["string", "number", "boolean", "array"], "items": {"type": ["string", "number"]}}
Manifests = list[Document]


class Refused(Exception):
    """What Helm said instead of rendering the chart."""


def values() -> Document:
    """Return the chart's own values."""
    found: Document = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    return found


def schema() -> Document:
    """Return the schema of values."""
    found: Document = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    return found


def run_helm(helm: Path, *arguments: str) -> str:
    """Run Helm where it finds no configuration of anybody; return what it printed, or raise `Refused`."""
    nowhere = {"HOME": "/nonexistent", "HELM_CACHE_HOME": "/nonexistent", "PATH": "/nonexistent"}
    done = subprocess.run([helm, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=nowhere)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def render(helm: Path, given: Mapping[str, Any], folder: Path) -> str:
    """Return the manifests, as YAML, that values make."""
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(dict(given)), "utf-8")
    return run_helm(helm, "template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", str(path))


def example(name: str) -> Document:
    """Return the values of an example."""
    found: Document = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))
    return found


def settings_for(name: str, role: str = ALL) -> Document:
    """Return the schema of each setting that values may name: no secret, none that chart gives or role refuses."""
    offered = [
        each
        for field, each in options_of(command(name).settings_class)
        if each.env and not each.secret and field not in FOREIGN[role]
    ]
    meanings = {each.env.removeprefix(ENV_PREFIX): each.text for each in offered}
    return {each: _ANY | {"description": meanings[each]} for each in sorted(meanings.keys() - OF_THE_CHART[name])}


def copy_of(path: Path) -> Path:
    """Where the chart's copy of a file of alerts or of a dashboard is."""
    folder = "dashboards" if path.suffix == ".json" else ""
    return CHART / "files" / folder / path.name


def at(document: Document, *path: str) -> Any:  # noqa: ANN401 - part of a schema
    """Return the part of a schema that is about a value."""
    for name in path:
        document = document["properties"][name]
    return document


def leaves(part: Document, default: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, str]]:  # noqa: ANN401
    """Yield each value by its path, with its default and its meaning."""
    if "properties" in part and "description" not in part:
        for name, each in part["properties"].items():
            if name in default:
                yield from leaves(each, default[name], (*path, name))
    else:
        yield ".".join(path), default, part["description"]


def table() -> str:
    """Return the table of all values, as the README has it."""
    rows = [
        f"| `{path}` | `{json.dumps(default)}` | {meaning} |" for path, default, meaning in leaves(schema(), values())
    ]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows, ""])


def with_table(text: str) -> str:
    """Return the README with the table of today."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}{table()}{END}", text, flags=re.DOTALL)


# What is rendered


def of(manifests: Manifests, kind: str) -> Manifests:
    return [each for each in manifests if each["kind"] == kind]


def named(manifests: Manifests, kind: str, ending: str) -> Document:
    [found] = [each for each in of(manifests, kind) if each["metadata"]["name"].endswith(ending)]
    return found


def pods(manifests: Manifests) -> Iterator[tuple[str, Document, Document]]:
    """Iterate over what pods are made from: the kind, the labels, the spec."""
    for each in manifests:
        spec = each.get("spec", {})
        if each["kind"] == "Pod":
            yield "Pod", each["metadata"]["labels"], spec
        elif each["kind"] in {"Deployment", "Job", "CronJob"}:
            template = spec["jobTemplate"]["spec"]["template"] if each["kind"] == "CronJob" else spec["template"]
            yield each["kind"], template["metadata"]["labels"], template["spec"]


def containers(manifests: Manifests) -> Iterator[tuple[Document, Document]]:
    """Iterate over the containers, those that run first included, each with its pod's spec."""
    for _, _, spec in pods(manifests):
        for each in [*spec.get("initContainers", []), *spec["containers"]]:
            yield spec, each


def variables(container: Document) -> dict[str, str]:
    given = container.get("env", [])
    found = {each["name"]: each["value"] for each in given}
    assert len(found) == len(given), "a variable stands twice"
    return found


def neardup_command(container: Document) -> str | None:
    """Return the command of ours that a container runs; None where it runs something else."""
    found = re.search(r"\bneardup (index [a-z]+|[a-z]+)", " ".join(container["command"]))
    return found[1] if found else None


def container_of(manifests: Manifests, component: str) -> Document:
    """Return the container of a Deployment."""
    [found] = named(manifests, "Deployment", f"-{component}")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def _written() -> None:
    document = schema()
    for name, path in SETTINGS.items():
        for role in FOREIGN if name == "consume" else (ALL,):
            place = (path[0], role, path[2]) if name == "consume" else path
            at(document, *place)["properties"] = settings_for(name, role)
    (CHART / "values.schema.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    readme = CHART / "README.md"
    readme.write_text(with_table(readme.read_text("utf-8")), "utf-8")
    for source in COPIED:
        copy_of(source).parent.mkdir(parents=True, exist_ok=True)
        copy_of(source).write_bytes(source.read_bytes())


if __name__ == "__main__":
    _written()
