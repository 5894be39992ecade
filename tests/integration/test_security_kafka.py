"""Kafka with TLS, a login or a certificate, and rights: as docs/security.md describes them."""

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import redis
from kafka import KafkaConsumer, TopicPartition

from demo.services import KafkaProgram, RedisProgram
from tests.conftest import missing_skips
from tests.support.certificates import Authority, Certificate
from tests.support.processes import DEADLINE_S, Program, eventually, get, photo, run, running
from tests.support.secured_kafka import SecuredKafka, documented_rights, login
from tests.support.secured_redis import SecuredRedis, documented_users

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

PASSWORD = "marker-7f3a/@:%2F#"  # noqa: S105 - invented
MARKER = "marker-image-id"
UNIQUE = f"{MARKER}-unique"
INDEX = "secured"
IMAGES = 6


@pytest.fixture(scope="module")
def kafka(kafka_program: KafkaProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with SecuredKafka(kafka_program, tmp_path_factory.mktemp("authority")) as server:
        server.create_topics("images", "verdicts", "images.dead")
        for user in ("neardup-consumer", "neardup-feed"):
            server.create_user(user, PASSWORD)
            server.grant(f"User:{user}", documented_rights(user))
        server.grant("User:CN=neardup-repair", documented_rights("neardup-repair"))
        yield server


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "kafka"
    path.write_text(f"{PASSWORD}\r\n")
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(IMAGES):
        (folder / f"{MARKER}-{number}.jpg").write_bytes(photo(number))
    (folder / f"{MARKER}-broken.jpg").write_bytes(b"no image")
    return folder


def by_login(kafka: SecuredKafka, user: str, password_file: Path) -> dict[str, str]:
    return {**login(kafka, user), "NEARDUP_SASL_PASSWORD_FILE": str(password_file)}


def by_certificate(kafka: SecuredKafka, own: Certificate) -> dict[str, str]:
    """Return our own settings for whoever comes in by a certificate with an encrypted key."""
    return {
        "NEARDUP_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "NEARDUP_SECURITY_PROTOCOL": "SSL",
        "NEARDUP_SSL_CAFILE": str(kafka.authority.file),
        "NEARDUP_SSL_CERTFILE": str(own.certificate),
        "NEARDUP_SSL_KEYFILE": str(own.key),
    }


def records(kafka: SecuredKafka, topic: str, wanted: int) -> list[Any]:
    """Return what readers of committed messages find in a topic, once there is as much as wanted."""
    place, found = TopicPartition(topic, 0), list[Any]()
    made = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, isolation_level="read_committed", **kafka.administrator
    )
    with closing(made) as reader:
        reader.assign([place])
        reader.seek_to_beginning()

        def enough() -> bool:
            found.extend(reader.poll(200).get(place, []))
            return len(found) >= wanted

        eventually(enough, f"{wanted} messages in {topic}")
    return found


@pytest.fixture(scope="module")
def secured_redis(redis_program: RedisProgram, kafka: SecuredKafka) -> Iterator[SecuredRedis]:
    with ExitStack() as stack:
        with missing_skips():
            users = documented_users(INDEX, PASSWORD)
            made = stack.enter_context(SecuredRedis(redis_program, kafka.authority, users))
        yield made


