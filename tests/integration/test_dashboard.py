"""The dashboard and the alerts on a real run: a real Prometheus is asked what each panel asks, and has an answer."""

import json
import os
import secrets
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from demo.services import PrometheusProgram, PrometheusServer
from tests.support.processes import ROOT, eventually, get
from tests.support.stage import Service, Stage, bootstrap, seed_folder
from tests.support.watched import publish_pair

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/neardup.json").read_text())
RULES = ROOT / "deploy/prometheus/rules.yml"
VARIABLES = {"$instance": ".*", "$__rate_interval": "10s"}
"""What Grafana puts in their places: for all consumers, and at least four scrapes."""
DEADLINE_S = 120.0
OF_ALERTS = "Alerts"
"""The panel that is empty while all is well."""


@dataclass(frozen=True)
class Run:
    """A consumer that judges, and the Prometheus that scrapes it."""

    stage: Stage
    service: Service
    prometheus: PrometheusServer

    def ask(self, path: str, **query: str) -> Any:  # noqa: ANN401 - of Prometheus
        status, text = get(f"{self.prometheus.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        assert status == 200, text
        return json.loads(text)["data"]

    def answers(self, expression: str) -> list[float]:
        """Return the numbers of an instant query, those that are none left out."""
        for name, text in VARIABLES.items():
            expression = expression.replace(name, text)
        found = self.ask("query", query=expression)["result"]
        return [number for each in found if (number := float(each["value"][1])) == number]


@pytest.fixture(scope="module")
def run(
    kafka_address: str, redis_url: str, prometheus_program: PrometheusProgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    name = f"dashboard-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path_factory.mktemp("dashboard") / "seeds"), redis_url, name)
    stage = Stage(kafka_address, redis_url, name, partitions=2)
    with stage.stack, stage.service("--decode-workers", "1") as service:
        target = service.url.removeprefix("http://")
        with PrometheusServer(prometheus_program, configuration(target), dict(os.environ)) as prometheus:
            yield Run(stage, service, prometheus)


OF_LOOK_UPS = "neardup_http_"
"""Begins what only `neardup serve` counts, which does not run here; its own tests ask for these numbers."""


def configuration(target: str) -> str:
    """Return our own configuration, with this consumer alone, and scraped more often."""
    ours = yaml.safe_load((ROOT / "deploy/prometheus/prometheus-static.yml").read_text())
    [job] = [job for job in ours["scrape_configs"] if job["job_name"] == "neardup"]
    job["static_configs"] = [{"targets": [target]}]
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    return str(yaml.safe_dump({"global": often, "rule_files": [str(RULES)], "scrape_configs": [job]}))


def expressions() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_every_panel_shows_something_on_a_real_run(run: Run) -> None:
    waiting = {
        (title, expression)
        for title, expression in expressions()
        if title != OF_ALERTS and OF_LOOK_UPS not in expression
    }
    assert len(waiting) > 20

    def shown() -> bool:
        # Rates and quantiles are of what happens while they are asked for.
        publish_pair(run.stage, f"pair-{secrets.token_hex(4)}")
        run.stage.publish(b"garbage")
        waiting.difference_update([each for each in waiting if run.answers(each[1])])
        return not waiting

    try:
        eventually(shown, "an answer to each panel", DEADLINE_S)
    finally:
        assert waiting == set()


def test_the_numbers_are_those_of_the_consumer(run: Run) -> None:
    run.stage.flush()
    wanted = run.stage.published.total()
    eventually(
        lambda: sum(run.answers("neardup_images_total") + run.answers("neardup_bad_input_total")) == wanted,
        "every outcome counted",
    )
    assert run.answers("sum(neardup_images_total)") == [run.service.images()]
    assert run.answers('sum(neardup_ready{instance=~"$instance"})') == [1.0]


def test_the_list_of_consumers_is_filled(run: Run) -> None:
    [variable] = DASHBOARD["templating"]["list"]
    assert variable["definition"] == "label_values(neardup_build_info, instance)"
    found = eventually(
        lambda: run.ask("label/instance/values", **{"match[]": "neardup_build_info"}), "an instance", DEADLINE_S
    )
    assert found == [run.service.url.removeprefix("http://")]


def test_every_alert_is_loaded_evaluated_and_quiet(run: Run) -> None:
    known = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}

    def rules() -> list[dict[str, Any]]:
        return [rule for group in run.ask("rules")["groups"] for rule in group["rules"]]

    eventually(lambda: all(rule["health"] == "ok" for rule in rules()), "all rules evaluated", DEADLINE_S)
    assert {rule["name"] for rule in rules()} == known
    assert [rule["name"] for rule in rules() if rule["state"] == "firing"] == []


def test_the_list_of_alerts_shows_what_is_wrong(run: Run) -> None:
    [expression] = [expression for title, expression in expressions() if title == OF_ALERTS]
    assert run.service.program.stop() == 0  # the last test that needs it

    def down() -> bool:
        found = run.ask("query", query=expression)["result"]
        return any(each["metric"]["alertname"] == "NeardupDown" for each in found)

    eventually(down, "the alert that no consumer is there", DEADLINE_S)
