"""What the chart starts, started: commands and variables of its pods as processes, on a real Kafka and a real Redis.

Redis has the users of docs/security.md, and each pod the login that is for it: that of a consumer, and the Job its own.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
import yaml
from kafka.admin import NewTopic

from demo.services import RedisProgram
from demo.services.process import free_port
from tests.conftest import missing_skips
from tests.support import chart
from tests.support.certificates import Authority
from tests.support.chart import Document, Manifests, named, of, variables
from tests.support.processes import DEADLINE_S, Program, environment, eventually, get, photo
from tests.support.secured_redis import SecuredRedis, documented_users
from tests.support.serving import Client
from tests.support.stage import Stage, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]


INDEX = "judged"
LOGINS = {"redis": "neardup-consumer", "redis-of-the-job": "neardup-bootstrap"}
"""By Secret: the user whose password it has."""
PASSWORDS = {secret: f"p%40ss/w:rd?#{user}" for secret, user in LOGINS.items()}


@pytest.fixture
def server(redis_program: RedisProgram, tmp_path: Path) -> Iterator[SecuredRedis]:
    users = {user: documented_users(INDEX, PASSWORDS[secret])[user] for secret, user in LOGINS.items()}
    with ExitStack() as stack:
        with missing_skips():
            made = stack.enter_context(SecuredRedis(redis_program, Authority(tmp_path), users))
        yield made


@pytest.fixture
def stage(kafka_address: str, server: SecuredRedis) -> Iterator[Stage]:
    stage = Stage(kafka_address, server.url, INDEX, 1)
    with stage.stack:
        yield stage


@pytest.fixture
def values(stage: Stage, server: SecuredRedis) -> Document:
    urls = {secret: server.url_of(user).partition("?")[0] for secret, user in LOGINS.items()}
    of_consumers, of_the_job = (
        {"url": url, "existingSecret": secret, "caKey": "ca.crt"} for secret, url in urls.items()
    )
    return {
        "kafka": {"bootstrapServers": stage.address},
        "redis": of_consumers,
        "index": stage.index,
        "topics": {"images": stage.images, "verdicts": stage.verdicts, "deadLetters": stage.dead},
        "group": stage.group,
        "serve": {"enabled": True, "allowAnonymous": True},
        "bootstrap": {"enabled": True, "redis": of_the_job, "seeds": {"volume": {"emptyDir": {}}}},
    }


def manifests_of(given: Document, helm: Path, folder: Path) -> Manifests:
    return [each for each in yaml.safe_load_all(chart.render(helm, given, folder)) if each]


@pytest.fixture
def manifests(helm: Path, values: Document, tmp_path: Path) -> Manifests:
    return manifests_of(values, helm, tmp_path)


class Node:
    """A machine that runs containers as processes: folders for what is mounted, free ports for those of the pods.

    Parameters
    ----------
    folder
        Where what is mounted lies.
    authority
        Signs the certificate of Redis.
    """

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.authority = authority
        self.ports = {port: free_port() for port in (9108, 8108)}
        certificate = authority.file.read_text()
        self.secrets = {name: {"password": word, "ca.crt": certificate} for name, word in PASSWORDS.items()}
        self._folder = folder
        programs = folder / "bin"
        programs.mkdir(parents=True)
        (programs / "neardup").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m neardup "$@"\n')
        (programs / "neardup").chmod(0o755)
        (programs / "python").symlink_to(sys.executable)
        self._path = f"{programs}:{os.environ['PATH']}"

    def mounted(self, path: str) -> Path:
        """Return the folder that stands for a path in a container."""
        return self._folder / path.lstrip("/")

    def _mount(self, pod: Document, container: Document) -> dict[str, Path]:
        """Make what a container has mounted; return the folder that stands for each path of it."""
        volumes = {each["name"]: each for each in pod["volumes"]}
        found = {}
        for each in container.get("volumeMounts", []):
            path, secret = each["mountPath"], volumes[each["name"]].get("secret")
            found[path] = self._folder / "secrets" / secret["secretName"] if secret else self.mounted(path)
            found[path].mkdir(parents=True, exist_ok=True)
            for item in secret["items"] if secret else ():
                (found[path] / item["path"]).write_text(self.secrets[secret["secretName"]][item["key"]])
        return found

    def _here(self, text: str, folders: dict[str, Path]) -> str:
        for port, ours in self.ports.items():
            text = re.sub(rf"\b{port}\b", str(ours), text)
        for path, folder in folders.items():
            text = re.sub(rf"(^|=){path}(?=/|$)", rf"\g<1>{folder}", text)  # after `=`: in a parameter of a URL
        return text.replace("seen-neardup-metrics", "127.0.0.1")

    @contextmanager
    def running(self, pod: Document, container: Document) -> Iterator[Program]:
        """Run a container of a pod; if it still runs at the end it is killed."""
        folders = self._mount(pod, container)
        given = {name: self._here(text, folders) for name, text in variables(container).items()}
        process = subprocess.Popen(
            [self._here(word, folders) for word in container["command"]],
            env=environment({**given, "PATH": self._path}),
            cwd=chart.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        program = Program(process)
        try:
            yield program
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)  # it may have others below it
            program.wait()

    def end_of(self, pod: Document, container: Document) -> int:
        """Run a container to its end; return its exit code."""
        with self.running(pod, container) as program:
            return program.wait()

    def probe(self, container: Document, probe: str) -> bool:
        """Ask what a probe asks."""
        asked = container[probe]["httpGet"]
        [port] = [each["containerPort"] for each in container["ports"] if each["name"] == asked["port"]]
        try:
            return get(f"http://127.0.0.1:{self.ports[port]}{asked['path']}")[0] == 200
        except OSError:
            return False  # not yet there


def job_of(manifests: Manifests) -> tuple[Document, Document]:
    """Return the pod that makes the index, and its container."""
    [job] = of(manifests, "Job")
    pod = job["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def pod_of(manifests: Manifests, component: str) -> tuple[Document, Document]:
    """Return the pod of a Deployment, and its container."""
    pod = named(manifests, "Deployment", f"-{component}")["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


@pytest.fixture
def node(server: SecuredRedis, tmp_path: Path) -> Node:
    return Node(tmp_path / "node", server.authority)


def test_the_chart_starts_what_works(manifests: Manifests, stage: Stage, node: Node) -> None:
    seed_folder(node.mounted("/seeds"))
    consumer, serve, job = pod_of(manifests, "consumer"), pod_of(manifests, "serve"), job_of(manifests)
    [waiting] = consumer[0]["initContainers"]
    [tests] = of(manifests, "Pod")

    with node.running(consumer[0], waiting) as waits:
        waits.await_line("there is no index")
        assert waits.process.poll() is None
        assert node.end_of(*job) == 0
        assert waits.wait() == 0
    assert node.end_of(*job) == 0

    with node.running(*consumer) as judges, node.running(*serve) as answers:
        for _, container in (consumer, serve):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                eventually(lambda: node.probe(container, probe), f"{probe} of {container['name']}")  # noqa: B023 - asked at once
        stage.publish(photo(fresh()))
        stage.flush()
        stage.await_outcomes()
        [verdict] = stage.documents().values()
        assert verdict["index"]["generation"] == 1  # the second Job found it
        asked = Client(f"http://127.0.0.1:{node.ports[8108]}")
        assert asked.look_up(stage.values.popitem()[1] or b"").status == 200
        assert asked.verdict(photo(fresh()), "its-key")["verdict"] == "unique"
        assert [node.end_of(tests["spec"], each) for each in tests["spec"]["containers"]] == [0, 0]
        assert (judges.stop(), answers.stop()) == (0, 0)
    assert any(node.mounted("/cache/index").iterdir())


def test_who_waits_for_the_index_ends_when_told_to(manifests: Manifests, node: Node) -> None:
    pod, _ = pod_of(manifests, "serve")
    with node.running(pod, pod["initContainers"][0]) as waits:
        waits.await_line("there is no index")
        assert waits.stop(deadline_s=DEADLINE_S) == 143
    assert pod["terminationGracePeriodSeconds"] > 5


@pytest.mark.parametrize("change", ["resetkeys ~another:*", "-get", "resetpass", "off"])
def test_who_may_not_look_for_the_index_ends_and_says_why(
    change: str, manifests: Manifests, server: SecuredRedis, node: Node
) -> None:
    with redis.Redis.from_url(server.url) as administrator:
        administrator.execute_command("ACL", "SETUSER", "neardup-consumer", *change.split())
    pod, _ = pod_of(manifests, "consumer")
    [tests] = of(manifests, "Pod")
    for where, container in ((pod, pod["initContainers"][0]), (tests["spec"], tests["spec"]["containers"][0])):
        with node.running(where, container) as looks:
            assert looks.wait() == 2
        [line] = looks.lines
        assert line.startswith("Redis rejected the client: ")


def test_the_test_of_the_chart_fails_where_there_is_no_index(manifests: Manifests, node: Node) -> None:
    [tests] = of(manifests, "Pod")
    looking = tests["spec"]["containers"][0]
    looking = {**looking, "command": [word.replace("10s", "1s") for word in looking["command"]]}
    assert node.end_of(tests["spec"], looking) == 1


def test_describers_and_deciders_of_the_chart_judge_together(
    stage: Stage, values: Document, node: Node, helm: Path, tmp_path: Path
) -> None:
    values["topics"]["descriptors"] = topic = f"{stage.images}-descriptors"
    values["consumers"] = {"all": {"enabled": False}, "describe": {"enabled": True}, "decide": {"enabled": True}}
    manifests = manifests_of(values, helm, tmp_path)
    stage.admin.create_topics([NewTopic(topic, 1, 1)])
    stage.stack.callback(stage.admin.delete_topics, [topic])
    other = Node(tmp_path / "other", node.authority)
    seed_folder(node.mounted("/seeds"))
    assert node.end_of(*job_of(manifests)) == 0
    describer, decider = pod_of(manifests, "describer"), pod_of(manifests, "decider")
    with other.running(*describer) as first, node.running(*decider) as second:
        eventually(lambda: other.probe(describer[1], "readinessProbe"), "the describer")
        eventually(lambda: node.probe(decider[1], "readinessProbe"), "the decider")
        number = fresh()
        stage.publish(photo(number))
        stage.publish(photo(number, quality=60))
        stage.flush()
        stage.await_outcomes()
        assert [each["verdict"] for each in stage.documents().values()] == ["unique", "duplicate"]
        assert (first.stop(), second.stop()) == (0, 0)
