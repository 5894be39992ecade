"""What belongs together in the chart: pods and what chooses them, alerts, dashboards, lag, network."""

import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks.throughput.sizing import BUSY
from tests.support import chart
from tests.support.chart import (
    ROOT,
    Manifests,
    containers,
    named,
    neardup_command,
    of,
    pods,
    variables,
)

pytestmark = pytest.mark.slow  # Helm comes from a wheel the first time


def test_what_chooses_pods_finds_those_that_it_means(manifests: Manifests) -> None:
    every = [(kind, labels) for kind, labels, _ in pods(manifests)]
    for each in manifests:
        spec = each.get("spec", {})
        name = each["metadata"]["name"]
        if each["kind"] in {"Deployment", "PodDisruptionBudget", "NetworkPolicy"}:
            selector = spec["podSelector" if each["kind"] == "NetworkPolicy" else "selector"]["matchLabels"]
            found = {labels["app.kubernetes.io/component"] for _, labels in every if selector.items() <= labels.items()}
            assert found == {name.removeprefix("seen-neardup-")}
        elif each["kind"] == "Service":
            chosen = [labels for _, labels in every if spec["selector"].items() <= labels.items()]
            found = {labels["app.kubernetes.io/component"] for labels in chosen}
            expected = {"serve"} if name.endswith("-serve") else {"consumer", "describer", "decider"}
            assert found
            assert found <= expected


