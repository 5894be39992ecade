"""Container, compose and monitoring files against what they must say: no engine runs where the tests do."""

import copy
import importlib
import importlib.metadata
import itertools
import json
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from prometheus_client.metrics import MetricWrapperBase

import bootstrap.settings
from consumer.health import MAX_CONNECTIONS
from consumer.metrics import Metrics
from consumer.settings import ServiceSettings
from demo.services import PrometheusProgram
from neardup.settings.options import Option, options_of

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy/prometheus"
GRAFANA = ROOT / "deploy/grafana"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
SCHEMA = json.loads((Path(__file__).parent / "compose.schema.json").read_text())
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
DASHBOARD = json.loads((GRAFANA / "dashboards/neardup.json").read_text())
HADOLINT = Path(sys.executable).with_name("hadolint")


def metrics() -> dict[str, set[str]]:
    """Return every metric of the consumer with its labels, under the name that Prometheus knows."""
    found = {}
    for collector in vars(Metrics()).values():
        if isinstance(collector, MetricWrapperBase):
            [family] = collector.describe()
            suffix = "_total" if family.type == "counter" else ""
            found[family.name + suffix] = set(collector._labelnames)
    return found


METRICS = metrics()


# Dockerfile


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions as (NAME, argument), continued lines joined, comments left out."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    words = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name, " ".join(argument.split())) for name, argument in words]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for name, argument in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, argument))
    return found


def arguments(name: str, stage: list[tuple[str, str]]) -> list[str]:
    return [argument for found, argument in stage if found == name]


def pip_installs() -> list[str]:
    commands = [part.strip() for run in arguments("RUN", instructions()) for part in run.split("&&")]
    return [command for command in commands if re.search(r"\bpip\b.* install ", command)]


