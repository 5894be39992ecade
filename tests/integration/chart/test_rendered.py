"""The chart as Helm renders it: held to the schemas of Kubernetes, and to what our code has."""

import copy
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.health import Health, HealthServer
from consumer.metrics import Metrics
from consumer.serve.application import Application
from consumer.serve.settings import ServeSettings
from consumer.settings import ServiceSettings
from demo.services import Kubeconform
from neardup.cli.commands import command
from neardup.settings.options import options_of
from neardup.settings.reading import read_settings
from tests.integration.chart.conftest import CASES
from tests.support import chart
from tests.support.chart import (
    CHART,
    RELEASE,
    ROOT,
    Document,
    Manifests,
    container_of,
    containers,
    named,
    neardup_command,
    of,
    variables,
)

pytestmark = pytest.mark.slow  # Helm comes from a wheel the first time


# The tools


@pytest.mark.parametrize("name", CASES)
def test_helm_has_nothing_to_say_against_it(name: str, helm: Path, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(CASES[name]), "utf-8")
    said = chart.run_helm(helm, "lint", str(CHART), "--strict", "--values", str(path))
    assert "1 chart(s) linted, 0 chart(s) failed" in said


def checked(kubeconform: Kubeconform, text: str) -> Document:
    """Return what kubeconform says of documents. It reads its schemas anew each time, for seconds: ask rarely."""
    done = subprocess.run(kubeconform.command(), input=text, capture_output=True, text=True, check=False)
    said: Document = json.loads(done.stdout)
    return said


def test_kubernetes_and_its_operators_know_every_field(
    texts: dict[str, str], rendered: dict[str, Manifests], kubeconform: Kubeconform
) -> None:
    told = checked(kubeconform, "\n---\n".join(texts.values()))
    assert told.get("resources", []) == []
    assert told["summary"] == {"valid": sum(map(len, rendered.values())), "invalid": 0, "errors": 0, "skipped": 0}


WRONG: list[tuple[str, tuple[Any, ...], object]] = [
    ("Deployment", ("spec", "template", "spec", "terminationGracePeriod"), 60),
    ("NetworkPolicy", ("spec", "egress", 0, "ports", 0, "port"), True),
    ("ScaledObject", ("spec", "maxReplicas"), 3),
    ("ServiceMonitor", ("spec", "endpoints"), "metrics"),
    ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "severity"), "critical"),
    ("TriggerAuthentication", ("spec", "secretTargetRef", 0, "secret"), "kafka"),
]


def test_a_field_that_is_wrong_is_found(rendered: dict[str, Manifests], kubeconform: Kubeconform) -> None:
    documents = []
    for kind, path, wrong in WRONG:
        document = copy.deepcopy(of(rendered["everything"], kind)[0])
        parent: Any = document
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = wrong
        documents.append(document)
    told = checked(kubeconform, yaml.safe_dump_all(documents))
    assert sorted(each["kind"] for each in told["resources"]) == sorted(kind for kind, _, _ in WRONG)
    assert told["summary"]["invalid"] == len(WRONG)


def test_a_package_of_it_holds_alerts_and_dashboards(helm: Path, tmp_path: Path) -> None:
    chart.run_helm(helm, "package", str(CHART), "--destination", str(tmp_path))
    [path] = tmp_path.iterdir()
    with tarfile.open(path) as package:
        held = {each.name: package.extractfile(each) for each in package.getmembers() if "/files/" in each.name}
        contents = {name.partition("/files/")[2]: file.read() for name, file in held.items() if file}
    sources = {f"dashboards/{each.name}": each for each in (ROOT / "deploy/grafana/dashboards").iterdir()}
    sources["rules.yml"] = ROOT / "deploy/prometheus/rules.yml"
    assert contents == {name: each.read_bytes() for name, each in sources.items()}


# What there is


def test_what_there_is_of_each(rendered: dict[str, Manifests]) -> None:
    kinds = {name: sorted({each["kind"] for each in manifests}) for name, manifests in rendered.items()}
    assert kinds["defaults"] == ["Deployment", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount"]
    assert kinds["nothing"] == ["Pod"]
    assert set(kinds["everything"]) == {
        *("ConfigMap", "CronJob", "Deployment", "Job", "NetworkPolicy", "Pod", "PodDisruptionBudget", "PrometheusRule"),
        *("ScaledObject", "Service", "ServiceAccount", "ServiceMonitor", "TriggerAuthentication"),
    }
    names = {name: [each["metadata"]["name"] for each in of(rendered[name], "Deployment")] for name in rendered}
    assert names["defaults"] == names["small"] == ["seen-neardup-consumer"]
    assert sorted(names["roles"]) == ["seen-neardup-decider", "seen-neardup-describer"]
    assert sorted(names["everything"]) == ["seen-neardup-consumer", "seen-neardup-serve"]


def test_names_and_labels(manifests: Manifests) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(names)) == len(names)
    for each in manifests:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "neardup"
        assert labels["app.kubernetes.io/instance"] == RELEASE


