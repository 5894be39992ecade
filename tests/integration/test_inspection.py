"""Looking at a live index, and finding every kind of damage, on a real Redis."""

import io
import json
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from PIL import Image

from bootstrap.index import EXIT_DOES_NOT_HOLD, main
from bootstrap.live.reading import LiveGeneration
from bootstrap.live.verify import Verification
from bootstrap.tool import EXIT_NO_MEMBER
from neardup.cli.running import EXIT_MISCONFIGURED, EXIT_UNAVAILABLE
from neardup.descriptors import load_descriptor
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.retention import FOR_EVER, Retention
from neardup.index.stored.codec import decode_member, encode_member
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.search.distance import l2_distances
from neardup.search.sketches import fit_sketcher
from neardup.types import Member, Query
from tests.support.live_index import DIMENSION, build, queries, remove_keys, stream, unit_rows
from tests.support.told import Told

pytestmark = pytest.mark.redis

Document = dict[str, Any]


@pytest.fixture
def index(client: redis.Redis) -> Iterator[str]:
    """Name of an index of this test's own: 600 images streamed into five cells, which were divided."""
    name = build(client)
    stream(client, name, queries(600))
    yield name
    remove_keys(client, name)


class Command:
    """Runs a command line in this process."""

    def __init__(self, url: str, index: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._environ = {"NEARDUP_REDIS_URL": url, "NEARDUP_INDEX": index}
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str]:
        code = main([str(argument) for argument in arguments], self._environ)
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def document(self, *arguments: object) -> Document:
        _, text = self(*arguments, "--json")
        document: Document = json.loads(text)
        return document