def pins(lock: str) -> dict[str, set[str]]:
    """Return the hashes of every pinned requirement (`name==version ; marker`) of a lock file."""
    found: dict[str, set[str]] = {}
    pin = ""
    for line in (ROOT / lock).read_text().splitlines():
        if line and not line[0].isspace():
            pin = line.rstrip(" \\")
            found[pin] = set()
        elif "--hash=" in line:
            found[pin].add(line.strip(" \\"))
    return found


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint's wheel is for x86-64 Linux only")
def test_hadolint_finds_nothing() -> None:
    run = subprocess.run([HADOLINT, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_base_image_is_an_argument_of_every_stage() -> None:
    assert instructions()[0] == ("ARG", "BASE_IMAGE=python:3.12-slim-bookworm")
    assert len(stages()) >= 2
    assert all(re.fullmatch(r"\$\{BASE_IMAGE\} AS [a-z]+", stage[0][1]) for stage in stages())


def test_the_last_stage_takes_from_the_others_only_and_downloads_nothing() -> None:
    earlier = {stage[0][1].split()[-1] for stage in stages()[:-1]}
    sources = [copied.split()[0] for copied in arguments("COPY", stages()[-1])]
    assert sources
    assert set(sources) == {f"--from={name}" for name in earlier}
    assert not any(re.search(r"pip|apt|curl|wget", run) for run in arguments("RUN", stages()[-1]))


def test_every_download_is_a_wheel_with_a_hash() -> None:
    downloads = [command for command in pip_installs() if "--no-deps --no-build-isolation" not in command]
    assert downloads
    assert all("--require-hashes --only-binary :all: --requirement" in command for command in downloads)
    assert all("--no-deps --no-build-isolation" in command for command in pip_installs() if " ." in command)


def test_it_runs_as_a_numeric_user_who_is_not_root() -> None:
    users = arguments("USER", stages()[-1])
    assert users == ["10001:10001"]


def test_it_starts_the_consumer_without_a_shell() -> None:
    assert json.loads(arguments("CMD", stages()[-1])[-1]) == ["python", "-m", "consumer"]
    assert arguments("ENTRYPOINT", instructions()) == []
    assert arguments("STOPSIGNAL", stages()[-1]) == ["SIGTERM"]


def test_its_health_check_is_the_one_of_the_compose_file() -> None:
    [check] = arguments("HEALTHCHECK", stages()[-1])
    test = check.split(" CMD ", 1)[1]
    assert "('127.0.0.1', 9108" in test
    assert "/healthz" in test
    assert ["CMD", *json.loads(test)] == SERVICES["consumer"]["healthcheck"]["test"]


def test_nothing_is_written_but_to_tmp() -> None:
    environment = " ".join(arguments("ENV", stages()[-1])).split()
    variables = dict(pair.split("=", 1) for pair in environment)
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert {variables[name].split("/")[1] for name in ("HOME", "KERAS_HOME", "MPLCONFIGDIR")} == {"tmp"}


def test_labels_and_tags_name_our_version() -> None:
    version = PROJECT["project"]["version"]
    labels = " ".join(arguments("LABEL", stages()[-1]))
    assert f"VERSION={version}" in arguments("ARG", stages()[-1])
    assert 'org.opencontainers.image.version="${VERSION}"' in labels
    assert f'org.opencontainers.image.licenses="{PROJECT["project"]["license"]}"' in labels
    assert {SERVICES[name]["image"] for name in ("bootstrap", "consumer")} == {f"neardup:{version}"}


def test_the_context_is_an_allow_list_of_what_is_copied() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        word
        for stage in stages()[:-1]
        for line in arguments("COPY", stage)
        for word in line.split()[:-1]
        if not word.startswith("--")
    }
    assert ignored[0] == "*"
    assert allowed == copied


def test_the_image_has_every_package_of_ours() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {line.split()[0] for line in arguments("COPY", stages()[1])}
    assert set(packages) <= copied


# Lock files


def test_the_runtime_lock_is_the_developers_without_their_tools() -> None:
    everything, runtime = pins("requirements.lock"), pins("requirements-runtime.lock")
    tools = names(PROJECT["dependency-groups"]["dev"])
    assert runtime
    assert all(runtime.values())
    assert {pin: hashes for pin, hashes in everything.items() if pin in runtime} == runtime
    # The library of an extra needs cryptography, which the tests make certificates with.
    assert tools & {canonicalize_name(pin.split("==")[0]) for pin in runtime} <= {"cryptography"}


def test_the_runtime_lock_has_what_we_declare_and_tensorflow_for_the_cpu() -> None:
    declared = PROJECT["project"]["dependencies"]
    extras = itertools.chain(
        *(
            PROJECT["project"]["optional-dependencies"][name]
            for name in ("gs", "https", "keras", "report", "s3", "video")
        )
    )
    locked = {str(canonicalize_name(pin.split("==")[0])): pin for pin in pins("requirements-runtime.lock")}
    assert names([*declared, *extras]) <= set(locked)
    assert "platform_machine == 'x86_64' and sys_platform == 'linux'" in locked["tensorflow-cpu"]
    assert "platform_machine != 'x86_64' or sys_platform != 'linux'" in locked["tensorflow"]


def test_pip_may_install_all_that_is_locked_on_this_python() -> None:
    """The image is built by pip, which keeps to the upper bounds of Requires-Python; uv does not."""
    installed = {canonicalize_name(one.metadata["Name"]): one.metadata for one in importlib.metadata.distributions()}
    locked = {canonicalize_name(pin.split("==")[0]) for pin in pins("requirements-runtime.lock")}
    bounds = {name: "".join(installed[name].get_all("Requires-Python", [])) for name in locked & installed.keys()}
    assert len(bounds) > 50
    refused = {name: wants for name, wants in bounds.items() if platform.python_version() not in SpecifierSet(wants)}
    assert not refused


def test_the_build_backend_is_taken_out_of_the_lock_with_all_that_it_needs() -> None:
    [listed] = re.findall(r"/\^\(([a-z|-]+)\)==/", (ROOT / "Dockerfile").read_text())
    backend = names(PROJECT["build-system"]["requires"])
    needed = backend.union(*(names(needs(name)) for name in backend))
    assert set(listed.split("|")) == needed


def needs(name: str) -> list[str]:
    """Return the requirements that an installed distribution has on every Python that we support."""
    found = importlib.metadata.requires(name) or []
    return [line for line in found if (marker := Requirement(line).marker) is None or marker.evaluate({"extra": ""})]


# Compose file


def problems(document: object) -> list[str]:
    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]


