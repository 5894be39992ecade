"""What the chart starts, started: commands and variables of its pods as processes, on a real Kafka and a real Redis."""

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from kafka.admin import NewTopic

from demo.services.process import free_port
from tests.support import chart
from tests.support.chart import Document, Manifests, container_of, named, of, variables
from tests.support.processes import DEADLINE_S, Program, environment, eventually, get, photo
from tests.support.stage import Stage, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]


@pytest.fixture
def stage(kafka_address: str, redis_url: str) -> Iterator[Stage]:
    stage = Stage(kafka_address, redis_url, f"chart-{secrets.token_hex(4)}", 1)
    with stage.stack:
        yield stage


def values_of(stage: Stage) -> Document:
    return {
        "kafka": {"bootstrapServers": stage.address},
        "redis": {"url": stage.redis_url},
        "index": stage.index,
        "topics": {"images": stage.images, "verdicts": stage.verdicts, "deadLetters": stage.dead},
        "group": stage.group,
        "bootstrap": {"enabled": True, "seeds": {"volume": {"emptyDir": {}}}},
    }


def manifests_of(given: Document, helm: Path, folder: Path) -> Manifests:
    return [each for each in yaml.safe_load_all(chart.render(helm, given, folder)) if each]


@pytest.fixture
def manifests(helm: Path, stage: Stage, tmp_path: Path) -> Manifests:
    return manifests_of(values_of(stage) | {"serve": {"enabled": True, "allowAnonymous": True}}, helm, tmp_path)


class Node:
    """A machine that runs containers as processes: folders for what is mounted, free ports for those of the pods.

    Parameters
    ----------
    folder
        Where what is mounted lies.
    """

    def __init__(self, folder: Path) -> None:
        self.ports = {port: free_port() for port in (9108, 8108)}
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

    def _here(self, text: str, paths: list[str]) -> str:
        for path in paths:
            if text == path or text.startswith(f"{path}/"):
                text = str(self.mounted(text))
        for port, ours in self.ports.items():
            text = text.replace(str(port), str(ours))
        return text.replace("seen-neardup-metrics", "127.0.0.1")

    @contextmanager
    def running(self, container: Document) -> Iterator[Program]:
        """Run a container; what still runs at the end is killed."""
        paths = [each["mountPath"] for each in container.get("volumeMounts", [])]
        for path in paths:
            self.mounted(path).mkdir(parents=True, exist_ok=True)
        given = {name: self._here(text, paths) for name, text in variables(container).items()}
        process = subprocess.Popen(
            [self._here(word, paths) for word in container["command"]],
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
                os.killpg(process.pid, 9)  # the shell that waits has others below it
            program.wait()

    def end_of(self, container: Document) -> int:
        """Run a container to its end; return its exit code."""
        with self.running(container) as program:
            return program.wait()

    def probe(self, container: Document, probe: str) -> bool:
        """Ask what a probe asks."""
        asked = container[probe]["httpGet"]
        [port] = [each["containerPort"] for each in container["ports"] if each["name"] == asked["port"]]
        try:
            return get(f"http://127.0.0.1:{self.ports[port]}{asked['path']}")[0] == 200
        except OSError:
            return False  # not yet there


def bootstrap_of(manifests: Manifests) -> Document:
    [job] = of(manifests, "Job")
    [found] = job["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


def test_the_chart_starts_what_works(manifests: Manifests, stage: Stage, node: Node) -> None:
    seed_folder(node.mounted("/seeds"))
    pod = named(manifests, "Deployment", "-consumer")["spec"]["template"]["spec"]
    [waiting] = pod["initContainers"]
    bootstrap = bootstrap_of(manifests)
    consumer, serve = container_of(manifests, "consumer"), container_of(manifests, "serve")
    [tests] = of(manifests, "Pod")

    with node.running(waiting) as waits:
        waits.await_line("there is no index")
        assert waits.process.poll() is None
        assert node.end_of(bootstrap) == 0
        assert waits.wait() == 0
    assert node.end_of(bootstrap) == 0

    with node.running(consumer) as judges, node.running(serve) as answers:
        for container in (consumer, serve):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                eventually(lambda: node.probe(container, probe), f"{probe} of {container['name']}")  # noqa: B023 - asked at once
        stage.publish(photo(fresh()))
        stage.flush()
        stage.await_outcomes()
        [verdict] = stage.documents().values()
        assert verdict["index"]["generation"] == 1  # the second Job found it
        assert [node.end_of(each) for each in tests["spec"]["containers"]] == [0, 0]
        assert (judges.stop(), answers.stop()) == (0, 0)
    assert any(node.mounted("/cache/index").iterdir())


def test_who_waits_for_the_index_ends_when_told_to(manifests: Manifests, node: Node) -> None:
    pod = named(manifests, "Deployment", "-serve")["spec"]["template"]["spec"]
    with node.running(pod["initContainers"][0]) as waits:
        waits.await_line("there is no index")
        assert waits.stop(deadline_s=DEADLINE_S) in {0, 2}
    assert pod["terminationGracePeriodSeconds"] > 5


def test_describers_and_deciders_of_the_chart_judge_together(stage: Stage, helm: Path, tmp_path: Path) -> None:
    given = values_of(stage)
    given["topics"]["descriptors"] = topic = f"{stage.images}-descriptors"
    given["consumers"] = {"all": {"enabled": False}, "describe": {"enabled": True}, "decide": {"enabled": True}}
    manifests = manifests_of(given, helm, tmp_path)
    stage.admin.create_topics([NewTopic(topic, 1, 1)])
    stage.stack.callback(stage.admin.delete_topics, [topic])
    describes, decides = Node(tmp_path / "describes"), Node(tmp_path / "decides")
    seed_folder(decides.mounted("/seeds"))
    assert decides.end_of(bootstrap_of(manifests)) == 0
    describer, decider = container_of(manifests, "describer"), container_of(manifests, "decider")
    with describes.running(describer) as first, decides.running(decider) as second:
        eventually(lambda: describes.probe(describer, "readinessProbe"), "the describer")
        eventually(lambda: decides.probe(decider, "readinessProbe"), "the decider")
        number = fresh()
        stage.publish(photo(number))
        stage.publish(photo(number, quality=60))
        stage.flush()
        stage.await_outcomes()
        assert [each["verdict"] for each in stage.documents().values()] == ["unique", "duplicate"]
        assert (first.stop(), second.stop()) == (0, 0)
