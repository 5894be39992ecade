"""Buckets as listings: s3 by a server of moto's, gs by an emulator, and objects that come and go meanwhile."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import quote

import pytest
import s3fs

from consumer.backfill import objects, shards, sources
from consumer.backfill.entries import Entry, Listing, Refused
from consumer.backfill.naming import Wanted
from consumer.backfill.settings import BackfillSettings
from consumer.backfill.sources import listings
from consumer.claim_checks import stores
from consumer.claim_checks.reader import UriReader
from neardup.errors import Misconfigured, StoreUnavailable, TooManyBytes, UriUnreadable
from tests.support.feeding import tar_of
from tests.support.https_hosts import closed_port
from tests.support.stores import gs_store, point_at_gs, point_at_s3, post, raw_server, s3_store

pytestmark = pytest.mark.slow


class Bucket:
    """A bucket of its own in a store that all tests share."""

    def __init__(
        self, scheme: str, name: str, put: Callable[[str, bytes], object], delete: Callable[[str], object]
    ) -> None:
        self.root = f"{scheme}://{name}"
        self.put = put
        self.delete = delete

    def put_all(self, keys: Sequence[str]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda key: self.put(key, b"x"), keys))


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with s3_store() as url:
        yield url


@pytest.fixture(scope="module")
def gs_server() -> Iterator[str]:
    with gs_store("unused") as url:
        yield url


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bucket:
    point_at_s3(s3_server, monkeypatch)
    files: Any = s3fs.S3FileSystem(skip_instance_cache=True)
    name = f"b{abs(hash(request.node.name)):x}"
    files.mkdir(name)
    return Bucket(
        "s3",
        name,
        lambda key, body: files.pipe_file(f"{name}/{key}", body),
        lambda key: files.rm_file(f"{name}/{key}"),
    )


@pytest.fixture
def gs(gs_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bucket:
    point_at_gs(gs_server, monkeypatch)
    name = f"b{abs(hash(request.node.name)):x}"
    post_json(f"{gs_server}/storage/v1/b", {"name": name})

    def put(key: str, body: bytes) -> None:
        post(f"{gs_server}/upload/storage/v1/b/{name}/o?uploadType=media&name={quote(key, safe='')}", body)

    def delete(key: str) -> None:
        quoted = quote(key, safe="")
        asked = urllib.request.Request(f"{gs_server}/storage/v1/b/{name}/o/{quoted}", method="DELETE")  # noqa: S310 - ours
        with urllib.request.urlopen(asked, timeout=60):  # noqa: S310
            pass

    return Bucket("gs", name, put, delete)


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    made: Bucket = request.getfixturevalue(request.param)
    return made


def post_json(url: str, document: object) -> None:
    asked = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})  # noqa: S310 - ours
    with urllib.request.urlopen(asked, timeout=60):  # noqa: S310
        pass


def listing(
    named: str,
    stop: threading.Event | None = None,
    tell: Callable[[str], object] = pytest.fail,
    suffixes: tuple[str, ...] | None = None,
) -> Listing:
    settings = BackfillSettings(listings=(named,), suffixes=suffixes)
    wanted = Wanted(settings.suffixes)
    [found] = listings(settings, wanted, stop=stop or threading.Event(), tell=tell)
    return found


def uris(found: Listing, after: object = None) -> list[str]:
    return [step.uri for step in found.steps(after) if isinstance(step, Entry)]


def test_a_prefix_has_its_images_by_key(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_PAGE_KEYS", 3)
    keys = ["a/1.jpg", "a/b ä+%41.jpg", "a/b/2.png", "a/ö.jpg", "a/𝄞.jpg"]
    bucket.put_all([*keys, "a-/0.jpg", "a.jpg", "ab/3.jpg", "a/note.json", "a/.hidden/4.jpg"])
    found = listing(f"{bucket.root}/a")
    assert uris(found) == [f"{bucket.root}/{key}" for key in keys]
    with UriReader([f"{bucket.root}/a/"], 10) as reader:
        assert {reader.read(uri) for uri in uris(found)} == {b"x"}
    for at, key in enumerate(keys):
        assert uris(found, key) == [f"{bucket.root}/{key}" for key in keys[at + 1 :]]
    assert len(uris(listing(bucket.root))) == 8


def test_keys_that_no_uri_can_name_are_refused(s3: Bucket) -> None:
    bucket = s3  # the emulator of the other has none of these names
    bucket.put_all(["a/1.jpg", "a/what?.jpg", "a/#2.jpg", "a/\x1b[2J.jpg", "a/../b.jpg"])
    steps = list(listing(f"{bucket.root}/a/").steps(None))
    assert [step.uri for step in steps if isinstance(step, Entry)] == [f"{bucket.root}/a/1.jpg"]
    refused = [step for step in steps if isinstance(step, Refused)]
    assert len(refused) == 4
    assert all(step.why.isprintable() and step.place == f"{bucket.root}/a/" for step in refused)
    bucket.put("b/x#bytes=0-5", b"x")
    [step] = listing(f"{bucket.root}/b/", suffixes=()).steps(None)
    assert isinstance(step, Refused)


def test_objects_that_are_there_all_the_time_come_exactly_once(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_PAGE_KEYS", 7)
    stays = [f"k/{number:03d}.jpg" for number in range(0, 90, 3)]
    goes = [f"k/{number:03d}.jpg" for number in range(1, 90, 3)]
    comes = [f"k/{number:03d}.jpg" for number in range(2, 90, 3)]
    bucket.put_all([*stays, *goes])
    seen: list[str] = []
    after: object = None
    changes = iter([*zip(goes, comes, strict=True)])
    # Whoever was killed begins anew behind what went through.
    while True:
        before = len(seen)
        for number, step in enumerate(listing(f"{bucket.root}/k/").steps(after)):
            assert isinstance(step, Entry)
            seen.append(step.uri.removeprefix(f"{bucket.root}/"))
            after = step.position
            gone, new = next(changes, (None, None))
            if gone is not None and new is not None:
                bucket.delete(gone)
                bucket.put(new, b"x")
            if number == 10:
                break
        if len(seen) == before:
            break
    assert len(seen) == len({*seen})
    assert {*seen} >= {*stays}
    assert seen == sorted(seen)


def test_a_shard_in_a_bucket_is_read_by_its_headers(bucket: Bucket) -> None:
    members = {f"{number:03d}.{kind}": bytes([number]) * 3000 for number in range(30) for kind in ("jpg", "json")}
    bucket.put("shards/0.tar", tar_of(members))
    found = listing(f"{bucket.root}/shards/0.tar")
    steps = [step for step in found.steps(None) if isinstance(step, Entry)]
    assert [step.image_id for step in steps] == [f"0.tar/{number:03d}.jpg" for number in range(30)]
    assert uris(found, steps[11].position) == [step.uri for step in steps[12:]]
    with UriReader([f"{bucket.root}/shards/"], 3000) as reader:
        assert [reader.read(step.uri) for step in steps[:3]] == [bytes([number]) * 3000 for number in range(3)]
        with pytest.raises(UriUnreadable, match="ends before"):
            reader.read(f"{bucket.root}/shards/0.tar#bytes=99999990-99999999")
        with pytest.raises(TooManyBytes):
            reader.read(f"{bucket.root}/shards/0.tar#bytes=0-3000")
    before = found.fingerprint()
    assert before == found.fingerprint()
    bucket.put("shards/0.tar", tar_of({**members, "more.jpg": b"x"}))
    assert found.fingerprint() != before


@pytest.mark.parametrize("block_bytes", [4096, shards._BLOCK_BYTES])
@pytest.mark.parametrize("first", [0, 50], ids=["grown", "another"])
def test_a_shard_in_a_bucket_that_is_replaced_while_it_is_read_is_refused_from_there_on(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, block_bytes: int, first: int
) -> None:
    def members(numbers: range) -> bytes:
        return tar_of({f"{number:03d}.jpg": bytes([number]) * 5000 for number in numbers})

    monkeypatch.setattr(shards, "_BLOCK_BYTES", block_bytes)
    bucket.put("0.tar", members(range(30)))
    found = listing(f"{bucket.root}/0.tar")
    found.fingerprint()
    steps = found.steps(None)
    handed_on = [next(steps)]
    bucket.put("0.tar", members(range(first, first + 31)))
    told = r"0.tar: it changed while it was read; run the same command once it is whole"
    with pytest.raises(Misconfigured, match=told):
        handed_on.extend(steps)
    # What was asked for before it was replaced is still in hand, and of the store's other one nothing is.
    assert [step.image_id for step in handed_on if isinstance(step, Entry)] == [
        f"0.tar/{number:03d}.jpg" for number in range(len(handed_on))
    ]
    assert len(handed_on) == (1 if block_bytes == 4096 else 30)
    with pytest.raises(Misconfigured, match=told):
        next(found.steps(None))


def test_all_shards_are_read_through_one_client(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def counted(file_system: str) -> object:
        opened.append(file_system)
        return stores.opened_store(file_system)

    monkeypatch.setattr(sources, "opened_store", counted)
    for number in range(3):
        bucket.put(f"shards/{number}.tar", tar_of({"1.jpg": b"x"}))
    settings = BackfillSettings(listings=(f"{bucket.root}/shards/{{0..2}}.tar",))
    found = listings(settings, Wanted(None), stop=threading.Event(), tell=print)
    assert all(each.fingerprint() for each in found)
    assert [step.image_id for each in found for step in each.steps(None) if isinstance(step, Entry)] == [
        f"{number}.tar/1.jpg" for number in range(3)
    ]
    assert len(opened) == 1


def test_buckets_and_objects_that_are_not_there_are_told_of(bucket: Bucket) -> None:
    scheme = bucket.root.partition(":")[0]
    for named in (
        f"{scheme}://no-such-bucket-here/a/",
        f"{scheme}://no-such-bucket-here/a.tar",
        f"{bucket.root}/a.tar",
    ):
        with pytest.raises(Misconfigured, match=r"there is no such bucket or object|refuses to list it") as raised:
            list(listing(named).steps(None))
        assert "hunter2" not in str(raised.value)


def test_a_store_that_is_away_at_the_start_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    point_at_s3(f"http://127.0.0.1:{closed_port()}", monkeypatch)
    with pytest.raises(StoreUnavailable, match="s3://images/a/"):
        list(listing("s3://images/a/").steps(None))
    with pytest.raises(StoreUnavailable, match=r"s3://images/a.tar"):
        list(listing("s3://images/a.tar").steps(None))


def test_a_store_that_does_not_list_by_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = "".join(f"<Contents><Key>a/{name}.jpg</Key><Size>1</Size></Contents>" for name in "bac")
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with raw_server(head.encode() + body) as url:
        point_at_s3(url, monkeypatch)
        with pytest.raises(Misconfigured, match="does not list its keys by name"):
            list(listing("s3://images/a/").steps(None))


def test_an_empty_page_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Store(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            assert len(asked) < 4
            first = "continuation-token=on" not in self.path
            more = "<IsTruncated>true</IsTruncated><NextContinuationToken>on</NextContinuationToken>"
            body = (
                f"<ListBucketResult>{more if first else '<Contents><Key>a/1.jpg</Key></Contents>'}</ListBucketResult>"
            )
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Store) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            point_at_s3(f"http://127.0.0.1:{server.server_port}", monkeypatch)
            assert uris(listing("s3://images/a/")) == ["s3://images/a/1.jpg"]
        finally:
            server.shutdown()
            serving.join()
    assert len(asked) == 2


def test_an_outage_between_pages_is_waited_out(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_PAGE_KEYS", 2)
    s3.put_all([f"a/{number}.jpg" for number in range(5)])
    said: list[str] = []
    page, calls = objects.S3Keys.page, iter([False, True, True])

    def away(self: objects.S3Keys, prefix: str, after: str) -> tuple[list[str], bool]:
        if next(calls, False):
            raise ConnectionResetError
        return page(self, prefix, after)

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout
            return False

    monkeypatch.setattr(objects.S3Keys, "page", away)
    found = listing(f"{s3.root}/a/", Stop(), said.append)
    assert len(uris(found)) == 5
    assert [text.partition(";")[0] for text in said] == [f"{s3.root}/a/: ConnectionResetError"] * 2


def test_an_outage_within_a_shard_is_no_damage(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_BLOCK_BYTES", 512)
    s3.put("0.tar", tar_of({f"{number}.jpg": b"x" * 5000 for number in range(5)}))
    fetch, away = s3fs.S3File._fetch_range, threading.Event()

    def fetched(self: s3fs.S3File, start: int, end: int) -> object:
        if away.is_set():
            raise ConnectionResetError
        return fetch(self, start, end)

    monkeypatch.setattr(s3fs.S3File, "_fetch_range", fetched)
    steps = listing(f"{s3.root}/0.tar").steps(None)
    first = next(steps)
    away.set()
    with pytest.raises(StoreUnavailable, match=r"0.tar: ConnectionResetError"):
        list(steps)
    away.clear()
    assert len(uris(listing(f"{s3.root}/0.tar"), first.position)) == 4
