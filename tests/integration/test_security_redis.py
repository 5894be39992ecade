"""Redis with TLS, or as a cluster, and a user for each task, as docs/security.md describes them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import redis

from bootstrap.index import main as inspect
from demo.services import RedisProgram
from neardup.errors import RedisUnavailable
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.types import Query, Verdict
from tests.conftest import missing_skips
from tests.support.certificates import Authority
from tests.support.indexes import build_generation, point, query
from tests.support.processes import eventually, photo, run
from tests.support.redis_cluster import Cluster, cluster_url, running_cluster, tell
from tests.support.secured_redis import DOCUMENT, SecuredRedis, documented_users

pytestmark = pytest.mark.redis

PASSWORD = "p%40ss/w:rd?#"  # noqa: S105 - invented
INDEX = "secured"
NEWCOMER = "newcomer"
"""In a cluster, with what a consumer needs on one server alone."""
RARE = {"ltrim", "lrem", "ping", "del", "asking"}
"""Not reached in a short run: a log trimmed at 20,000 events, a seed that gives way during a build, a connection idle
for 30 s, a build given up, a slot that moves to another node of a cluster."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(redis_program: RedisProgram, authority: Authority) -> Iterator[SecuredRedis]:
    with ExitStack() as stack:
        with missing_skips():
            users = documented_users(INDEX, PASSWORD)
            made = stack.enter_context(SecuredRedis(redis_program, authority, users))
        yield made


def rights_in_a_cluster() -> str:
    """Return what docs/security.md grants to each user besides, where Redis is a cluster."""
    found = re.search(r"In a Redis Cluster each of these users needs `([^`]+)` as well", DOCUMENT.read_text("utf-8"))
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def cluster(redis_program: RedisProgram) -> Iterator[Cluster]:
    users = documented_users(INDEX, PASSWORD)
    lines = {f"user {name}": f"{rules} {rights_in_a_cluster()}" for name, rules in users.items()}
    lines[f"user {NEWCOMER}"] = users["neardup-consumer"]
    with running_cluster(redis_program, settings=lines) as made:
        yield made


@dataclass(frozen=True)
class Place:
    """Where an index may lie.

    Attributes
    ----------
    url_of
        Tells where a user connects, without a password.
    nodes
        Where the administrator of each server connects.
    rights
        What each user has there besides.
    """

    url_of: Callable[[str], str]
    nodes: Sequence[str]
    rights: str = ""