def test_the_whole_job_runs_with_the_rights_that_are_documented(
    kafka: SecuredKafka, secured_redis: SecuredRedis, images: Path, password_file: Path
) -> None:
    def of_redis(user: str) -> dict[str, str]:
        url = secured_redis.url_of(user)
        return {"NEARDUP_REDIS_URL": url, "NEARDUP_REDIS_PASSWORD_FILE": str(password_file), "NEARDUP_INDEX": INDEX}

    built = run(["-m", "bootstrap", str(images)], of_redis("neardup-bootstrap"))
    assert built.returncode == 0, built.stderr
    (images / f"{UNIQUE}.jpg").write_bytes(photo(IMAGES))
    fed = run(["-m", "consumer.feed", str(images)], by_login(kafka, "neardup-feed", password_file))
    assert fed.returncode == 0, fed.stderr
    environ = {**by_login(kafka, "neardup-consumer", password_file), **of_redis("neardup-consumer")}
    with running(["-m", "consumer", "--metrics-port", "0"], environ) as program:
        port = int(json.loads(program.await_line("serving /metrics"))["message"].rpartition(":")[2])
        verdicts = records(kafka, "verdicts", IMAGES + 1)
        dead = records(kafka, "images.dead", 1)
        shown = pages(port, program)
        assert program.stop() == 0, "".join(program.lines)
    found = Counter(json.loads(record.value)["verdict"] for record in verdicts)
    assert found == {"duplicate": IMAGES, "unique": 1}
    assert dict(dead[0].headers)["error.reason"]
    for private in (MARKER, "127.0.0.1", kafka.login_address.rpartition(":")[2], "neardup-consumer", PASSWORD):
        assert private not in shown
    assert PASSWORD not in "".join(program.lines) + built.stderr + built.stdout + fed.stderr + fed.stdout
    repair_by_certificate(kafka, secured_redis, of_redis("neardup-repair"))


def pages(port: int, program: Program) -> str:
    """Return all that the metrics port shows, once the process is ready and has counted its images."""
    url = f"http://127.0.0.1:{port}"

    def counted() -> str | None:
        status, metrics = get(f"{url}/metrics")
        judged = f'neardup_images_total{{verdict="duplicate"}} {IMAGES}.0' in metrics
        return metrics if status == 200 and judged else None

    metrics = eventually(counted, f"metrics of {IMAGES} images; log: {''.join(program.lines)}")
    return "\n".join([metrics, *(get(f"{url}{path}")[1] for path in ("/healthz", "/readyz", "/nothing"))])


def repair_by_certificate(kafka: SecuredKafka, secured_redis: SecuredRedis, of_redis: dict[str, str]) -> None:
    """Lose a member, and let the repair restore it, known by its certificate, whose key is encrypted."""
    with redis.Redis.from_url(secured_redis.url) as administrator:
        for cell in administrator.scan_iter("*:cell:*"):
            for record in administrator.lrange(cell, 0, -1):
                if UNIQUE.encode() in record:
                    administrator.lrem(cell, 1, record)
    own = kafka.authority.issue("neardup-repair", password=PASSWORD.encode())
    environ = {**by_certificate(kafka, own), **of_redis, "NEARDUP_SSL_KEY_PASSWORD": PASSWORD}
    ended = run(["-m", "bootstrap.index", "repair", "--json"], environ)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["read"], told["restored"]) == (IMAGES + 1, 1)
    assert PASSWORD not in ended.stderr + ended.stdout


# Who is refused gets one clear line.

Case = tuple[dict[str, str], str]
QUICK_FEED = """
import logging, os, sys
import consumer.feed, consumer.transport.kafka
# A bootstrap of kafka-python uses up all the time that it is given.
consumer.transport.kafka.CONNECT_TIMEOUT_MS = 2000
logging.getLogger("kafka").addHandler(logging.NullHandler())
sys.exit(consumer.feed.main(sys.argv[1:], os.environ))
"""


