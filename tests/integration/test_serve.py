"""The look-up service on a real Redis: what it answers to images of every kind, and when things change under it."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import redis

from bootstrap.live.radius import set_radius
from consumer.messages import MAX_IMAGE_ID_BYTES
from consumer.serve.settings import ServeSettings
from neardup.descriptors.dct import DctDescriptor
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from tests.support.live_index import remove_keys
from tests.support.processes import eventually, metrics, photo
from tests.support.serving import Client, form, seed_index, serving
from tests.support.stage import fresh

pytestmark = [pytest.mark.redis, pytest.mark.slow]

INDEX = "serve-integration"
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "allowed").mkdir()
    (folder / "allowed" / "one.jpg").write_bytes(photo(fresh()))
    (folder / "secret.jpg").write_bytes(photo(fresh()))
    return folder


@pytest.fixture(scope="module")
def settings(redis_url: str, folder: Path) -> ServeSettings:
    return ServeSettings(
        redis_url=redis_url, index=INDEX, max_image_bytes=MOST_BYTES, allow_uri=((folder / "allowed").as_uri() + "/",)
    )


@pytest.fixture(scope="module")
def client(settings: ServeSettings) -> Iterator[Client]:
    seed_index(settings.redis_url, INDEX)
    with serving(settings) as client:
        yield client
    with connect(settings.redis_url) as opened:
        remove_keys(opened, INDEX)


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as opened:
        yield opened


def keys_of(server: redis.Redis) -> dict[bytes, int]:
    """Return the keys of the index with the bytes each takes."""
    found = server.scan_iter(match=IndexKeys(INDEX).pattern, count=1000)
    return {key: len(server.dump(key)) for key in found}  # type: ignore[arg-type]


# Looking up


def test_a_look_up_tells_of_the_nearest_members_and_changes_nothing(client: Client, server: redis.Redis) -> None:
    before = keys_of(server)
    found = client.look_up(photo(3, quality=60), "?limit=4&image_id=asked").document
    assert (found["verdict"], found["duplicate_of"], found["image_id"]) == ("duplicate", "seed-03.jpg", "asked")
    assert [each["image_id"] for each in found["neighbours"]][:1] == ["seed-03.jpg"]
    assert len(found["neighbours"]) == 4
    assert [each["duplicate"] for each in found["neighbours"]] == [True, False, False, False]
    distances = [each["distance"] for each in found["neighbours"]]
    assert distances == sorted(distances)
    assert found["neighbours"][0]["why"].startswith("distance 0.0")
    assert found["exact"]
    assert keys_of(server) == before


def test_a_look_up_tells_what_the_index_tool_tells(client: Client, redis_url: str, tmp_path: Path) -> None:
    from bootstrap.live.inspection import neighbours  # noqa: PLC0415 - the other application's
    from bootstrap.live.reading import LiveGeneration  # noqa: PLC0415 - as above

    image = photo(fresh())
    (tmp_path / "image.jpg").write_bytes(image)
    with connect(redis_url) as opened:
        told = neighbours(LiveGeneration(opened, INDEX), str(tmp_path / "image.jpg"), 10, None)
    found = client.look_up(image, "?limit=10").document
    same = ("distance", "similarity", "within_radius", "local_change", "symmetry", "image_id", "key", "captured_at")
    assert [{name: each[name] for name in same} for each in found["neighbours"]] == [
        {name: each[name] for name in same} for each in told["neighbours"]
    ]
    assert (found["verdict"], found["cluster"]) == (told["verdict"], told["cell"])


def test_what_was_judged_is_found_at_once(client: Client) -> None:
    image, key = photo(fresh()), f"key-{fresh()}"
    assert client.look_up(image).document["verdict"] == "unique"
    assert client.verdict(image, key)["verdict"] == "unique"
    found = client.look_up(image, "?limit=1").document
    assert found["verdict"] == "duplicate"
    assert found["neighbours"][0]["key"] == f"http:{key}"


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1e3", "", "٣", "9" * 5000])
def test_a_limit_that_is_none_is_refused(client: Client, limit: str) -> None:
    if limit == "٣":
        limit = "%D9%A3"
    answer = client.look_up(photo(1), f"?limit={limit}")
    assert answer.status in {400, 431}


# Judging


def test_the_same_key_always_gets_the_same_verdict(client: Client) -> None:
    image, key = photo(fresh()), f"key-{fresh()}"
    first = client.verdict(image, key, "?image_id=a")
    assert (first["verdict"], first["image_id"]) == ("unique", "a")
    assert client.verdict(photo(fresh()), f"other-{key}")["verdict"] == "unique"
    again = client.verdict(image, key, "?image_id=a")
    volatile = ("decided_at", "latency_ms", "source", "captured_at")
    assert {name: again[name] for name in again if name not in volatile} == {
        name: first[name] for name in first if name not in volatile
    }


def test_without_a_key_each_request_is_a_new_one(client: Client) -> None:
    image = photo(fresh())
    answers = [client.judge(image) for _ in range(2)]
    assert [each.document["verdict"] for each in answers] == ["unique", "duplicate"]
    assert answers[1].document["member"]["key"] == f"http:{answers[0].headers['Idempotency-Key']}"
    assert client.verdict(image, answers[0].headers["Idempotency-Key"])["verdict"] == "unique"


def test_a_refusal_names_the_key_to_send_again(client: Client) -> None:
    assert client.judge(b"no image").headers["Idempotency-Key"]
    assert client.judge(b"no image", Idempotency_Key="mine").headers["Idempotency-Key"] == "mine"


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "caf\xe9"])
def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    answer = client.judge(photo(1), Idempotency_Key=key)
    assert answer.status == 400
    assert "Idempotency-Key" in answer.document["detail"]


@pytest.mark.parametrize("key", ["{x}:decided", "*", "images-0-0", "../../x", "%s", "';FLUSHALL"])
def test_a_key_is_only_a_name(client: Client, key: str, server: redis.Redis) -> None:
    verdicts = [client.verdict(photo(fresh()), key) for _ in range(2)]
    assert verdicts[0]["verdict"] == verdicts[1]["verdict"] == "unique"
    assert server.exists(IndexKeys(INDEX).decided(f"http:{key}")) == 1


def test_many_at_once_are_judged_one_after_another(client: Client) -> None:
    images = [photo(number, quality) for number in (fresh(), fresh()) for quality in (90, 85, 80, 75, 70, 65)]
    with ThreadPoolExecutor(len(images)) as threads:
        verdicts = list(threads.map(client.verdict, images))
    assert [each["verdict"] for each in verdicts].count("unique") == 2
    assert metrics(f"{client.url}/metrics")["neardup_http_in_flight", ()] == 0


# What may be sent


def test_a_form_carries_image_and_texts(client: Client) -> None:
    body, kind = form(photo(fresh()), image_id="<b>ä</b>", captured_at="2026-01-02T03:04:05Z")
    answer = client.judge(body, Content_Type=kind)
    assert answer.status == 200
    assert (answer.document["image_id"], answer.document["captured_at"]) == ("<b>ä</b>", "2026-01-02T03:04:05.000Z")
    found = client.look_up(body, "?image_id=not-this", Content_Type=kind).document
    assert (found["duplicate_of"], found["image_id"]) == ("<b>ä</b>", "<b>ä</b>")
    body, kind = form(photo(fresh()))
    assert (
        client.judge(body, "/judge?image_id=in%20the%20query", Content_Type=kind).document["image_id"] == "in the query"
    )
    assert client.look_up(body, Content_Type=kind).document["image_id"] is None


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"--x", b"--x\r\n\r\n", b"--x--\r\n", b"\r\n" * 1000, b"--x\r\nA: b\r\n\r\nc\r\n--x--\r\n"),
        b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nc\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="image_id"\r\n\r\nc\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nc\r\n' * 2 + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="image_id"\r\n\r\n' + b"i" * 70_000 + b"\r\n--x--\r\n",
        b"--x\r\n" + b"H: " + b"h" * 60_000 + b"\r\n\r\nc\r\n--x--\r\n",
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nc\r\n--y--\r\n--x--\r\n",
    ],
)
def test_a_form_that_is_none_is_refused(client: Client, body: bytes) -> None:
    answer = client.judge(body, Content_Type="multipart/form-data; boundary=x")
    assert answer.status == 400, answer.body
    assert "multipart/form-data" in answer.document["detail"]


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 500])
def test_a_form_without_a_boundary_is_refused(client: Client, kind: str) -> None:
    assert client.judge(b"--x--", Content_Type=kind).status == 400


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "video/mp4"])
def test_another_kind_is_refused(client: Client, kind: str) -> None:
    assert client.judge(photo(1), Content_Type=kind).status == 415


def test_what_is_compressed_is_refused_and_not_unpacked(client: Client) -> None:
    assert client.judge(photo(1), Content_Encoding="gzip").status == 415


@pytest.mark.parametrize(
    ("body", "query", "reason"),
    [
        (b"", "", "empty"),
        (b"no image", "", "undecodable"),
        (photo(1)[:-300], "", "truncated"),
        (b"GIF89a", "", "undecodable"),
        (photo(1), "?image_id=", "bad-image-id"),
        (photo(1), f"?image_id={'i' * (MAX_IMAGE_ID_BYTES + 1)}", "bad-image-id"),
        (photo(1), "?image_id=a%00b", "bad-image-id"),
        (photo(1), "?captured_at=yesterday", "bad-captured-at"),
        (photo(1), "?captured_at=2026-01-01T00:00:00", "bad-captured-at"),
    ],
)
def test_a_bad_image_has_the_reason_of_a_dead_letter(client: Client, body: bytes, query: str, reason: str) -> None:
    for path in ("/judge", "/lookup"):
        answer = client.judge(body, f"{path}{query}")
        assert answer.status == 422
        assert (answer.document["reason"], answer.document["type"]) == (reason, f"urn:neardup:reason:{reason}")


def test_dead_letters_are_counted(client: Client) -> None:
    counted = ("neardup_bad_input_total", (("reason", "undecodable"),))
    before = metrics(f"{client.url}/metrics")[counted]
    client.judge(b"no image")
    client.look_up(b"no image")
    assert metrics(f"{client.url}/metrics")[counted] == before + 1


def test_an_image_that_is_too_large_in_a_form_is_refused(client: Client) -> None:
    for size in (MOST_BYTES + 1, 2 * MOST_BYTES):
        body, kind = form(b"x" * size)
        answer = client.judge(body, Content_Type=kind)
        assert (answer.status, answer.document["reason"]) == (413, "too-many-bytes")
    body, kind = form(b"x" * MOST_BYTES, image_id="i" * 1000)
    assert client.judge(body, Content_Type=kind).status == 422


@pytest.mark.parametrize("chunked", [False, True])
def test_an_image_that_is_too_large_is_refused(client: Client, chunked: bool) -> None:  # noqa: FBT001
    body = b"x" * (MOST_BYTES + 1)
    with closing(client.connect()) as connection:
        headers = {"Content-Type": "image/jpeg"} | ({"Transfer-Encoding": "chunked"} if chunked else {})
        connection.request("POST", "/judge", iter([body]) if chunked else body, headers, encode_chunked=chunked)
        response = connection.getresponse()
        document = json.loads(response.read())
    assert (response.status, document["reason"]) == (413, "too-many-bytes")


def test_an_envelope_names_an_image_where_that_is_allowed(client: Client, folder: Path) -> None:
    def asked(path: Path, **more: str) -> bytes:
        return json.dumps({"uri": path.as_uri(), **more}).encode()

    answer = client.judge(asked(folder / "allowed" / "one.jpg", image_id="one"), Content_Type="application/json")
    assert (answer.document["image_id"], answer.document["uri"]) == ("one", (folder / "allowed/one.jpg").as_uri())
    found = client.look_up(asked(folder / "allowed" / "one.jpg"), Content_Type="application/json").document
    assert found["duplicate_of"] == "one"
    for path, reason in (("secret.jpg", "uri-not-allowed"), ("allowed/../secret.jpg", "uri-not-allowed")):
        for ask in (client.judge, client.look_up):
            refused = ask(json.dumps({"uri": f"{folder.as_uri()}/{path}"}).encode(), Content_Type="application/json")
            assert refused.document["reason"] == reason
    missing = client.judge(asked(folder / "allowed" / "none.jpg"), Content_Type="application/json")
    assert missing.document["reason"] == "uri-unreadable"
    for envelope in (b"{", b"[]", b'{"uri": 5}', b"x" * 70_000):
        assert client.judge(envelope, Content_Type="application/json").document["reason"] == "bad-envelope"


# Limits


def test_a_body_that_comes_slowly_is_given_up(settings: ServeSettings, client: Client) -> None:
    del client  # which has made the index
    with (
        serving(ServeSettings(**{**vars(settings), "request_timeout_s": 0.5})) as hasty,
        socket.create_connection(hasty.address, timeout=60) as connection,
    ):
        head = b"POST /judge HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: 500\r\n\r\n"
        connection.sendall(head + b"abc")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_above_the_limit_requests_are_told_to_come_again_and_nothing_else_suffers(
    settings: ServeSettings, client: Client
) -> None:
    images = [photo(fresh()) for _ in range(40)]
    with serving(ServeSettings(**{**vars(settings), "max_in_flight": 2})) as small:

        def judged(image: bytes) -> tuple[int, str]:
            answer = small.judge(image)
            return answer.status, str(answer.document.get("verdict"))

        with ThreadPoolExecutor(20) as threads:
            told = list(threads.map(judged, images))
        assert small.ask("GET", "/readyz").status == 200
        assert small.verdict(photo(fresh()))["verdict"] == "unique"
    assert {status for status, _ in told} == {200, 503}
    # Who was told to come again is not in the index; who was answered is.
    for image, (status, _) in zip(images, told, strict=True):
        assert client.look_up(image).document["verdict"] == ("duplicate" if status == 200 else "unique")


# Changes under it


def test_a_new_generation_is_followed_under_load(client: Client, server: redis.Redis) -> None:
    generation = client.look_up(photo(0)).document["index"]["generation"]
    stop, statuses, generations = threading.Event(), [], []

    def ask() -> None:
        with closing(client.connect()) as connection:
            while not stop.is_set():
                answer = client.ask_on(connection, "POST", "/lookup", photo(5), Content_Type="image/jpeg")
                statuses.append(answer.status)
                generations.append(answer.document["index"]["generation"])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: generations, "a first answer")
        set_radius(server, INDEX, 0.3, "test", dry_run=False)
        found = client.look_up(photo(0)).document
        eventually(lambda: generation + 1 in generations, "an answer of the new one")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (found["index"]["generation"], found["radius"]) == (generation + 1, 0.3)
    assert {*statuses} == {200}
    assert {*generations} == {generation, generation + 1}


def test_a_service_whose_index_is_gone_ends(settings: ServeSettings) -> None:
    from neardup.errors import IndexMissing  # noqa: PLC0415

    name = f"{INDEX}-gone"
    seed_index(settings.redis_url, name)
    caught: list[BaseException] = []
    hook, threading.excepthook = threading.excepthook, lambda told: caught.append(told.exc_value)  # type: ignore[arg-type]
    try:
        with (
            serving(ServeSettings(**{**vars(settings), "index": name})) as client,
            connect(settings.redis_url) as opened,
        ):
            remove_keys(opened, name)
            answer = client.judge(photo(1))
            assert answer.status == 503
            assert "ending" in answer.document["detail"]
    finally:
        threading.excepthook = hook
    assert [type(error) for error in caught] == [IndexMissing]


def test_members_of_its_own_are_members_like_others(client: Client, server: redis.Redis) -> None:
    key = f"key-{fresh()}"
    client.verdict(photo(fresh()), key)
    found = [member for member in RedisIndex(server, INDEX).members() if member.key == f"http:{key}"]
    assert [member.image_id for member in found] == [f"http:{key}"]
    assert len(found[0].descriptor) == DctDescriptor().dimension


def test_a_client_that_leaves_takes_nothing_with_it(client: Client) -> None:
    image = photo(fresh())
    for _ in range(3):
        with socket.create_connection(client.address) as connection:
            head = (
                f"POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            )
            connection.sendall(head.encode() + image)
    with socket.create_connection(client.address) as connection:
        connection.sendall(
            b"POST /judge HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\nabc"
        )
    assert client.verdict(photo(fresh()))["verdict"] == "unique"