def changed(*path: str, to: object) -> object:
    """Return the compose file with one value replaced, or taken out where `to` is Ellipsis."""
    document = copy.deepcopy(COMPOSE)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if to is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = to
    return document


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_compose_file_is_as_the_schema_says() -> None:
    assert problems(COMPOSE) == []


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("services", "redis", "image"), "redis"),
        (("services", "redis", "image"), "redis:latest"),
        (("services", "redis", "image"), "redis:8"),
        (("services", "redis", "restart"), ...),
        (("services", "redis", "restart"), False),
        (("services", "redis", "healthcheck"), ...),
        (("services", "redis", "healthcheck"), {"disable": True}),
        (("services", "redis", "healthcheck", "test"), "redis-cli ping"),
        (("services", "redis", "volumes"), ["/srv/redis:/data"]),
        (("services", "redis", "ports"), ["6379:6379"]),
        (("services", "redis", "build"), "."),
        (("services", "redis", "privileged"), True),
        (("services", "redis", "security_opt"), []),
        (("services", "redis", "cap_drop"), ...),
        (("services", "redis", "cap_add"), ["SYS_ADMIN"]),
        (("services", "redis", "deploy", "resources", "limits", "pids"), ...),
        (("services", "grafana", "deploy"), ...),
        (("services", "kafka", "deploy", "resources", "limits", "memory"), ...),
        (("services", "consumer", "cap_add"), ["CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"]),
        (("services", "consumer", "security_opt"), ["no-new-privileges:true", "seccomp:unconfined"]),
        (("services", "kafka", "ports"), ["0.0.0.0:9092:9092"]),
        (("services", "kafka", "environment", "KAFKA_AUTO_CREATE_TOPICS_ENABLE"), False),
        (("services", "topics", "restart"), "unless-stopped"),
        (("services", "bootstrap", "healthcheck"), ...),
        (("services", "consumer", "cap_drop"), ["NET_RAW"]),
        (("services", "consumer", "container_name"), "consumer"),
        (("services", "consumer", "depends_on"), ["kafka"]),
        (("services", "consumer", "depends_on", "kafka"), {"condition": "service_started"}),
        (("services", "consumer", "ports"), ["127.0.0.1:${METRICS_PORT:-9108}:9108"]),
        (("services", "consumer", "read_only"), False),
        (("services", "consumer", "tmpfs"), ["/var:size=256m,mode=1777"]),
        (("services", "consumer", "user"), "0"),
        (("volumes", "redis"), {"external": True}),
    ],
)
def test_the_schema_lets_nothing_else_pass(path: tuple[str, ...], to: object) -> None:
    assert problems(changed(*path, to=to)) != []


def test_each_service_waits_for_services_that_there_are() -> None:
    waits = [(name, on, how) for name in SERVICES for on, how in SERVICES[name].get("depends_on", {}).items()]
    assert {on for _, on, _ in waits} <= set(SERVICES)
    for name, on, how in waits:
        once = SERVICES[on]["restart"] == "no"
        assert how["condition"] == ("service_completed_successfully" if once else "service_healthy"), (name, on)


def test_the_consumer_starts_last() -> None:
    assert set(SERVICES["consumer"]["depends_on"]) == {"kafka", "redis", "topics", "bootstrap"}
    assert set(SERVICES["bootstrap"]["depends_on"]) == {"redis"}
    assert set(SERVICES["topics"]["depends_on"]) == {"kafka"}


def mounts() -> Iterator[str]:
    """Iterate over the sources of all short-form mounts."""
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            if isinstance(mount, str):
                yield mount.split(":")[0]


def test_volumes_are_declared_and_used_and_mounted_files_are_there() -> None:
    sources = set(mounts())
    folders = {source for source in sources if source.startswith("./")}
    assert sources - folders == set(COMPOSE["volumes"])
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_the_head_of_the_file_explains_every_variable() -> None:
    head, body = (ROOT / "docker-compose.yml").read_text().split("\nname:", 1)
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", body))
    assert set(re.findall(r"\$\{?([A-Z_]+)", body.replace("$$", ""))) == set(used)
    assert dict(re.findall(r"\b([A-Z_]+)=(\S+)", head.split("each with its default:", 1)[1])) == used


def options(name: str) -> list[Option]:
    settings = {"bootstrap": bootstrap.settings.Settings, "consumer": ServiceSettings}[name]
    return [option for _, option in options_of(settings)]


@pytest.mark.parametrize("name", ["bootstrap", "consumer"])
def test_every_setting_exists(name: str) -> None:
    given = set(SERVICES[name]["environment"])
    flags = {word for word in SERVICES[name].get("command", []) if word.startswith("--")}
    assert given
    assert given <= {env for option in options(name) for env in option.envs}
    assert flags <= {flag for option in options(name) for flag in option.flags}


