"""The look-up service as the real command line: beside a consumer and another service, killed, told to stop."""

import json
import secrets
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPException
from pathlib import Path

import pytest

from demo.services import RedisProgram, RedisServer
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from tests.support.processes import eventually, photo, run, running
from tests.support.serving import Client, Served, seed_index, served
from tests.support.stage import Stage, fresh

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.fixture(scope="module")
def index(redis_url: str) -> str:
    name = f"serve-{secrets.token_hex(4)}"
    seed_index(redis_url, name)
    return name


# Beside others


@pytest.fixture
def stage(kafka_address: str, redis_url: str, index: str) -> Iterator[Stage]:
    stage = Stage(kafka_address, redis_url, index, 1)
    with stage.stack:
        yield stage


@pytest.mark.kafka
def test_of_identical_images_seen_anywhere_at_once_one_is_unique(stage: Stage) -> None:
    """One consumer and two services judge the same pictures at the same time, under one index."""
    pictures = [[photo(number, quality) for quality in (90, 80, 70)] for number in (fresh() for _ in range(12))]
    with ExitStack() as stack:
        stack.enter_context(stage.service("--decode-workers", "1"))
        services = [stack.enter_context(served(stage.redis_url, stage.index)) for _ in range(2)]
        for versions in pictures:
            for version in versions:
                stage.publish(version)
        threads = stack.enter_context(ThreadPoolExecutor(8))
        stage.flush()
        asked = [(service, version) for versions in pictures for version in versions for service in services]
        answers = list(threads.map(lambda each: each[0].client.verdict(each[1]), asked))
        stage.await_outcomes()
    documents = list(stage.documents().values())
    assert len(answers) == 2 * len(documents) == 72
    told = [*answers, *documents]
    uniques = {each["image_id"] for each in told if each["verdict"] == "unique"}
    assert len(uniques) == len(pictures)
    # Each duplicate names one of them, and of each picture there are as many as were sent.
    named = Counter(each["duplicate_of"] for each in told if each["verdict"] == "duplicate")
    assert set(named) <= uniques
    assert set(named.values()) == {8}
    with connect(stage.redis_url) as client:
        members = [each.image_id for each in RedisIndex(client, stage.index).members()]
    assert {*members} >= uniques
    assert len(set(members)) == len(members)


# Killed


def test_a_service_killed_between_commit_and_answer_gives_the_same_verdict_to_the_same_key(
    redis_url: str, index: str
) -> None:
    image, key = photo(fresh()), f"key-{secrets.token_hex(4)}"
    with running(dying(redis_url, index)) as program:
        client = Client(json.loads(program.await_line("serving /lookup"))["message"].split()[-1])
        eventually(lambda: client.ask("GET", "/readyz").status == 200, "ready")
        with pytest.raises((OSError, HTTPException)):
            client.judge(image, Idempotency_Key=key)
        assert program.wait() == -signal.SIGKILL
    with served(redis_url, index) as other:
        assert other.client.look_up(image).document["duplicate_of"] == f"http:{key}"
        assert other.client.verdict(image, key)["verdict"] == "unique"
        assert other.client.verdict(image)["duplicate_of"] == f"http:{key}"


def dying(redis_url: str, index: str) -> list[str]:
    """Return a command line that serves, and is killed when its first image is decided, before it is answered."""
    script = (
        "import os, signal, sys\n"
        "from consumer.handler import Handler\n"
        "from neardup.cli import main\n"
        "decide = Handler.decide\n"
        "def decide_and_die(*arguments):\n"
        "    decide(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Handler.decide = decide_and_die\n"
        "sys.exit(main(sys.argv[1:], {}))\n"
    )
    return ["-c", script, "serve", "--redis", redis_url, "--index", index, "--port", "0", "--decode-workers", "1"]


