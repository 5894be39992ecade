"""Every command refuses an index whose head is corrupt, in one and the same line, and leaves it as it is."""

import io
import json
import re
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import redis
from PIL import Image

import bootstrap.__main__
import bootstrap.calibrate
import bootstrap.index
import consumer.__main__
from bootstrap.index import EXIT_DOES_NOT_HOLD
from neardup.cli.running import EXIT_MISCONFIGURED
from neardup.descriptors.pca import Pca
from neardup.errors import CorruptIndex
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.live import read_live
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.index.stored.events import Rewritten, Split, encode_rewritten, encode_split
from neardup.index.stored.keys import IndexKeys
from tests.support.live_index import remove_keys

pytestmark = pytest.mark.redis

CURE = "restore Redis, or bootstrap afresh, which carries no member over"
PHOTOS = 12
COMPONENTS = 6
NAME = f"test-{uuid.uuid4().hex}"
KEYS = IndexKeys(NAME)
COPY = f"{NAME}-copy"
AS_BUILT = ("--descriptor", "pixels:16", "--project", str(COMPONENTS), "--threshold", "0.3", "--workers", "1")


@pytest.fixture(autouse=True)
def untouched_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.logs.configure_logging", lambda _level, **_worker: None)


@dataclass(frozen=True)
class Place:
    """An index that was built by the command, and the files that commands are given."""

    client: Any
    url: str
    folder: Path
    stored: dict[bytes, bytes]

    @property
    def photos(self) -> str:
        return str(self.folder / "photos")

    @property
    def environ(self) -> dict[str, str]:
        return {"NEARDUP_REDIS_URL": self.url, "NEARDUP_INDEX": NAME}

    def dumped(self) -> dict[bytes, bytes]:
        """Return every key of the index as Redis dumps it."""
        return {key: self.client.dump(key) for key in self.client.scan_iter(match=IndexKeys(NAME).pattern)}

    def restore(self) -> None:
        remove_keys(self.client, NAME)
        for key, value in self.stored.items():
            self.client.restore(key, 0, value)