@pytest.fixture
def command(redis_url: str, index: str, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(redis_url, index, capsys)


def cells_of(client: redis.Redis, index: str) -> dict[int, list[bytes]]:
    """Return the records of each cell that has any, the largest first."""
    generation = LiveGeneration(client, index)
    leaves = generation.layout().leaves
    cells = dict(zip(leaves, generation.read_cells(leaves), strict=True))
    return {cell: cells[cell] for cell in sorted(cells, key=lambda cell: -len(cells[cell])) if cells[cell]}


def failing(document: Document) -> dict[str, int]:
    return {check["check"]: check["wrong"] for check in document["checks"] if check["holds"] == "no"}


# verify


def test_a_healthy_index_holds_everything(command: Command) -> None:
    document = command.document("verify")
    examined = {check["check"]: check["examined"] for check in document["checks"]}
    assert failing(document) == {}
    assert document["holds"] is True
    assert all(check["wrong"] == 0 for check in document["checks"])
    assert examined["records"] == examined["homes"] == examined["keys"] == examined["distances"] > 500
    assert examined["splits"] > 10
    assert examined["log"] == examined["records"] + examined["splits"]
    code, text = command("verify")
    assert code == 0
    assert text.splitlines()[-1] == "everything is consistent"


def test_whatever_reads_all_members_tells_how_far_it_is(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    for module in ("bootstrap.index", "bootstrap.tool"):
        monkeypatch.setattr(f"{module}.shown_progress", told)
    members = command.document("stats")["members"]
    assert not told.counts
    command("verify")
    assert told.counts == {"read members": members, "compare members": members}
    told.counts.clear()
    command("show", "nobody")
    assert told.counts == {"read members": members}
    told.counts.clear()
    command("export", tmp_path / "index.json")
    assert told.counts.pop("read members") >= members  # those of a cell that was divided may come again
    assert told.counts == {"write members": members}


def test_a_large_cluster_is_a_warning_only(command: Command) -> None:
    code, text = command("verify", "--max-cluster", 5)
    assert code == 0
    assert any(line.startswith("warning") and " wrong" in line for line in text.splitlines())


def test_a_sample_is_compared_with_all(command: Command) -> None:
    document = command.document("verify", "--sample", 50)
    [distances] = [check for check in document["checks"] if check["check"] == "distances"]
    assert (distances["examined"], distances["holds"]) == (50, "yes")


class Damage:
    """Ways to harm an index; each returns what verify has to find."""

    def __init__(self, client: redis.Redis, index: str) -> None:
        self.client = client
        self.keys = IndexKeys(index)
        self.cells = cells_of(client, index)
        self.numbers = list(self.cells)

    def cell(self, number: int) -> str:
        return self.keys.cell(1, number)

    def moved(self) -> set[str]:
        one, other = self.numbers[:2]
        record = self.cells[one][3]
        self.client.lrem(self.cell(one), 1, record)  # type: ignore[arg-type]
        self.client.rpush(self.cell(other), record)
        return {"homes", "log"}

    def deleted(self) -> set[str]:
        self.client.lrem(self.cell(self.numbers[0]), 1, self.cells[self.numbers[0]][0])  # type: ignore[arg-type]
        return {"log"}

    def doubled(self) -> set[str]:
        self.client.rpush(self.cell(self.numbers[0]), self.cells[self.numbers[0]][0])
        return {"keys", "log"}

    def garbage(self) -> set[str]:
        self.client.lset(self.cell(self.numbers[0]), 2, "garbage")
        return {"records", "log"}

    def infinite(self) -> set[str]:
        record = self.cells[self.numbers[0]][2]
        self.client.lset(self.cell(self.numbers[0]), 2, record[:-2] + struct.pack("<e", float("inf")))  # type: ignore[arg-type]
        return {"records", "log"}

    def longer(self) -> set[str]:
        member = decode_member(self.cells[self.numbers[0]][2], DIMENSION)
        stretched = Member(member.key, member.image_id, member.descriptor * np.float16(1.25))
        self.client.lset(self.cell(self.numbers[0]), 2, encode_member(stretched))  # type: ignore[arg-type]
        return {"norms"}

    def orphan(self) -> set[str]:
        self.client.rpush(self.cell(4711), self.cells[self.numbers[0]][0])
        return {"orphans"}

    def divided_cell(self) -> set[str]:
        divided = next(cell for cell in range(5) if cell not in self.cells)
        self.client.rpush(self.cell(divided), self.cells[self.numbers[0]][0])
        return {"orphans"}

    def foreign(self) -> set[str]:
        self.client.set(self.keys.live.removesuffix("live") + "mine", "x")
        return {"orphans"}

    def dead_generation(self) -> set[str]:
        self.client.set(self.keys.metadata(0), "{}")
        return {"orphans"}

    def other_type(self) -> set[str]:
        self.client.delete(self.cell(self.numbers[0]))
        self.client.set(self.cell(self.numbers[0]), "x")
        return {"orphans", "log"}

    def near_pair(self) -> set[str]:
        member = decode_member(self.cells[self.numbers[0]][0], DIMENSION)
        self.client.rpush(self.cell(self.numbers[0]), encode_member(Member("copy", "copy", member.descriptor)))
        return {"distances", "log"}

    def splits_cut(self) -> set[str]:
        self.client.rpop(self.keys.splits(1))
        return {"orphans", "log"}

    def splits_holed(self) -> set[str]:
        self.client.lpop(self.keys.splits(1))
        return {"splits", "homes", "log"}

    def no_projection(self) -> set[str]:
        self.client.delete(self.keys.projection(1))
        return {"metadata"}

    def skewed_projection(self) -> set[str]:
        stored = self.client.get(self.keys.projection(1))
        assert isinstance(stored, bytes)
        self.client.set(self.keys.projection(1), stored[:-4] + struct.pack("<f", 3.0))
        return {"metadata"}

    def other_metadata(self) -> set[str]:
        self.client.set(self.keys.metadata(1), IndexMeta("other", 1, "dct", "dct-1", DIMENSION, 0.1, 5).to_json())
        return {"metadata"}


@pytest.mark.parametrize("kind", [name for name in vars(Damage) if not name.startswith("_") and name != "cell"])
def test_damage_is_found(kind: str, command: Command, client: redis.Redis, index: str) -> None:
    must_fail: set[str] = getattr(Damage(client, index), kind)()
    code, text = command("verify")
    assert code == EXIT_DOES_NOT_HOLD, text
    assert "the index is not consistent" in text
    document = command.document("verify")
    assert failing(document).keys() >= must_fail, failing(document)
    if kind in {"deleted", "foreign", "orphan", "near_pair", "doubled", "moved"}:
        assert failing(document).keys() == must_fail
        assert failing(document)[min(must_fail - {"log"}, default="log")] <= 2


def test_a_sample_of_all_finds_a_near_pair(command: Command, client: redis.Redis, index: str) -> None:
    Damage(client, index).near_pair()
    assert failing(command.document("verify", "--sample", 100_000)).keys() == {"distances", "log"}


def test_members_that_never_counted_for_one_another_may_be_near(client: redis.Redis) -> None:
    name = build(client)
    row = unit_rows(1, seed=3)[0]
    day_ms = 24 * 60 * 60 * 1000
    start_ms = 1_700_000_000_000
    images = [Query(f"images-0-{day}", f"{day}", row, start_ms + day * 10 * day_ms) for day in range(2)]
    retention = Retention(day_ms, grace_ms=100 * day_ms)
    assert len(stream(client, name, images, RedisIndexOptions(retention=retention))) == 2
    assert failing(Verification(client, name, retention=retention).run()) == {}
    assert failing(Verification(client, name).run()) == {"distances": 1}
    remove_keys(client, name)


HOUR_MS = 60 * 60 * 1000


@pytest.mark.parametrize("retention", [FOR_EVER, Retention(300 * HOUR_MS, HOUR_MS)], ids=["for ever", "retention"])
def test_verify_does_not_cry_wolf_while_consumers_divide_and_remove(
    retention: Retention, client: redis.Redis, redis_url: str
) -> None:
    name = build(client)
    stop, failed = threading.Event(), list[BaseException]()

    def consume() -> None:
        try:
            with connect(redis_url) as own:
                index = RedisIndex(own, name, options=RedisIndexOptions(max_cluster=4, retention=retention))
                for start in range(0, 1500, 16):
                    if stop.is_set():
                        return
                    index.decide(images[start : start + 16])
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    images = queries(1500)
    consumer = threading.Thread(target=consume)
    consumer.start()
    verified = 0
    try:
        while consumer.is_alive() or not verified:
            sample = None if verified % 2 else 20
            document = Verification(client, name, sample=sample, retention=retention).run()
            assert failing(document) == {}, document
            verified += 1
    finally:
        stop.set()
        consumer.join()
        remove_keys(client, name)
    assert failed == []
    assert verified > 1


def test_a_suspicion_that_has_passed_is_not_reported(
    client: redis.Redis, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Damage that is mended between the first look and the second.
    damage = Damage(client, index)
    damage.doubled()
    confirm = Verification._confirmed

    def mended(*arguments: Any) -> Any:  # noqa: ANN401 - as the original
        client.rpop(damage.cell(damage.numbers[0]))
        return confirm(*arguments)

    monkeypatch.setattr(Verification, "_confirmed", mended)
    assert failing(Verification(client, index).run()).keys() == {"log"}  # of one moment, that of the damage


# stats, show, neighbours


def test_stats_are_those_of_the_index(command: Command, client: redis.Redis, index: str) -> None:
    document = command.document("stats")
    expected = RedisIndex(client, index).stats()
    assert document["members"] == expected.members
    assert document["clusters"]["count"] == expected.clusters
    assert document["clusters"]["max"] == max(expected.cluster_sizes)
    assert document["events"]["ever"] == document["events"]["in_log"] == expected.members + document["splits"]
    assert document["decisions"] == 600
    assert 2 * DIMENSION < document["bytes_a_member"] < 2 * DIMENSION + 100
    assert all(document["memory_bytes"][kind] > 0 for kind in ("members", "decisions", "log", "rest"))
    code, text = command("stats")
    assert code == 0
    assert f"{expected.members}" in text


@pytest.mark.parametrize("by", ["key", "image_id"])
def test_show_finds_a_member(by: str, command: Command, client: redis.Redis, index: str) -> None:
    members = list(RedisIndex(client, index).members())
    one = members[17]
    [shown] = command.document("show", getattr(one, by))["members"]
    others = [member for member in members if member.key != one.key]
    distances = l2_distances(one.descriptor[np.newaxis], np.stack([member.descriptor for member in others]))[0]
    assert (shown["key"], shown["image_id"]) == (one.key, one.image_id)
    assert shown["nearest"]["distance"] == distances.min()
    assert shown["nearest"]["key"] == others[int(distances.argmin())].key
    assert shown["decision"]["verdict"] == "unique"
    assert one.key.encode() in b"".join(cells_of(client, index)[shown["cell"]])
    assert shown["captured_at"].startswith("2023-")
    code, text = command("show", getattr(one, by))
    assert code == 0
    assert one.key in text


def test_show_tells_when_there_is_none(command: Command) -> None:
    code, text = command("show", "nobody")
    assert (code, text) == (EXIT_NO_MEMBER, "no member has the image id or the key 'nobody'\n")


def test_show_lists_all_images_of_one_id(command: Command, client: redis.Redis, index: str) -> None:
    rows = unit_rows(2, seed=99)
    stream(client, index, [Query(f"twins-{number}", "twins", row) for number, row in enumerate(rows)])
    assert {shown["key"] for shown in command.document("show", "twins")["members"]} == {"twins-0", "twins-1"}
    text = command("show", "twins")[1]
    assert text.count("image id") == 2
    assert "unknown" in text


def photo(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photos(client: redis.Redis, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Make an index of ten real descriptors; return its name and the folder with the images."""
    dct, name = load_descriptor("dct"), f"photos-{tmp_path.name[-20:]}-{np.random.default_rng().integers(2**40)}"
    (tmp_path / "photos").mkdir()
    from neardup.decoding.decode import decode  # noqa: PLC0415

    rows = []
    for number in range(10):
        (tmp_path / "photos" / f"{number}.png").write_bytes(photo(number))
        rows.append(dct.describe([dct.prepare(decode(photo(number), reduce_to_px=dct.reduce_to_px))])[0])
    meta = IndexMeta(name, 0, "dct", dct.fingerprint, dct.dimension, dct.default_radius)
    centroids = np.stack(rows[:1]).astype(np.float32)
    GenerationBuild(client, meta, centroids, fit_sketcher(np.stack(rows))).publish()
    stream(client, name, [Query(f"k{number}", f"{number}.png", row) for number, row in enumerate(rows)])
    yield name, tmp_path / "photos"
    remove_keys(client, name)


def test_neighbours_say_what_the_verdict_would_be(command: Command, photos: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = photos
    document = command.document("neighbours", folder / "3.png", "--index", name, "--limit", 4)
    assert (document["verdict"], document["duplicate_of"], document["cell"]) == ("duplicate", "3.png", 0)
    distances = [near["distance"] for near in document["neighbours"]]
    assert distances == sorted(distances)
    assert (distances[0], len(distances)) == (0.0, 4)
    (tmp_path / "new.png").write_bytes(photo(77))
    code, text = command("neighbours", tmp_path / "new.png", "--index", name)
    assert code == 0
    assert "would be unique" in text
    assert len(text.splitlines()) == 12
    assert command.document("stats", "--index", name)["members"] == 10  # nothing has changed


Refusal = Callable[[Path], list[object]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(lambda folder: [folder / "no.png"], "cannot read", id="no file"),
        pytest.param(lambda folder: [folder], "cannot read", id="a folder"),
        pytest.param(lambda _: [__file__], "is not an image", id="no image"),
    ],
)
def test_neighbours_of_what_is_no_image(
    arguments: Refusal, says: str, command: Command, photos: tuple[str, Path]
) -> None:
    code, text = command("neighbours", *arguments(photos[1]), "--index", photos[0])
    assert code == EXIT_MISCONFIGURED
    assert says in text
    assert text.count("\n") == 1


def test_neighbours_by_another_descriptor_are_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(photo(1))
    code, text = command("neighbours", tmp_path / "a.png")
    assert code == EXIT_MISCONFIGURED
    assert "was built with descriptor test-1" in text


@pytest.mark.parametrize("arguments", [["stats"], ["show", "x"], ["neighbours", "x.png"], ["verify"]])
def test_a_missing_index_and_an_absent_redis_are_one_line(arguments: list[str], command: Command) -> None:
    code, text = command(*arguments, "--index", "nobody-made-this")
    assert (code, text.count("\n")) == (EXIT_MISCONFIGURED, 1)
    code, text = command(*arguments, "--redis", "redis://127.0.0.1:1")
    assert (code, text.count("\n")) == (EXIT_UNAVAILABLE, 1)


def test_an_index_that_is_replaced_meanwhile_is_not_half_read(client: redis.Redis, index: str) -> None:
    generation = LiveGeneration(client, index)
    build(client, index)
    assert failing(Verification(client, index).run()) == {}
    with pytest.raises(Exception, match="run this again"):
        list(generation.blocks())