# Told to stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_asked_is_answered_before_it_ends(redis_url: str, index: str, number: signal.Signals) -> None:
    images = {f"{number.name}-{each}": photo(fresh()) for each in range(30)}
    with served(redis_url, index) as service:
        statuses: list[int] = []
        begun = threading.Event()

        def ask(key: str, image: bytes) -> None:
            headers = {"Content_Type": "image/jpeg", "Idempotency_Key": key}
            with closing(service.client.connect()) as connection:
                try:
                    connection.connect()
                    begun.set()
                    answer = service.client.ask_on(connection, "POST", "/judge", image, **headers)
                except OSError:
                    statuses.append(0)  # it came too late
                else:
                    statuses.append(answer.status)

        with ThreadPoolExecutor(10) as threads:
            for each in images.items():
                threads.submit(ask, *each)
            assert begun.wait(60)
            assert service.program.stop(number) == 0
        answered = statuses.count(200)
        assert {*statuses} <= {0, 200, 503}
        with pytest.raises(OSError):  # noqa: PT011 - refused, whichever way
            socket.create_connection(service.client.address, timeout=5)
    with connect(redis_url) as client:
        # Whoever was answered is in the index; nobody was judged and left without an answer.
        keys = [each.key for each in RedisIndex(client, index).members() if each.key.startswith(f"http:{number.name}-")]
    assert len(keys) == answered
    assert "Traceback" not in "".join(service.program.lines)


# Without Redis


def test_without_redis_it_says_so_and_goes_on_when_it_is_back(redis_program: RedisProgram) -> None:
    with RedisServer(redis_program, {"appendonly": "yes", "appendfsync": "always"}) as server:
        seed_index(server.url, "away")
        with served(server.url, "away") as service:
            image, key = photo(fresh()), "a-key"
            assert service.client.verdict(image, key)["verdict"] == "unique"
            server.kill()
            answer = service.client.judge(image)
            assert (answer.status, "redis is away" in answer.document["detail"]) == (503, True)
            assert service.client.ask("GET", "/readyz").document == {"ok": False, "detail": "redis is away"}
            assert service.client.ask("GET", "/healthz").status == 200
            server.start()
            eventually(lambda: service.client.ask("GET", "/readyz").status == 200, "ready again")
            assert service.client.verdict(image, key)["verdict"] == "unique"
            assert service.program.stop() == 0


# Tokens, and what is refused at the start


def test_tokens_are_changed_while_it_runs(redis_url: str, index: str, tmp_path: Path) -> None:
    tokens, one, other = tmp_path / "tokens", "1" * 32, "2" * 32
    tokens.write_text(f"{one}\n")
    with served(redis_url, index, "--token-file", str(tokens)) as service:
        assert status(service, one) == 200
        assert status(service, other) == status(service, None) == 401
        (tmp_path / "new").write_text(f"{one}\n{other}\n")
        (tmp_path / "new").replace(tokens)
        assert status(service, one) == status(service, other) == 200
        tokens.write_text(f"{other}\n")
        assert (status(service, one), status(service, other)) == (401, 200)
        assert service.program.stop() == 0
    assert one not in "".join(service.program.lines)


def status(service: Served, token: str | None) -> int:
    return service.client.look_up(photo(1), **({} if token is None else {"Authorization": f"Bearer {token}"})).status


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 is reached from other machines"),  # noqa: S104
        (["--token-file", "/nowhere/tokens"], "--token-file /nowhere/tokens: cannot be read: No such file"),
        (["--port", "99999"], "--port: '99999' is wrong: it should be a whole number from 0 to 65535"),
        (["--host", "no.such.host.invalid", "--allow-anonymous"], "cannot listen there"),
        (["--allow-uri", "ftp://x/"], "--allow-uri 'ftp://x/': it should begin with file:"),
        (["--index", "none-of-this-name"], "none-of-this-name"),
    ],
)
def test_what_cannot_be_is_one_line(redis_url: str, arguments: list[str], said: str) -> None:
    ended = run(["-m", "neardup", "serve", "--redis", redis_url, "--port", "0", *arguments])
    assert ended.returncode == 2, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith("serve: ")
    assert said in line