@pytest.fixture(scope="module")
def built(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("corrupt")
    (folder / "photos").mkdir()
    for number in range(PHOTOS):
        (folder / "photos" / f"{number:02d}.png").write_bytes(png(number))
    with connect(redis_url) as client:
        place = Place(client, redis_url, folder, {})
        arguments = [place.photos, *AS_BUILT, "--export", str(folder / "index.json")]
        assert bootstrap.__main__.main(arguments, place.environ) == 0
        yield replace(place, stored=place.dumped())
        remove_keys(client, NAME)


@pytest.fixture
def place(built: Place) -> Place:
    built.restore()
    return built


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    coarse = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


# -- rows: what can be wrong with a head ------------------------------------------------------------------------------

Spoil = Callable[[Any], object]


def gone(key: str) -> Spoil:
    return lambda client: client.delete(key)


def reads(key: str, value: bytes) -> Spoil:
    return lambda client: client.set(key, value)


def is_a_list(key: str) -> Spoil:
    return lambda client: client.delete(key) and client.rpush(key, "x")


def changed(key: str, change: Callable[[bytes], bytes]) -> Spoil:
    return lambda client: client.set(key, change(client.get(key)))


def beginning_with(number: float) -> Callable[[bytes], bytes]:
    return lambda stored: struct.pack("<f", number) + stored[4:]


def ending_with(number: float) -> Callable[[bytes], bytes]:
    return lambda stored: stored[:-4] + struct.pack("<f", number)


def meta_with(**fields: object) -> Spoil:
    def change(stored: bytes) -> bytes:
        return json.dumps(json.loads(stored) | fields).encode()

    return changed(KEYS.metadata(1), change)


def another_pca(stored: bytes) -> bytes:
    pca = Pca.from_bytes(stored)
    return replace(pca, offset=pca.offset + 1).to_bytes()


OF_GENERATION = ", generation 1,"
POINTER: dict[str, tuple[Spoil, str]] = {
    "pointer of words": (reads(KEYS.live, b"one"), " is corrupt: the number of its live generation reads b'one'"),
    "pointer empty": (reads(KEYS.live, b""), " is corrupt: the number of its live generation reads b''"),
    "pointer negative": (reads(KEYS.live, b"-1"), " is corrupt: the number of its live generation reads b'-1'"),
    "pointer zero": (reads(KEYS.live, b"0"), " is corrupt: the number of its live generation reads b'0'"),
    "pointer padded": (reads(KEYS.live, b"01"), " is corrupt: the number of its live generation reads b'01'"),
    "pointer endless": (
        reads(KEYS.live, b"1" * 5000),
        f" is corrupt: the number of its live generation reads {b'1' * 40!r}",
    ),
    "pointer a list": (
        is_a_list(KEYS.live),
        " is corrupt: the key that should hold the number of its live generation is of another type",
    ),
    "pointer to nothing": (reads(KEYS.live, b"7"), ", generation 7, is corrupt: it is live and has no metadata"),
}
PARTS: dict[str, tuple[Spoil, str]] = {
    "metadata gone": (gone(KEYS.metadata(1)), "it is live and has no metadata"),
    "metadata a list": (is_a_list(KEYS.metadata(1)), "it is live and has no metadata"),
    "metadata no JSON": (reads(KEYS.metadata(1), b"{no"), "the metadata is not readable: b'{no'"),
    "metadata no UTF-8": (reads(KEYS.metadata(1), b"\xff"), "the metadata is not readable: b'\\xff'"),
    "metadata of a strange format": (
        reads(KEYS.metadata(1), b'{"format_version":[]}'),
        "the metadata is not readable: b'{\"format_version\":[]}'",
    ),
    "metadata of another index": (meta_with(name="other"), "the metadata is that of index 'other', generation 1"),
    "metadata of another generation": (
        meta_with(generation=2),
        f"the metadata is that of index {NAME!r}, generation 2",
    ),
    "metadata with a text for a number": (
        meta_with(dimension="6"),
        "the metadata has values of the wrong type: dimension",
    ),
    "metadata of no dimension": (meta_with(dimension=0), "the centroids take 0 bytes, Redis holds {centroids}"),
    "centroids gone": (gone(KEYS.centroids(1)), "the centroids take {centroids} bytes, Redis holds no"),
    "centroids a list": (is_a_list(KEYS.centroids(1)), "the centroids take {centroids} bytes, Redis holds no"),
    "centroids cut": (
        changed(KEYS.centroids(1), lambda stored: stored[:-1]),
        "the centroids take {centroids} bytes, Redis holds {cut}",
    ),
    "centroids NaN": (changed(KEYS.centroids(1), beginning_with(np.nan)), "the centroids hold NaN or infinity"),
    "centroids infinite": (changed(KEYS.centroids(1), ending_with(-np.inf)), "the centroids hold NaN or infinity"),
    "projection gone": (gone(KEYS.projection(1)), "there is no projection"),
    "projection a list": (is_a_list(KEYS.projection(1)), "there is no projection"),
    "projection cut": (
        changed(KEYS.projection(1), lambda stored: stored[:8]),
        f"the projection of 8 bytes is not one of {COMPONENTS} numbers",
    ),
    "projection NaN": (changed(KEYS.projection(1), ending_with(np.nan)), "the projection holds NaN or infinity"),
    "pca gone": (gone(KEYS.pca(1)), "the principal components of its descriptors are missing"),
    "pca a list": (is_a_list(KEYS.pca(1)), "the principal components of its descriptors are missing"),
    "pca cut": (
        changed(KEYS.pca(1), lambda stored: stored[:20]),
        f"20 bytes do not hold {COMPONENTS} principal components",
    ),
    "pca NaN": (changed(KEYS.pca(1), ending_with(np.nan)), "the principal components hold NaN or infinity"),
    "pca another": (changed(KEYS.pca(1), another_pca), "the principal components are {another_pca}, not {pca}"),
}
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
SPLIT = Split(0, 0, 0, 0, 0, 0.0, b"LR")
SPLITS: dict[str, tuple[Spoil, str]] = {
    "splits a text": (
        reads(KEYS.splits(1), b"x"),
        f"a key of the index is not what it should be: {WRONG_TYPE}",
    ),
    "splits no event": (lambda client: client.rpush(KEYS.splits(1), b"x"), "an event of the log is cut short: b'x'"),
    "splits another event": (
        lambda client: client.rpush(KEYS.splits(1), encode_rewritten(Rewritten(0, 0))),
        "entry 0 of the list of splits is none",
    ),
    "splits of a cell that is to come": (
        lambda client: client.rpush(KEYS.splits(1), encode_split(replace(SPLIT, low=70, high=71))),
        "split 0 does not follow those before it",
    ),
}
HEADS = POINTER | {row: (spoil, f"{OF_GENERATION} is corrupt: {why}") for row, (spoil, why) in PARTS.items()}
ROWS = HEADS | {row: (spoil, f"{OF_GENERATION} is corrupt: {why}") for row, (spoil, why) in SPLITS.items()}


def line_of(row: str, place: Place) -> str:
    """Return what is to be said; asked before the index is spoilt."""
    meta = read_live(place.client, NAME).meta
    centroids = 4 * meta.clusters * meta.dimension
    another = Pca.from_bytes(another_pca(place.client.get(KEYS.pca(1)))).fingerprint
    why = ROWS[row][1]
    for name, value in {"centroids": centroids, "cut": centroids - 1, "pca": meta.pca, "another_pca": another}.items():
        why = why.replace(f"{{{name}}}", str(value))
    return f"index {NAME!r}{why}; {CURE}"


# -- columns: the commands --------------------------------------------------------------------------------------------

Run = Callable[[Place], int]


def judging(place: Place) -> int:
    output = str(place.folder / "verdicts.jsonl")
    return consumer.__main__.main(["--input", place.photos, "--output", output], place.environ)


def bootstrapping(*arguments: str) -> Run:
    return lambda place: bootstrap.__main__.main([place.photos, *AS_BUILT, *arguments], place.environ)


def exporting(place: Place) -> int:
    return bootstrapping("--export", str(place.folder / "never.json"))(place)


def importing(*arguments: str) -> Run:
    def run(place: Place) -> int:
        file = str(place.folder / "index.json")
        return bootstrap.__main__.main(["--import", file, "--descriptor", "pixels:16", *arguments], place.environ)

    return run


def looking(*arguments: str) -> Run:
    return lambda place: bootstrap.index.main(arguments, place.environ)


def neighbours(place: Place) -> int:
    return looking("neighbours", f"{place.photos}/00.png")(place)


def calibrating(place: Place) -> int:
    return bootstrap.calibrate.main([], place.environ)


COMMANDS: dict[str, Run] = {
    "consumer": judging,
    "bootstrap": bootstrapping(),
    "bootstrap --export": exporting,
    "bootstrap --import": importing(),
    "stats": looking("stats"),
    "show": looking("show", "00.png"),
    "neighbours": neighbours,
    "duplicates": looking("duplicates", "00.png"),
    "explain": looking("explain", "00.png", "01.png"),
    "repair": looking("repair"),
    "repair --dry-run": looking("repair", "--dry-run"),
    "calibrate": calibrating,
    "remove": looking("remove", "00.png"),
    "remove --dry-run": looking("remove", "01.png", "--dry-run"),
    "set-radius": looking("set-radius", "0.2"),
    "set-radius --dry-run": looking("set-radius", "0.3", "--dry-run"),
    "export": lambda place: looking("export", str(place.folder / "never.json"))(place),
    "copy-to": lambda place: looking("copy-to", place.url, "--to-index", COPY)(place),
    "rollback --dry-run": looking("rollback", "--dry-run"),
    "rollback": looking("rollback"),
    "release": looking("release"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("row", ROWS)
def test_it_is_refused(row: str, command: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of(row, place)
    ROWS[row][0](place.client)
    before = place.dumped()
    assert COMMANDS[command](place) == EXIT_MISCONFIGURED
    assert re.sub("^(consumer|folder): ", "", capsys.readouterr().err) == f"{line}\n"
    assert place.dumped() == before
    assert not (place.folder / "never.json").exists()


@pytest.mark.parametrize("row", HEADS)
def test_verify_says_so_among_what_does_not_hold(row: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of(row, place)
    ROWS[row][0](place.client)
    assert looking("verify")(place) == EXIT_DOES_NOT_HOLD
    assert line in [text.strip() for text in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("row", POINTER)
def test_a_pointer_is_refused_where_it_is_all_that_is_asked_for(
    row: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    line = line_of(row, place)
    ROWS[row][0](place.client)
    if row == "pointer to nothing":
        assert bootstrapping("--if-missing")(place) == 0
    else:
        assert bootstrapping("--if-missing")(place) == EXIT_MISCONFIGURED
        assert capsys.readouterr().err == f"{line}\n"


ONE_OF_EACH = ("metadata no JSON", "centroids NaN", "projection gone", "pca cut", "splits a text", "splits no event")


@pytest.mark.parametrize("row", [*POINTER, *ONE_OF_EACH])
def test_fresh_takes_its_place(row: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    ROWS[row][0](place.client)
    assert importing("--fresh")(place) == 0, capsys.readouterr().err
    assert looking("verify")(place) == 0, capsys.readouterr().out
    assert RedisIndex(place.client, NAME).meta.generation == 2


WRONG_COUNTS = (b"many", b"-3", b"007", b"\xff", b"1" * 5000)


@pytest.mark.parametrize("count", WRONG_COUNTS)
def test_a_count_of_events_that_is_no_number_is_told(
    count: bytes, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.client.set(KEYS.trimmed(1), count)
    why = f"the number of events that left the log reads {count[:40]!r}"
    assert looking("stats")(place) == EXIT_MISCONFIGURED
    assert capsys.readouterr().err == f"index {NAME!r}{OF_GENERATION} is corrupt: {why}; {CURE}\n"
    assert looking("verify")(place) == EXIT_DOES_NOT_HOLD
    assert why in [text.strip() for text in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("key", [KEYS.trimmed(1), KEYS.log(1)], ids=["trimmed", "log"])
def test_a_log_of_another_type_is_told(key: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.client.delete(key)
    place.client.hset(key, "a", "b")
    why = f"a key of the index is not what it should be: {WRONG_TYPE}"
    assert looking("stats")(place) == EXIT_MISCONFIGURED
    assert capsys.readouterr().err == f"index {NAME!r}{OF_GENERATION} is corrupt: {why}; {CURE}\n"
    assert looking("verify")(place) == EXIT_DOES_NOT_HOLD
    assert f"{key} is a hash" in [text.strip() for text in capsys.readouterr().out.splitlines()]


def test_without_harm_all_of_them_do_their_work(place: Place) -> None:
    alone = COMMANDS.keys() - {
        "repair",
        "repair --dry-run",
        "bootstrap",
    }  # without Kafka; and one of two alike is enough
    assert {name: run(place) for name, run in COMMANDS.items() if name in alone} == dict.fromkeys(alone, 0)
    (place.folder / "never.json").unlink()
    remove_keys(place.client, COPY)


def test_a_copy_never_takes_the_place_of_a_corrupt_index(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert looking("copy-to", place.url, "--to-index", COPY)(place) == 0
    place.client.delete(IndexKeys(COPY).projection(1))
    capsys.readouterr()
    assert looking("copy-to", place.url, "--to-index", COPY, "--overwrite")(place) == EXIT_MISCONFIGURED
    assert f"index {COPY!r}, generation 1, is corrupt: there is no projection" in capsys.readouterr().err
    remove_keys(place.client, COPY)


# -- while it runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row in POINTER if row != "pointer a list"])
def test_a_consumer_that_runs_says_the_same(row: str, place: Place) -> None:
    line = line_of(row, place)
    index = RedisIndex(place.client, NAME)
    ROWS[row][0](place.client)
    with pytest.raises(CorruptIndex) as told:
        index.stats()
    assert str(told.value) == line


def test_a_generation_that_comes_meanwhile_is_read_as_a_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_live(place.client, NAME)
    mget, pending = place.client.mget, ["the next generation"]

    def late(*arguments: object) -> object:
        if pending:
            pending.pop()
            publish_another(place.client, before.meta, before.roots.centroids[:1])
        return mget(*arguments)

    monkeypatch.setattr(place.client, "mget", late)
    live = read_live(place.client, NAME)
    assert (live.meta.generation, len(live.roots), live.pca is None) == (2, 1, False)


def publish_another(client: redis.Redis, meta: IndexMeta, centroids: Any) -> None:  # noqa: ANN401 - of numpy
    stored = cast("bytes", client.get(KEYS.pca(1)))
    live = read_live(client, NAME)
    GenerationBuild(client, meta, centroids, live.sketcher, pca=Pca.from_bytes(stored)).publish()