def test_the_consumer_may_take_longer_to_stop_than_it_wants() -> None:
    granted_s = float(SERVICES["consumer"]["stop_grace_period"].removesuffix("s"))
    assert granted_s >= 2 * ServiceSettings().shutdown_timeout_s


def test_the_consumer_uses_the_topics_that_are_created() -> None:
    [script] = SERVICES["topics"]["command"]
    environment = SERVICES["consumer"]["environment"]
    used = {environment[f"NEARDUP_{name}"] for name in ("TOPIC", "VERDICTS", "DEAD_LETTERS")}
    assert set(re.findall(r"^create ([a-z.]+)", script, re.MULTILINE)) == used


def test_kafka_takes_images_of_32_mib_and_a_dead_letter_of_one() -> None:
    environment = SERVICES["kafka"]["environment"]
    [script] = SERVICES["topics"]["command"]
    [dead_letter_limit] = re.findall(r"create images\.dead .*max\.message\.bytes=(\d+)", script)
    assert environment["KAFKA_MESSAGE_MAX_BYTES"] == str(32 * 2**20)
    assert int(dead_letter_limit) > 32 * 2**20
    assert SERVICES["consumer"]["environment"]["NEARDUP_MAX_MESSAGE_BYTES"] == dead_letter_limit
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["KAFKA_PROCESS_ROLES"] == "broker,controller"


def test_only_redis_has_a_capability_and_gives_it_away() -> None:
    assert [name for name in SERVICES if "cap_add" in SERVICES[name]] == ["redis"]
    assert "user" not in SERVICES["redis"]


def mebibytes(size: str) -> int:
    amount, unit = re.findall(r"(\d+)([mg])", size)[-1]
    return int(amount) * (1024 if unit == "g" else 1)


def test_redis_has_room_for_a_copy_of_itself() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    [maxmemory] = re.findall(r"--maxmemory \$\{REDIS_MAXMEMORY:-(\d+[mg])b\}", command)
    limit = SERVICES["redis"]["deploy"]["resources"]["limits"]["memory"]
    assert mebibytes(limit) > 2 * mebibytes(maxmemory)


def test_the_consumer_has_room_for_its_threads_and_decoding_processes() -> None:
    limits = SERVICES["consumer"]["deploy"]["resources"]["limits"]
    settings = ServiceSettings()
    workers = int(SERVICES["consumer"]["environment"]["NEARDUP_DECODE_WORKERS"])
    # Each decoding process has a few threads of its own; libraries have one for each of, say, 64 processors.
    assert limits["pids"] >= MAX_CONNECTIONS + 8 * workers + 4 * 64
    # Decoding takes at most 16 bytes a pixel.
    decoding = workers * 16 * settings.max_image_pixels
    assert mebibytes(limits["memory"]) * 2**20 > settings.cache_bytes + settings.repeat_bytes + decoding + 512 * 2**20


def test_redis_keeps_what_it_was_told() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--appendfsync everysec" in command
    assert "--maxmemory-policy noeviction" in command


def test_seeds_are_mounted_where_the_bootstrap_looks_for_them() -> None:
    [seeds, reports] = SERVICES["bootstrap"]["volumes"]
    command = SERVICES["bootstrap"]["command"]
    assert command[:4] == ["python", "-m", "bootstrap", seeds["target"]]
    assert seeds["source"] == "${SEEDS:-./seeds}"
    assert reports == f"reports:{command[command.index('--report') + 1]}"


# Prometheus and Grafana


def expressions() -> Iterator[str]:
    """Iterate over every PromQL expression of the alerts and the dashboard."""
    yield from (rule["expr"] for group in RULES["groups"] for rule in group["rules"])
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    yield from (variable["definition"] for variable in DASHBOARD["templating"]["list"])


def metric_of(series: str) -> str:
    """Return the metric that a series belongs to: a histogram is three series."""
    return series if series in METRICS else re.sub(r"_(bucket|sum|count)$", "", series)