@pytest.fixture(scope="module")
def cases(kafka: SecuredKafka, password_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Return what is wrong, as settings of the feed, and what the feed says of it."""
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    good = by_login(kafka, "neardup-feed", password_file)
    plain = {"NEARDUP_SSL_CAFILE": "", "NEARDUP_SASL_PASSWORD_FILE": ""}
    port = kafka.login_address.rpartition(":")[2]
    stranger_s = by_certificate(kafka, stranger.issue("neardup-feed"))
    no_certificate = {**stranger_s, "NEARDUP_SSL_CERTFILE": "", "NEARDUP_SSL_KEYFILE": ""}
    return {
        "password": (
            {**good, "NEARDUP_SASL_PASSWORD_FILE": "", "NEARDUP_SASL_PASSWORD": f"not {PASSWORD}"},
            "user name or password is wrong",
        ),
        "user": ({**good, "NEARDUP_SASL_USERNAME": "nobody"}, "user name or password is wrong"),
        "mechanism": ({**good, "NEARDUP_SASL_MECHANISM": "PLAIN"}, "it does not offer this --sasl-mechanism"),
        "trust": ({**good, "NEARDUP_SSL_CAFILE": ""}, "not trusted by --ssl-cafile"),
        "authority": ({**good, "NEARDUP_SSL_CAFILE": str(stranger.file)}, "not trusted by --ssl-cafile"),
        "host": ({**good, "NEARDUP_BOOTSTRAP_SERVERS": f"localhost:{port}"}, "Hostname mismatch"),
        "right": ({**good, "NEARDUP_TOPIC": "verdicts"}, "Kafka rejected the client: TopicAuthorizationFailedError"),
        "certificate": (stranger_s, "it does not accept our certificate"),
        "no certificate": (no_certificate, "it does not accept our certificate"),
        "no TLS": (
            {**good, **plain, "NEARDUP_SECURITY_PROTOCOL": "PLAINTEXT", "NEARDUP_SASL_MECHANISM": ""},
            "the server does not speak plaintext Kafka",
        ),
        "login without TLS": (
            {**good, "NEARDUP_SSL_CAFILE": "", "NEARDUP_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
            "the server does not speak plaintext Kafka",
        ),
    }


@pytest.fixture(scope="module")
def answers(cases: dict[str, Case], images: Path) -> dict[str, CompletedProcess[str]]:
    """Run all cases side by side: they wait more than they compute."""

    def ended(name: str) -> CompletedProcess[str]:
        def once() -> CompletedProcess[str] | None:
            done = run(["-c", QUICK_FEED, str(images)], cases[name][0])
            # An outage on a machine that is too slow for the little time: once more.
            return None if done.returncode == 1 else done

        return eventually(once, f"a refusal of {name}", 2 * DEADLINE_S)

    with ThreadPoolExecutor(4) as executor:
        return dict(zip(cases, executor.map(ended, cases), strict=True))


NAMES = [
    "password",
    "user",
    "mechanism",
    "trust",
    "authority",
    "host",
    "right",
    "certificate",
    "no certificate",
    "no TLS",
    "login without TLS",
]


@pytest.mark.parametrize("name", NAMES)
def test_who_is_refused_gets_one_clear_line(
    name: str, cases: dict[str, Case], answers: dict[str, CompletedProcess[str]]
) -> None:
    answer = answers[name]
    assert answer.returncode == 2, answer.stderr
    assert cases[name][1] in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert PASSWORD not in answer.stderr + answer.stdout


def test_no_case_is_forgotten(cases: dict[str, Case]) -> None:
    assert list(cases) == NAMES


RIGHTS = {
    "TOPIC images": "TopicAuthorizationFailedError: topic 'images'",
    "TOPIC verdicts": "TopicAuthorizationFailedError: topic 'verdicts'",
    "TOPIC images.dead": "TopicAuthorizationFailedError: topic 'images.dead'",
    "GROUP neardup": "GroupAuthorizationFailedError",
    "TRANSACTIONAL_ID neardup": "TransactionalIdAuthorizationFailedError",
}
"""What a consumer says that lacks all rights to a resource."""
WITHOUT = "without transactions"


@pytest.fixture(scope="module")
def consumers(kafka: SecuredKafka, redis_url: str, images: Path, password_file: Path) -> Iterator[dict[str, Program]]:
    """Run a consumer without each right, side by side."""
    index = f"rights-{secrets.token_hex(4)}"
    of_redis = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": index, "NEARDUP_METRICS_PORT": "0"}
    assert run(["-m", "bootstrap", str(images)], of_redis).returncode == 0
    with ExitStack() as stack:
        programs = {}
        for name in RIGHTS:
            user = f"without {name}"
            kafka.create_user(user, PASSWORD)
            rights = documented_rights("neardup-consumer")
            kafka.grant(f"User:{user}", [right for right in rights if f"{right[0]} {right[1].rstrip('-*')}" != name])
            environ = {**by_login(kafka, user, password_file), **of_redis}
            programs[name] = stack.enter_context(running(["-m", "consumer"], environ))
        # The last one lacks the right to transactions.
        programs[WITHOUT] = stack.enter_context(running(["-m", "consumer", "--delivery", "at-least-once"], environ))
        yield programs


@pytest.mark.parametrize("name", RIGHTS)
def test_a_consumer_without_a_right_says_which(name: str, consumers: dict[str, Program]) -> None:
    program = consumers[name]
    program.await_line(RIGHTS[name])
    assert program.wait() == 2
    assert re.match("consumer: (Kafka rejected the client|no transactions with this Kafka): ", program.lines[-1])
    assert PASSWORD not in "".join(program.lines)


def test_a_consumer_without_transactions_needs_no_right_to_them(consumers: dict[str, Program]) -> None:
    program = consumers[WITHOUT]
    url = json.loads(program.await_line("serving /metrics"))["message"].rpartition(" ")[2]
    eventually(lambda: get(f"{url}/readyz")[0] == 200, "readiness")
    assert program.stop() == 0


OF_FOLLOWING = {
    "TOPIC images": "TopicAuthorizationFailedError: topic 'images'",
    "GROUP neardup-feed": "GroupAuthorizationFailedError",
    "TRANSACTIONAL_ID neardup-feed": "TransactionalIdAuthorizationFailedError",
    "READ": "exactly once needs READ on its topic",
    "none": "1 image published to images",
}


@pytest.mark.parametrize("name", OF_FOLLOWING)
def test_a_followed_folder_needs_the_rights_that_are_documented_and_says_which(
    kafka: SecuredKafka, tmp_path: Path, password_file: Path, name: str
) -> None:
    user = f"follow without {name}"
    kafka.create_user(user, PASSWORD)
    rights = documented_rights("neardup-follow")
    given = [right for right in rights if f"{right[0]} {right[1].rstrip('-*')}" != name]
    if name == "READ":
        given = [(kind, of, ["WRITE"] if kind == "TOPIC" else whats) for kind, of, whats in given]
    kafka.grant(f"User:{user}", given)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo(1))
    words = ["--follow", "--settle-s", "0", "--state", str(tmp_path / "state.db")]
    with running(["-m", "consumer.feed", str(tmp_path / "in"), *words], by_login(kafka, user, password_file)) as feed:
        feed.await_line(OF_FOLLOWING[name])
        assert (feed.stop() if name == "none" else feed.wait()) == (0 if name == "none" else 2)
    assert PASSWORD not in "".join(feed.lines)


def watching_user(kafka: SecuredKafka, password_file: Path, without: str = "none") -> dict[str, str]:
    """Make a user with the rights of the live view, but one; return our own settings for it."""
    user = f"watch without {without}"
    kafka.create_user(user, PASSWORD)
    rights = [right for right in documented_rights("neardup-watch") if f"{right[0]} {right[1]}" != without]
    kafka.grant(f"User:{user}", rights)
    return by_login(kafka, user, password_file)


@pytest.mark.parametrize(
    ("without", "lag"),
    [
        ("none", r"lag (\d|unknown: group 'neardup' has committed nothing yet)"),
        ("GROUP neardup", r"lag unknown: .*GroupAuthorizationFailedError"),
        ("TOPIC images", r"lag unknown: topic 'images' is not there, or we may not see it"),
    ],
)
def test_a_live_view_needs_the_rights_that_are_documented(
    kafka: SecuredKafka, password_file: Path, without: str, lag: str
) -> None:
    with running(["-m", "neardup", "watch"], watching_user(kafka, password_file, without), with_output=True) as program:
        program.await_line("watching")
        assert re.search(lag, program.await_line(" sum "))
        assert program.stop() == 0
    assert PASSWORD not in "".join(program.lines)


@pytest.mark.parametrize("name", ["verdicts", "images.dead"])
def test_a_live_view_without_a_topic_says_which(kafka: SecuredKafka, password_file: Path, name: str) -> None:
    ended = run(["-m", "neardup", "watch"], watching_user(kafka, password_file, f"TOPIC {name}"))
    assert ended.returncode == 2
    assert re.fullmatch(
        rf"watch: Kafka rejected the client: .*TopicAuthorizationFailedError: topic '{name}'.*\n", ended.stderr
    )