def test_a_long_name_is_cut(helm: Path, tmp_path: Path) -> None:
    given = {**chart.example("everything"), "fullnameOverride": "a" * 60}
    manifests = [each for each in yaml.safe_load_all(chart.render(helm, given, tmp_path)) if each]
    assert max(len(each["metadata"]["name"]) for each in manifests) <= 63
    assert max(len(each["metadata"]["name"]) for each in of(manifests, "CronJob")) <= 52


def test_a_job_that_differs_in_anything_has_another_name(
    helm: Path, tmp_path: Path, rendered: dict[str, Manifests]
) -> None:
    [before] = of(rendered["small"], "Job")
    given = chart.example("small")
    given["consumers"]["all"]["replicas"] = 3
    [same] = of([*yaml.safe_load_all(chart.render(helm, given, tmp_path))], "Job")
    given["podLabels"] = {"team": "vision"}
    [other] = of([*yaml.safe_load_all(chart.render(helm, given, tmp_path))], "Job")
    assert same == before
    assert other["metadata"]["name"] != before["metadata"]["name"]


# What our code has


def known_to(name: str) -> set[str]:
    """Return the variables that a command reads."""
    every = [each for _, each in options_of(command(name).settings_class)]
    return {env for each in every for env in (*each.envs, each.file_env) if env}


def test_every_variable_and_flag_is_a_setting_of_its_command(
    request: pytest.FixtureRequest, manifests: Manifests
) -> None:
    ours = []
    for _, container in containers(manifests):
        name = neardup_command(container)
        if name is None:
            continue
        given = {env for env in variables(container) if env.startswith("NEARDUP_")}
        assert given, request.node.name
        assert given <= known_to(name), name
        flags = {word for word in container["command"] if word.startswith("--")}
        assert flags <= {flag for _, each in options_of(command(name).settings_class) for flag in each.flags}
        ours.append(name)
    assert "index wait" in ours


def test_roles_are_those_of_the_service(rendered: dict[str, Manifests]) -> None:
    [declared] = [each for _, each in options_of(ServiceSettings) if each.flag == "--role"]
    for component in ("describer", "decider"):
        container = container_of(rendered["roles"], component)
        given = variables(container)["NEARDUP_ROLE"]
        assert declared.parse(given) == given
        [trigger] = named(rendered["roles"], "ScaledObject", component)["spec"]["triggers"]
        reads = settings_of(container).of_role()
        assert (reads.topic, reads.group) == (trigger["metadata"]["topic"], trigger["metadata"]["consumerGroup"])
    assert declared.default_text == "all"
    assert "NEARDUP_ROLE" not in variables(container_of(rendered["defaults"], "consumer"))


def settings_of(container: Document) -> Any:  # noqa: ANN401 - those of any command
    """Return what a command reads from its arguments and variables, but for the files that these name."""
    name = str(neardup_command(container))
    arguments = container["command"][1 + len(name.split()) :]
    given = {
        env: text for env, text in variables(container).items() if not env.endswith(("_PASSWORD_FILE", "_URL_FILE"))
    }
    return read_settings(command(name).settings_class, arguments, given, prog="neardup", description="")


def test_the_commands_take_what_they_are_given(manifests: Manifests) -> None:
    for _, container in containers(manifests):
        if neardup_command(container):
            read = settings_of(container)
            if hasattr(read, "check"):
                read.check()


def test_what_the_service_makes_of_the_values(rendered: dict[str, Manifests]) -> None:
    read = settings_of(container_of(rendered["everything"], "consumer"))
    assert read.max_message_bytes == 34_603_008
    assert read.retention_s == 30 * 86_400
    assert read.allow_private_addresses is True
    assert read.allow_uri == ("https://images.example.org/cameras/", "s3://pictures/")
    assert read.pass_headers == ("camera", "site")
    assert read.shutdown_timeout_s == 45.5
    assert read.redis_url == (
        "rediss://neardup-consumer@redis.redis:6380/0?socket_timeout=2&ssl_ca_certs=/etc/neardup/redis/ca.crt"
    )


def test_probes_ask_what_answers(manifests: Manifests) -> None:
    asked: set[tuple[str, str]] = set()
    for each in of(manifests, "Deployment"):
        [container] = each["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        given = variables(container)
        listens = given.get("NEARDUP_METRICS_PORT") or given["NEARDUP_SERVE_PORT"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            http = container[probe]["httpGet"]
            assert str(ports[http["port"]]) == listens
            asked.add((container["command"][1], http["path"]))
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["startupProbe"]["httpGet"] == container["livenessProbe"]["httpGet"]
    for name, path in asked:
        assert path in answered(name)


def answered(name: str) -> set[str]:
    """Return the paths that a service answers."""
    if name == "serve":
        application = Application(ServeSettings(), None, Metrics(), Health())
        return {resource.canonical for resource in application.app().router.resources()}
    pages = HealthServer("127.0.0.1", 0, Metrics().registry, Health())._server
    with pages:
        paths = ("/metrics", "/healthz", "/readyz", "/nothing")
        return {path for path in paths if b" 404 " not in pages.pages.answer(path).split(b"\r\n")[0]}