def test_spread_is_over_the_pods_of_the_deployment(manifests: Manifests) -> None:
    for each in of(manifests, "Deployment"):
        for rule in each["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert rule["labelSelector"] == each["spec"]["selector"]


def test_prometheus_finds_consumers_under_the_name_that_the_alerts_know(rendered: dict[str, Manifests]) -> None:
    services = of(rendered["everything"], "Service")
    jobs = {}
    for monitor in of(rendered["everything"], "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        [service] = [each for each in services if selector.items() <= each["metadata"]["labels"].items()]
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        label = monitor["spec"].get("jobLabel")
        about = service["metadata"]
        jobs[monitor["metadata"]["name"]] = about["labels"][label] if label else about["name"]
    rules = (ROOT / "deploy/prometheus/rules.yml").read_text("utf-8")
    assert set(re.findall(r'job="([^"]+)"', rules)) == {jobs["seen-neardup"]}
    assert jobs["seen-neardup-serve"] != jobs["seen-neardup"]
    [serving] = named(rendered["everything"], "ServiceMonitor", "-serve")["spec"]["endpoints"]
    assert serving["authorization"]["credentials"] == {"name": "neardup-tokens", "key": "prometheus"}


def test_alerts_and_dashboards_come_from_one_place(rendered: dict[str, Manifests]) -> None:
    [rule] = of(rendered["everything"], "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text("utf-8"))
    held = {name: text for each in of(rendered["everything"], "ConfigMap") for name, text in each["data"].items()}
    for path in (ROOT / "deploy/grafana/dashboards").iterdir():
        text = path.read_text("utf-8").replace('"neardup-prometheus"', '"prometheus"')
        assert json.loads(held.pop(path.name)) == json.loads(text)
    assert held == {}


def test_keda_scales_what_there_is_and_no_further_than_the_partitions(rendered: dict[str, Manifests]) -> None:
    most = {}
    for name in ("roles", "everything"):
        names = {each["metadata"]["name"] for each in of(rendered[name], "Deployment")}
        for each in of(rendered[name], "ScaledObject"):
            target = each["spec"]["scaleTargetRef"]["name"]
            assert target in names
            assert "replicas" not in named(rendered[name], "Deployment", target)["spec"]
            [trigger] = each["spec"]["triggers"]
            [authentication] = of(rendered[name], "TriggerAuthentication")
            assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
            assert {value for value in trigger["metadata"].values() if not isinstance(value, str)} == set()
            most[name, target] = (trigger["metadata"]["topic"], each["spec"]["maxReplicaCount"])
    assert most == {
        ("roles", "seen-neardup-describer"): ("images", 24),
        ("roles", "seen-neardup-decider"): ("descriptors", 4),
        ("everything", "seen-neardup-consumer"): ("images", 5),
    }


def test_as_much_waits_for_a_consumer_as_it_judges_in_seconds() -> None:
    """By the sizing guide: what is planned for of the rate measured with the default descriptor."""
    results = json.loads((ROOT / "benchmarks/results/throughput.json").read_text("utf-8"))
    planned_s = BUSY * results["end-to-end"]["dct, photos"]["this"]["images_s"]
    for role in ("all", "describe"):
        waits_s = chart.values()["consumers"][role]["autoscaling"]["lagThreshold"] / planned_s
        assert 1 < waits_s < 20


def test_network_policies_open_what_is_told(rendered: dict[str, Manifests]) -> None:
    ports = {}
    for each in of(rendered["everything"], "NetworkPolicy"):
        component = each["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        assert each["spec"]["policyTypes"] == ["Ingress", "Egress"]
        out = {port["port"] for rule in each["spec"]["egress"] for port in rule["ports"]}
        into = {port["port"] for rule in each["spec"].get("ingress", []) for port in rule["ports"]}
        assert all(rule["from"] for rule in each["spec"].get("ingress", []))
        assert all(rule["to"] for rule in each["spec"]["egress"])
        ports[component] = (out, into)
    assert ports == {
        "consumer": ({53, 6380, 9093, 443}, {"metrics"}),
        "serve": ({53, 6380, 443}, {"http"}),
        "bootstrap": ({53, 6380}, set()),
        "test": ({53, 6380, 9108}, set()),
    }


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("redis://redis", {6379}),
        ("rediss://user@redis:6380/0?ssl_ca_certs=/a:1/b", {6380}),
        ("redis+cluster://a:7000,b:7001/0", {7000, 7001}),
        ("redis+sentinel://user@a:26379,b,c:26380/mymaster/0", {6379, 26379, 26380}),
    ],
)
def test_network_policies_read_ports_from_the_url(url: str, ports: set[int], helm: Path, tmp_path: Path) -> None:
    given = {"redis": {"url": url}, "networkPolicy": {"enabled": True}}
    manifests = [*yaml.safe_load_all(chart.render(helm, given, tmp_path))]
    [policy] = [each for each in of(manifests, "NetworkPolicy") if each["metadata"]["name"].endswith("-consumer")]
    assert {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]} == {53, 9092, *ports}


def test_a_url_that_is_secret_comes_from_its_file(helm: Path, tmp_path: Path) -> None:
    given = {"redis": {"existingSecret": "redis", "urlKey": "url", "passwordKey": ""}}
    manifests = [each for each in yaml.safe_load_all(chart.render(helm, given, tmp_path)) if each]
    given_to = chart.variables(chart.container_of(manifests, "consumer"))
    assert given_to["NEARDUP_REDIS_URL_FILE"] == "/etc/neardup/redis/url"
    assert not given_to.keys() & {"NEARDUP_REDIS_URL", "NEARDUP_REDIS_PASSWORD_FILE"}


def test_the_job_may_have_a_login_of_its_own(helm: Path, tmp_path: Path) -> None:
    given = chart.example("everything")
    given["redis"] = {"url": "redis://neardup-consumer@redis", "existingSecret": "consumers"}
    given["bootstrap"]["redis"] = {
        "url": "rediss://neardup-bootstrap@redis:6380",
        "existingSecret": "job",
        "passwordKey": "its-password",
        "caKey": "ca.crt",
    }
    manifests = [each for each in yaml.safe_load_all(chart.render(helm, given, tmp_path)) if each]
    logins: dict[str, set[tuple[str, ...]]] = {}
    for spec, container in containers(manifests):
        if neardup_command(container):
            told = variables(container)
            [secret] = [each["secret"]["secretName"] for each in spec["volumes"] if each["name"] == "redis"]
            login = (secret, told["NEARDUP_REDIS_URL"], told["NEARDUP_REDIS_PASSWORD_FILE"])
            logins.setdefault(container["name"], set()).add(login)
    of_consumers = {("consumers", "redis://neardup-consumer@redis", "/etc/neardup/redis/password")}
    assert logins.pop("bootstrap") == {
        (
            "job",
            "rediss://neardup-bootstrap@redis:6380?ssl_ca_certs=/etc/neardup/redis/ca.crt",
            "/etc/neardup/redis/its-password",
        )
    }
    assert logins == dict.fromkeys(("wait-for-index", "consumer", "serve", "index"), of_consumers)
    out = {
        each["metadata"]["name"]: {port["port"] for rule in each["spec"]["egress"] for port in rule["ports"]}
        for each in of(manifests, "NetworkPolicy")
    }
    assert out["seen-neardup-bootstrap"] == {53, 6380}
    assert out["seen-neardup-test"] == {53, 6379, 9108}