def test_prometheus_finds_every_consumer_by_name() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    [discovery] = jobs["neardup"]["dns_sd_configs"]
    environment = SERVICES["consumer"]["environment"]
    assert discovery["names"] == ["consumer"]
    assert discovery["type"] == "A"
    assert str(discovery["port"]) == environment["NEARDUP_METRICS_PORT"] == "9108"
    assert environment["NEARDUP_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - inside a container
    assert SERVICES["consumer"]["expose"] == arguments("EXPOSE", stages()[-1]) == ["9108"]
    assert all((PROMETHEUS / name).is_file() for name in config["rule_files"])


def test_the_static_example_differs_only_in_how_it_finds_consumers() -> None:
    docker, static = (
        yaml.safe_load((PROMETHEUS / name).read_text()) for name in ("prometheus.yml", "prometheus-static.yml")
    )
    [consumers] = static["scrape_configs"][0].pop("static_configs")
    assert docker["scrape_configs"][0].pop("dns_sd_configs")
    assert static == docker
    assert f"127.0.0.1:{ServiceSettings().metrics_port}" in consumers["targets"]


def test_every_alert_is_tested() -> None:
    tested = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    fired = {each["alertname"] for test in tested for each in test["alert_rule_test"] if each.get("exp_alerts")}
    assert fired == {rule["alert"] for group in RULES["groups"] for rule in group["rules"]}


def test_alerts_say_what_for_how_long_and_how_bad() -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert {rule["alert"].removeprefix("Neardup") for rule in rules} == {
        "Down",
        "NotReady",
        "LagGrowing",
        "DeadLetters",
        "LostMessages",
        "RedisErrors",
        "KafkaErrors",
        "StoreErrors",
        "NoImages",
    }
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "config", "prometheus-static.yml"],
        ["test", "rules", "rules_test.yml"],
    ],
)
def test_promtool_agrees(arguments: list[str], prometheus_program: PrometheusProgram) -> None:
    run = subprocess.run(
        [str(prometheus_program.promtool), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    used = {metric_of(name) for text in expressions() for name in re.findall(r"\bneardup_[a-z_]+", text)}
    assert used <= set(METRICS)


def test_the_dashboard_shows_every_metric() -> None:
    shown = {metric_of(name) for text in expressions() for name in re.findall(r"\bneardup_[a-z_]+", text)}
    assert shown == set(METRICS)


def test_alerts_and_dashboard_ask_for_labels_that_there_are() -> None:
    # What Prometheus itself adds, and the bounds of a histogram.
    always = {"instance", "job", "le"}
    of_alerts = {"alertname", "alertstate", "severity"}
    for text in expressions():
        asked = {metric_of(name) for name in re.findall(r"\bneardup_[a-z_]+", text)}
        known = always.union(*(METRICS[name] for name in asked), of_alerts if "ALERTS" in text else ())
        grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", text) for label in group.split(", ")}
        matched = {label for group in re.findall(r"\{([^}]*)\}", text) for label in re.findall(r"(\w+)!?=", group)}
        assert grouped | matched <= known, text


def test_the_dashboard_lists_the_alerts() -> None:
    [panel] = [panel for panel in DASHBOARD["panels"] if "ALERTS" in panel["targets"][0]["expr"]]
    [pattern] = re.findall(r'alertname=~"([^"]+)"', panel["targets"][0]["expr"])
    assert all(re.fullmatch(pattern, rule["alert"]) for group in RULES["groups"] for rule in group["rules"])


def test_the_dashboard_asks_the_provisioned_source() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    [source] = provisioned["datasources"]
    users = [*DASHBOARD["panels"], *DASHBOARD["templating"]["list"]]
    users += [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert {(user["datasource"]["type"], user["datasource"]["uid"]) for user in users} == {
        (source["type"], source["uid"])
    }
    assert source["url"] == "http://prometheus:9090"


def test_the_dashboard_is_where_grafana_looks() -> None:
    providers = yaml.safe_load((GRAFANA / "provisioning/dashboards/neardup.yml").read_text())["providers"]
    volumes = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    [folder] = [provider["options"]["path"] for provider in providers]
    assert volumes["./deploy/grafana/dashboards"] == folder == str(Path(home).parent)
    assert volumes["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    assert (GRAFANA / "dashboards" / Path(home).name).is_file()


def test_panels_explain_themselves_and_do_not_overlap() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"] and panel["targets"] for panel in panels)
    taken = [cell for panel in panels for cell in cells(panel["gridPos"])]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def cells(place: dict[str, int]) -> list[tuple[int, int]]:
    columns = range(place["x"], place["x"] + place["w"])
    rows = range(place["y"], place["y"] + place["h"])
    return list(itertools.product(columns, rows))