@pytest.fixture(params=["one server", "cluster"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "one server":
        server: SecuredRedis = request.getfixturevalue("server")
        return Place(server.url_of, [server.url])
    cluster: Cluster = request.getfixturevalue("cluster")
    address = cluster.primaries[0].address
    return Place(
        lambda user: cluster_url(address, f"{user}@"), [node.url for node in cluster.nodes], rights_in_a_cluster()
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(8):
        (folder / f"{number}.jpg").write_bytes(photo(number))
    return folder


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream")
    for number in range(4, 24):
        (folder / f"{number}.jpg").write_bytes(photo(number, quality=80))
    return folder


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "redis"
    path.write_text(f"{PASSWORD}\n")
    return path


def environ(url: str, password_file: Path) -> dict[str, str]:
    return {"NEARDUP_REDIS_URL": url, "NEARDUP_REDIS_PASSWORD_FILE": str(password_file), "NEARDUP_INDEX": INDEX}


@pytest.fixture(scope="module")
def indexed(server: SecuredRedis, images: Path, password_file: Path) -> None:
    """Make the index, for those who ask for it, whatever ran before."""
    ended = run(["-m", "bootstrap", str(images)], environ(server.url_of("neardup-bootstrap"), password_file))
    assert ended.returncode == 0, ended.stderr


def called(place: Place) -> set[str]:
    """Return the commands that were called since the last question."""
    names = set()
    for node in place.nodes:
        with redis.Redis.from_url(node) as administrator:
            names |= {name.removeprefix("cmdstat_") for name in administrator.info("commandstats")}
            administrator.config_resetstat()
    return names


def granted(user: str, place: Place) -> set[str]:
    rules = f"{documented_users(INDEX, PASSWORD)[user]} {place.rights}".split()
    return {rule.removeprefix("+") for rule in rules if rule.startswith("+")}


def test_each_task_does_with_its_user_s_rights_and_needs_them_all(
    place: Place, images: Path, stream: Path, password_file: Path, tmp_path: Path
) -> None:
    judge = ["-m", "consumer", "--input", str(stream), "--output", str(tmp_path / "verdicts"), "--max-cluster", "4"]
    copy_to = ["-m", "bootstrap.index", "copy-to", place.url_of("neardup-operator")]
    tasks: dict[str, Sequence[Sequence[str]]] = {
        "neardup-bootstrap": [["-m", "bootstrap", str(images)]],
        "neardup-consumer": [judge],
        "neardup-reader": [
            ["-m", "bootstrap.index", "stats"],
            ["-m", "bootstrap.index", "show", "0.jpg"],
            ["-m", "bootstrap.index", "verify"],
            ["-m", "bootstrap.calibrate"],
        ],
        "neardup-operator": [
            ["-m", "bootstrap.index", "remove", "0.jpg"],
            ["-m", "bootstrap.index", "set-radius", "0.3"],
            ["-m", "bootstrap.index", "export", str(tmp_path / "index.json")],
            [*copy_to, "--overwrite", "--to-password-file", str(password_file)],
        ],
    }
    more = tmp_path / "more images"
    more.mkdir()
    (more / "24.jpg").write_bytes(photo(24))
    judge_more = ["-m", "consumer", "--input", str(more), "--output", str(tmp_path / "more")]
    used: dict[str, set[str]] = {}
    called(place)
    # The bootstrap again at the end, to carry over what the consumer added, and to remove what is not kept any more;
    # then back, with what was added since.
    for user in [*tasks, "neardup-bootstrap", "neardup-bootstrap"]:
        for command in tasks[user]:
            ended = run(command, environ(place.url_of(user), password_file))
            assert ended.returncode == 0, ended.stderr
        used[user] = used.get(user, set()) | called(place)
    ended = run(judge_more, environ(place.url_of("neardup-consumer"), password_file))
    assert ended.returncode == 0, ended.stderr
    called(place)
    for tool in ("rollback", "release"):
        command = ["-m", "bootstrap.index", tool]
        ended = run(command, environ(place.url_of("neardup-rollback"), password_file))
        assert ended.returncode == 0, ended.stderr
    used["neardup-rollback"] = called(place)
    for user, commands in used.items():
        assert granted(user, place) - commands <= RARE, user
    assert (tmp_path / "verdicts").read_text().count('"duplicate"') >= 4


REFUSALS = {
    "wrong password": ("{consumer}", "wrong", "Redis rejected the client: "),
    "unknown user": ("{nobody}", PASSWORD, "Redis rejected the client: "),
    "no trust": ("{system trust}", PASSWORD, "CERTIFICATE_VERIFY_FAILED"),
    "another authority": ("{another}", PASSWORD, "CERTIFICATE_VERIFY_FAILED"),
    "another host": ("{localhost}", PASSWORD, "Hostname mismatch, certificate is not valid for 'localhost'"),
    "no such file": ("{missing}", PASSWORD, "ssl_ca_certs of the URL: there is no file '/no/ca.pem'"),
    "no certificates": ("{not pem}", PASSWORD, "NO_CERTIFICATE_OR_CRL_FOUND"),
    "a right missing": ("{consumer}", PASSWORD, "Redis rejected the client: "),
}


@pytest.fixture(scope="module")
def urls(server: SecuredRedis, tmp_path_factory: pytest.TempPathFactory, images: Path) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("others")
    return {
        "{consumer}": server.url_of("neardup-consumer"),
        "{nobody}": server.url_of("nobody"),
        "{system trust}": server.url_of("neardup-consumer").partition("?")[0],
        "{another}": server.url_of("neardup-consumer", authority=Authority(folder).file),
        "{localhost}": server.url_of("neardup-consumer", host="localhost"),
        "{missing}": server.url_of("neardup-consumer", authority=Path("/no/ca.pem")),
        "{not pem}": server.url_of("neardup-consumer", authority=images / "0.jpg"),
    }


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("name", REFUSALS)
def test_who_is_refused_gets_one_clear_line(
    name: str, urls: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    which, password, expected = REFUSALS[name]
    file = tmp_path / "password"
    file.write_text(password)
    # `stats` needs what a consumer may not do: TYPE, MEMORY USAGE and SCAN.
    assert inspect(["stats"], environ(urls[which], file)) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1
    assert password not in said


def test_an_index_of_somebody_else_is_out_of_reach(
    server: SecuredRedis, images: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = environ(server.url_of("neardup-reader"), password_file)
    assert inspect(["stats", "--index", "other"], given) == 2
    assert "Redis rejected the client: " in capsys.readouterr().err
    ended = run(["-m", "bootstrap", str(images)], given)
    assert ended.returncode == 2
    assert "Redis rejected the client: " in ended.stderr


@pytest.mark.usefixtures("indexed")
def test_a_server_that_asks_for_a_certificate_gets_ours(
    server: SecuredRedis, authority: Authority, password_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = authority.issue("client")
    url = server.url_of("neardup-reader")
    with redis.Redis.from_url(f"{server.url}&ssl_certfile={own.certificate}&ssl_keyfile={own.key}") as administrator:
        administrator.config_set("tls-auth-clients", "yes")
        try:

            def refused() -> bool:
                if inspect(["stats"], environ(url, password_file)) == 2:
                    return True
                # The server hung up before its reason was read.
                assert "it may require a client certificate" in capsys.readouterr().err
                return False

            eventually(refused, "the server's reason")
            assert "certificate required" in capsys.readouterr().err
            with_ours = f"{url}&ssl_certfile={own.certificate}&ssl_keyfile={own.key}"
            assert inspect(["stats", "--index", INDEX], environ(with_ours, password_file)) == 0
        finally:
            administrator.config_set("tls-auth-clients", "no")


def test_plain_text_is_not_answered(
    server: SecuredRedis, password_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = f"redis://neardup-reader@127.0.0.1:{server.address[1]}"
    assert inspect(["stats"], environ(plain, password_file)) == 1
    assert "Redis does not answer" in capsys.readouterr().err


@pytest.mark.usefixtures("indexed")
def test_a_consumer_has_the_rights_for_a_log_that_is_full(
    server: SecuredRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neardup.index.stored.scripts.LOG_EVENTS", 2)
    index = RedisIndex(connect(server.url_of("neardup-consumer"), PASSWORD), INDEX)
    directions = np.eye(index.meta.dimension, dtype=np.float16)[-8:]
    decided = index.decide([Query(f"full-{row}", f"{row}", each) for row, each in enumerate(directions)])
    assert {decision.verdict for decision in decided} == {Verdict.UNIQUE}
    with redis.Redis.from_url(server.url) as administrator:
        log = IndexKeys(INDEX).log(index.meta.generation)
        assert administrator.llen(log) == 2


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        ("neardup-consumer", "wrong", "Redis rejected the client: invalid username-password pair"),
        (
            NEWCOMER,
            PASSWORD,
            "no permissions to run the 'cluster|slots' command",
        ),
    ],
)
def test_who_is_refused_by_a_cluster_gets_one_clear_line(  # noqa: PLR0917 - what is given, and what is said
    cluster: Cluster, stream: Path, tmp_path: Path, user: str, password: str, expected: str
) -> None:
    file = tmp_path / "password"
    file.write_text(password)
    given = environ(cluster_url(cluster.primaries[0].address, f"{user}@"), file)
    judge = ["-m", "consumer", "--input", str(stream), "--output", str(tmp_path / "verdicts")]
    for command in (judge, ["-m", "bootstrap.index", "stats"]):
        ended = run(command, given)
        assert ended.returncode == 2, ended.stderr
        [line] = [line for line in ended.stderr.splitlines() if "Redis" in line]
        assert expected in line
        assert "Traceback" not in ended.stderr


def test_a_consumer_has_the_rights_to_follow_a_slot_that_moves(cluster: Cluster) -> None:
    name = "moving"
    for node in cluster.nodes:
        tell(node, "ACL SETUSER", "neardup-consumer", f"~{IndexKeys(name).pattern}")
    with connect(cluster.url) as administrator:
        build_generation(administrator, name)
    user = cluster_url(cluster.primaries[0].address, "neardup-consumer@")
    index = RedisIndex(connect(user, PASSWORD), name)
    with cluster.moving(IndexKeys(name).live), pytest.raises(RedisUnavailable):
        index.decide([query("a", point(0))])
    assert index.decide([query("a", point(0))])[0].verdict is Verdict.UNIQUE
    assert b"cmdstat_asking" in b"".join(tell(node, "INFO commandstats") for node in cluster.nodes)
