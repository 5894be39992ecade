"""What Helm says: of values that are wrong, and after an installation."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.chart.conftest import CASES
from tests.support import chart
from tests.support.chart import (
    CHART,
    NAMESPACE,
    RELEASE,
    ROOT,
    Document,
    Refused,
)

pytestmark = pytest.mark.slow  # Helm comes from a wheel the first time


# What is refused


def changed(**given: Any) -> Document:  # noqa: ANN401 - of YAML
    """Return values, named by their paths with two underscores for each dot."""
    found: Document = {}
    for path, value in given.items():
        *parents, last = path.split("__")
        place = found
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return found


SASL = {"kafka__securityProtocol": "SASL_SSL"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (changed(consumer__all__replicas=2), "additional properties 'consumer' not allowed"),
        (changed(consumers__all__replica=2), "/consumers/all': additional properties 'replica' not allowed"),
        (changed(consumers__all__replicas="two"), "/consumers/all/replicas': got string, want integer"),
        (
            changed(consumers__all__settings={"BATCHSIZE": 1}),
            "/consumers/all/settings': additional properties 'BATCHSIZE' not allowed",
        ),
        (
            changed(consumers__all__settings={"REDIS_PASSWORD": "x"}),
            "additional properties 'REDIS_PASSWORD' not allowed",
        ),
        (changed(consumers__all__resources__limits__memory="4 GB"), "/resources/limits/memory"),
        (changed(kafka__bootstrapServers="kafka"), "/kafka/bootstrapServers': 'kafka' does not match pattern"),
        (changed(kafka__securityProtocol="TLS"), "/kafka/securityProtocol': value must be one of 'PLAINTEXT', 'SSL'"),
        (changed(consumers__decide__settings={"DECODE_WORKERS": 2}), "properties 'DECODE_WORKERS' not allowed"),
        (changed(consumers__describe__settings={"RETENTION": "30d"}), "properties 'RETENTION' not allowed"),
        (changed(kafka__sasl=None), "/kafka': missing property 'sasl'"),
        (changed(index="my index"), "/index': 'my index' does not match pattern"),
        (changed(image__digest="latest"), "/image/digest"),
        (changed(bootstrap__seeds__paths=["/pictures"]), "/bootstrap/seeds/paths/0"),
        (changed(bootstrap__schedule="weekly"), "/bootstrap/schedule"),
        (changed(podDisruptionBudget__maxUnavailable=0), "/podDisruptionBudget/maxUnavailable"),
        (
            changed(consumers__all__replicas=7),
            "consumers.all.replicas: 7 pods of 1 workers are more than the 6 partitions of topic images",
        ),
        (
            changed(consumers__all={"workers": 4, "autoscaling": {"enabled": True, "maxReplicas": 2}}),
            "consumers.all.autoscaling.maxReplicas: 2 pods of 4 workers",
        ),
        (
            changed(consumers__all__autoscaling={"enabled": True, "minReplicas": 7}),
            "consumers.all.autoscaling.minReplicas: 7 is more than the most, 6",
        ),
        (changed(consumers__all__resources__limits__cpu=None), "consumers.all.resources.limits.cpu: give a limit"),
        (changed(**SASL), "kafka.sasl.mechanism: kafka.securityProtocol SASL_SSL needs one"),
        (changed(**SASL, kafka__sasl__mechanism="PLAIN"), "kafka.sasl: PLAIN needs a username, and existingSecret"),
        (changed(kafka__sasl__mechanism="PLAIN"), "it needs kafka.securityProtocol SASL_SSL or SASL_PLAINTEXT"),
        (changed(kafka__tls__existingSecret="ca"), "it needs kafka.securityProtocol SSL or SASL_SSL"),
        (
            changed(**SASL, kafka__sasl__mechanism="GSSAPI", consumers__all__autoscaling__enabled=True),
            "consumers cannot be scaled by KEDA with GSSAPI",
        ),
        (
            changed(consumers={"all": {"enabled": False}, "decide": {"enabled": True}}, topics__unique="unique"),
            "topics.unique: it works only with consumers.all",
        ),
        (changed(redis__caKey="ca.crt"), "redis.caKey: name the Secret"),
        (changed(redis__urlKey="url"), "redis.urlKey: name the Secret"),
        (
            changed(redis={"existingSecret": "redis", "urlKey": "url"}, networkPolicy__enabled=True),
            "networkPolicy.redis.ports: name them",
        ),
        (changed(bootstrap__redis__url="redis"), "/bootstrap/redis/url': 'redis' does not match pattern"),
        (changed(bootstrap__redis__caKey="ca.crt"), "bootstrap.redis.caKey: name the Secret"),
        (changed(bootstrap__redis__urlKey="url"), "bootstrap.redis.urlKey: name the Secret"),
        (changed(bootstrap__redis__existingSecret="own"), "bootstrap.redis.url: give it, or bootstrap.redis.urlKey"),
        (changed(bootstrap__redis__passwordKey="own"), "bootstrap.redis.url: give it, or bootstrap.redis.urlKey"),
        (
            changed(bootstrap__redis={"existingSecret": "redis", "urlKey": "url"}, networkPolicy__enabled=True),
            "networkPolicy.redis.ports: name them, since nobody sees them in the URL that bootstrap.redis.urlKey keeps",
        ),
        (
            changed(bootstrap__redis__url="redis://me:hunter2@redis:6379/0"),
            "bootstrap.redis.url: it has a password in it",
        ),
        (changed(redis__url="redis://:hunter2@redis:6379/0"), "redis.url: it has a password in it"),
        (changed(redis__url="redis://me:12/hunter2@redis:6379/0"), "redis.url: it has a password in it"),
        (changed(redis__url="redis://redis?password=hunter2"), "redis.url: it has a password in it"),
        (changed(redis__url="redis+sentinel://s/m?sentinel_password=hunter2"), "redis.url: it has a password in it"),
        (changed(serve__enabled=True), "serve.tokens.existingSecret: name a Secret of tokens"),
        (
            changed(serve={"enabled": True, "allowAnonymous": True, "tokens": {"existingSecret": "tokens"}}),
            "serve.allowAnonymous: serve.tokens.existingSecret asks for tokens",
        ),
        (
            changed(
                serve={"enabled": True, "tokens": {"existingSecret": "tokens"}}, metrics__serviceMonitor__enabled=True
            ),
            "serve.tokens.metricsKey: Prometheus needs a token",
        ),
        (changed(bootstrap__enabled=True), "bootstrap.seeds.volume: say what the seeds are on"),
    ],
    ids=lambda given: None if isinstance(given, dict) else re.sub(r"\W+", "-", given)[:50],
)
def test_bad_values_are_refused(given: Document, told: str, helm: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        chart.render(helm, given, tmp_path)
    assert told in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_all_that_is_wrong_is_told_at_once(helm: Path, tmp_path: Path) -> None:
    given = changed(consumers__all__replicas=7, redis__caKey="ca.crt", bootstrap__enabled=True)
    with pytest.raises(Refused) as refused:
        chart.render(helm, given, tmp_path)
    assert all(each in str(refused.value) for each in ("consumers.all.replicas:", "redis.caKey:", "bootstrap.seeds"))


# What is said after an installation


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("small", ["consumer   reads topic images: 2 pods", "Until it is done everybody waits for it"]),
        ("roles", ["describer  reads topic images: 2 to 24 pods, by lag", "nobody starts without an index"]),
        (
            "everything",
            ["answers at http://seen-neardup-serve.images:8108", "consumer   reads topic images: 2 to 5 pods"],
        ),
        ("nothing", ["WARNING: no consumer is enabled"]),
    ],
)
def test_what_is_said_after_an_installation(name: str, told: list[str], helm: Path, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(CASES[name]), "utf-8")
    where = ["--namespace", NAMESPACE, "--values", str(path)]
    said = chart.run_helm(helm, "install", RELEASE, str(CHART), "--dry-run=client", *where)
    notes = said.partition("NOTES:")[2]
    assert all(each in notes for each in told), notes


def installations(page: str) -> list[tuple[str, str]]:
    """Return each `helm install` of a page with what stands under it."""
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    shown = [found for block in blocks for found in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)]
    return [(line, output) for line, output in shown if line.startswith("helm install ")]


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip() and line != "..."]


def test_the_page_shows_what_helm_says(helm: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/kubernetes.md").read_text("utf-8")
    [given] = re.findall(r"^\$ cat values.yaml\n(.*?)^\$ ", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "values.yaml").write_text(given, "utf-8")
    commands = installations(page)
    assert len(commands) == 3
    for line, output in commands:
        words = line.replace("values.yaml", str(tmp_path / "values.yaml")).split()[1:]
        try:
            said = chart.run_helm(helm, *words, "--dry-run=client")
        except Refused as refused:
            said = str(refused)
        ours = lines_of(said)
        assert [each for each in lines_of(output) if each not in ours] == []
