"""The batch job as a process, on a real Redis."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from bootstrap.generation.snapshot import Snapshot, store
from bootstrap.seeds.analyse import analyse_seeds
from bootstrap.seeds.describe import describe_seeds
from neardup.descriptors import load_descriptor
from neardup.errors import IndexMissing, Misconfigured, RedisUnavailable
from neardup.index.build import GenerationBuild
from neardup.index.redis import RedisIndex
from neardup.index.stored.keys import IndexKeys
from neardup.search.sketches import Sketcher
from neardup.sources.files import find_images
from tests.support.processes import DEADLINE_S

pytestmark = pytest.mark.redis

REPORTED = ["clusters.png", "duplicates.png", "groups.csv", "groups.jsonl", "seeds.jsonl", "unique.png"]
SKETCHER = Sketcher(np.zeros(128, dtype=np.float32), np.eye(8, 128, dtype=np.float32))


@pytest.fixture
def index(client: redis.Redis) -> Iterator[str]:
    """Name of an index of this test's own."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for key in client.scan_iter(match=IndexKeys(name).pattern):
        client.delete(key)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve images, each twice, and some files that are none."""
    folder = tmp_path / "photos"
    (folder / "again").mkdir(parents=True)
    for number in range(12):
        (folder / f"{number:02d}.jpg").write_bytes(jpeg(number, 95))
        (folder / "again" / f"{number:02d}.jpg").write_bytes(jpeg(number, 60))
    (folder / "README.md").write_text("# Photos")
    (folder / "broken.jpg").write_bytes(jpeg(0, 95)[:500])
    (folder / "empty.jpg").touch()
    return folder


def jpeg(number: int, quality: int) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bootstrap", *map(str, arguments)]


def environment(redis_url: str, index: str) -> dict[str, str]:
    return {**os.environ, "NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": index}


@pytest.fixture
def bootstrap(redis_url: str, index: str) -> "Bootstrap":
    return Bootstrap(environment(redis_url, index))


class Bootstrap:
    """Runs the command line to its end."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), env=self._environ, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )


def snapshot_of(photos: Path) -> Snapshot:
    dct = load_descriptor("dct")
    return analyse_seeds(describe_seeds(find_images([str(photos)]), dct), dct, clusters=3).snapshot()


def keys_of(client: redis.Redis, index: str) -> set[str]:
    return {key.decode() for key in client.scan_iter(match=IndexKeys(index).pattern)}


def generations_of(client: redis.Redis, index: str) -> set[str]:
    return set(re.findall(r":(g\d+):", " ".join(keys_of(client, index))))


def uniques_of(client: redis.Redis, index: str) -> list[str]:
    return sorted(member.image_id for member in RedisIndex(client, index).members())


def test_from_photos_to_a_live_index(bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str) -> None:
    report, export = photos.parent / "report", photos.parent / "index.json"
    ran = bootstrap(photos, "--clusters", 3, "--report", report, "--export", export)
    assert ran.returncode == 0, ran.stderr
    assert uniques_of(client, index) == [f"{number:02d}.jpg" for number in range(12)]
    found = RedisIndex(client, index, load_descriptor("dct").fingerprint)
    assert found.meta.seed == {"images": 24, "unique": 12, "duplicates": 12, "unreadable": 3, "carried": 0}
    assert (found.meta.generation, found.meta.clusters) == (1, 3)
    assert {member.key for member in found.members()} == {f"seed:{number:02d}.jpg" for number in range(12)}
    assert sorted(path.name for path in report.iterdir()) == REPORTED
    assert len(json.loads(export.read_text("utf-8"))["members"]) == 12


def test_its_own_output_among_the_seeds_is_no_seed(
    bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str
) -> None:
    (photos / "@eaDir").mkdir()
    (photos / "@eaDir" / "00.jpg").write_bytes(jpeg(0, 10))
    (photos / os.fsdecode(b"caf\xe9.jpg")).write_bytes(jpeg(12, 95))
    for passed_over in ("@eaDir (1), own output (1)", "@eaDir (1), own output (2)"):  # the folder is made early
        ran = bootstrap(photos, "--clusters", 3, "--report", photos / "report", "--export", photos / "index.json")
        assert ran.returncode == 0, ran.stderr
        [line] = [line for line in ran.stderr.splitlines() if "passed over" in line]
        assert line.endswith(f"INFO passed over: {passed_over}")
    assert uniques_of(client, index) == [*(f"{number:02d}.jpg" for number in range(12)), r"caf\xe9.jpg"]
    assert RedisIndex(client, index).meta.seed["unreadable"] == 3


def test_the_largest_of_several_copies_is_the_member_on_wish(
    bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str
) -> None:
    for number in range(12):
        with Image.open(photos / f"{number:02d}.jpg") as image:
            image.resize((192, 192), Image.Resampling.BICUBIC).save(photos / f"{number:02d}.large.jpg", quality=95)
    ran = bootstrap(photos, "--clusters", 3, "--largest-first")
    assert ran.returncode == 0, ran.stderr
    assert uniques_of(client, index) == [f"{number:02d}.large.jpg" for number in range(12)]


def test_a_damaged_clip_is_told_of(bootstrap: Bootstrap, tmp_path: Path, client: redis.Redis, index: str) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import film, numbered  # noqa: PLC0415 - it needs PyAV

    folder = tmp_path / "clips"
    folder.mkdir()
    whole = film(folder / "whole.mkv", [numbered(number) for number in range(30)])
    (folder / "halved.mkv").write_bytes(whole[: len(whole) // 2])
    ran = bootstrap(folder, "--radius", "0")
    assert ran.returncode == 0, ran.stderr
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in ran.stdout.splitlines()}
    assert said["clips"].startswith("2 clips, 1 not whole, with ")
    assert said["unreadable"] == "1: 1 undecodable"
    assert "of about 30 frames" in said["halved.mkv:"]
    assert ran.stderr.count("halved.mkv: ") == ran.stderr.count("whole.mkv: ") == 1
    assert [name for name in uniques_of(client, index) if "whole" in name]


def test_the_summary_says_it_all(bootstrap: Bootstrap, photos: Path, index: str) -> None:
    lines = bootstrap(photos, "--clusters", 3, "--threshold", 0.2).stdout.splitlines()
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if not line.startswith(" ")}
    assert said["images"] == "24"
    assert said["unique"] == "12"
    assert said["duplicates"] == "12 in 12 groups; --report FOLDER lists them"
    assert said["unreadable"] == "3: 1 undecodable, 1 truncated, 1 empty"
    assert any(line.split()[:2] == ["README.md:", "undecodable,"] for line in lines)
    assert said["clusters"].startswith("3, with ")
    assert said["radius"] == "0.2 (given)"
    assert said["descriptor"] == "dct, 128 numbers"
    assert said["index"].startswith(f"{index}, generation 1, at redis://")
    assert re.fullmatch(r"describe \S+ \(\d+ images/s\), compare \S+, cluster \S+, store \S+", said["seconds"])


def test_members_are_in_the_cells_where_they_are_looked_for(
    bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str
) -> None:
    bootstrap(photos, "--clusters", 4)
    found = RedisIndex(client, index)
    by_cell = [list(found._members_of(cell)) for cell in range(found.meta.clusters)]
    assert all(by_cell)
    for cell, members in enumerate(by_cell):
        assert set(found._live.roots.assign(np.stack([member.descriptor for member in members]))) == {cell}


def test_a_second_run_carries_the_first_over(
    bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str
) -> None:
    bootstrap(photos)
    other = photos.parent / "other"
    other.mkdir()
    (other / "new.jpg").write_bytes(jpeg(99, 90))
    (other / "00.jpg").write_bytes(jpeg(98, 90))  # the name of a seed that is another image
    (other / "copy.jpg").write_bytes(jpeg(3, 80))
    ran = bootstrap(other)
    assert ran.returncode == 0, ran.stderr
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in ran.stdout.splitlines()}
    assert (said["images"], said["unique"]) == ("3", "2")
    assert said["duplicates"] == "1 in 1 group; --report FOLDER lists them"
    assert said["carried"] == "12 members of the generation before"
    assert RedisIndex(client, index).meta.generation == 2
    assert uniques_of(client, index) == sorted([*(f"{number:02d}.jpg" for number in range(12)), "00.jpg", "new.jpg"])
    assert generations_of(client, index) == {"g1", "g2"}  # the first is kept for a rollback
    assert said["previous"].startswith("generation 1, kept for 24h: ")


def test_the_same_seeds_again_change_nothing(
    bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str
) -> None:
    bootstrap(photos)
    before = {member.key: member.descriptor.tobytes() for member in RedisIndex(client, index).members()}
    report = photos.parent / "report"
    again = bootstrap(photos, "--report", report)
    assert again.returncode == 0, again.stderr
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in again.stdout.splitlines()}
    assert (said["unique"], said["duplicates"]) == ("12", f"12 in 12 groups -> {report / 'groups.csv'}")
    assert {member.key: member.descriptor.tobytes() for member in RedisIndex(client, index).members()} == before
    assert sorted(path.name for path in report.iterdir()) == REPORTED


def test_fresh_starts_from_the_seeds_alone(bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str) -> None:
    bootstrap(photos)
    (photos / "only").mkdir()
    (photos / "only" / "new.jpg").write_bytes(jpeg(99, 90))
    ran = bootstrap(photos / "only", "--fresh")
    assert "carried" not in ran.stdout
    assert uniques_of(client, index) == ["new.jpg"]


def test_another_descriptor_starts_anew_when_it_may_and_says_so(
    bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str
) -> None:
    bootstrap(photos)
    ran = bootstrap(photos, "--descriptor", "pixels:8", "--allow-dropping")
    assert (ran.returncode, "carried" in ran.stdout) == (0, False)
    lines = [line for line in ran.stderr.splitlines() if " WARNING " in line]
    assert sum("no member of generation 1 is carried over: they were described by dct" in line for line in lines) == 1
    assert RedisIndex(client, index).meta.descriptor == "pixels:8"


def test_if_missing_leaves_an_index_that_exists_alone(
    bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str
) -> None:
    assert bootstrap(photos, "--clusters", 3, "--if-missing").returncode == 0
    again = bootstrap(photos, "--clusters", 2, "--if-missing")
    assert (again.returncode, again.stdout) == (0, f"index {index} already exists: nothing done\n")
    assert (RedisIndex(client, index).meta.generation, RedisIndex(client, index).meta.clusters) == (1, 3)


def test_records_are_appended_once_however_often_they_are_sent(client: redis.Redis, index: str, photos: Path) -> None:
    snapshot = snapshot_of(photos)
    build = GenerationBuild(client, replace(snapshot.meta, name=index), snapshot.cells.centroids, SKETCHER)
    build.append(0, snapshot.members[:2])
    build._sizes[0] -= 2  # as when the reply to the first call was lost
    build.append(0, snapshot.members[:2])
    build.append(0, snapshot.members[2:3])
    build.publish()
    assert [member.key for member in RedisIndex(client, index)._members_of(0)] == [
        member.key for member in snapshot.members[:3]
    ]


def test_the_password_is_shown_nowhere(photos: Path) -> None:
    ran = subprocess.run(
        command(photos, "--redis", "redis://:hunter2@127.0.0.1:1/0"), capture_output=True, text=True, check=False
    )
    assert "hunter2" not in ran.stdout + ran.stderr


def test_import_makes_the_same_index(bootstrap: Bootstrap, photos: Path, client: redis.Redis, index: str) -> None:
    export = photos.parent / "index.json"
    bootstrap(photos, "--clusters", 3, "--export", export)
    before = {member.key: member.descriptor.tobytes() for member in RedisIndex(client, index).members()}
    ran = bootstrap("--import", export)
    assert ran.returncode == 0, ran.stderr
    after = RedisIndex(client, index)
    assert {member.key: member.descriptor.tobytes() for member in after.members()} == before
    assert (after.meta.generation, after.meta.radius) == (2, load_descriptor("dct").default_radius)
    bootstrap("--import", export, "--threshold", "0.1", "--fresh")
    assert RedisIndex(client, index).meta.radius == 0.1
    carrying = bootstrap("--import", export, "--threshold", "1.9", "--allow-dropping").stdout
    assert re.search(
        r"imported +1 member from .*\n.*\ncarried +1 member of the generation before; 11 left out", carrying
    )
    assert len(uniques_of(client, index)) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "no such file or folder: nowhere"),
        (["."], "SEEDS: no readable image found"),
        ([".", "--descriptor", "sift"], "unknown descriptor 'sift'"),
        ([".", "--index", "a b"], "index name 'a b'"),
        ([".", "--export", "no/such/folder/x.json"], "--export: cannot write into"),
        ([".", "--redis", "http://x"], "not a Redis URL: http://x"),
        (["--import", "nothing.json"], "--import: cannot read nothing.json"),
    ],
)
def test_what_is_misconfigured_is_one_line_and_exit_code_2(
    tmp_path: Path, redis_url: str, index: str, arguments: list[str], line: str
) -> None:
    (tmp_path / "text.txt").write_text("no image")
    ran = subprocess.run(
        command(*arguments),
        env=environment(redis_url, index),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [text for text in ran.stderr.splitlines() if " INFO " not in text]
    assert (ran.returncode, len(said), said[0][: len(line)]) == (2, 1, line)
    assert not ran.stdout


def test_an_unreachable_redis_is_told_before_the_work(photos: Path) -> None:
    ran = subprocess.run(
        command(photos, "--redis", "redis://127.0.0.1:1/0"), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert re.fullmatch(r"Redis does not answer: .*\n", ran.stderr)


def test_an_error_in_between_leaves_the_old_index_live(
    photos: Path, client: redis.Redis, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = snapshot_of(photos)
    store(snapshot, client, index)
    append = GenerationBuild.append

    def fails_on_the_second(build: GenerationBuild, cell: int, members: object) -> None:
        if cell == 1:
            raise KeyboardInterrupt
        append(build, cell, members)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(GenerationBuild, "append", fails_on_the_second)
        with pytest.raises(KeyboardInterrupt):
            store(snapshot, client, index)
    assert RedisIndex(client, index).meta.generation == 1
    assert generations_of(client, index) == {"g1"}
    assert len(uniques_of(client, index)) == 12


@pytest.mark.parametrize("error", [KeyboardInterrupt, RedisUnavailable])
def test_an_error_just_after_the_flip_does_not_remove_the_live_index(
    photos: Path, client: redis.Redis, index: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    snapshot = snapshot_of(photos)
    store(snapshot, client, index)

    def fails(_: GenerationBuild) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(GenerationBuild, "_remove_earlier", fails)
        with pytest.raises(error):
            store(snapshot, client, index)
    assert RedisIndex(client, index).meta.generation == 2
    assert len(uniques_of(client, index)) == 12
    store(snapshot, client, index)
    assert generations_of(client, index) == {"g3"}


def test_a_later_build_that_finished_first_wins(photos: Path, client: redis.Redis, index: str) -> None:
    snapshot = snapshot_of(photos)
    early = GenerationBuild(client, replace(snapshot.meta, name=index), snapshot.cells.centroids, SKETCHER)
    early.append(0, snapshot.members)
    assert store(snapshot, client, index).meta.generation == 2
    with pytest.raises(Misconfigured, match="another bootstrap"):
        early.publish()
    assert RedisIndex(client, index).meta.generation == 2
    assert generations_of(client, index) == {"g2"}


# Stops after the first cell of the new generation is written, until a signal comes.
_STALLED = """
import runpy, sys, time
from neardup.index.build import GenerationBuild
append = GenerationBuild.append
def append_and_stall(build, cell, members):
    append(build, cell, members)
    print("stalled", flush=True)
    time.sleep(600)
GenerationBuild.append = append_and_stall
runpy.run_module("bootstrap", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("number", "returncode", "left"),
    [
        (signal.SIGINT, 130, {"g1"}),
        (signal.SIGTERM, 143, {"g1"}),
        (signal.SIGKILL, -signal.SIGKILL, {"g1", "g2"}),
    ],
)
def test_a_signal_while_it_stores_leaves_the_old_index_live(  # noqa: PLR0917 - fixtures
    bootstrap: Bootstrap,
    photos: Path,
    client: redis.Redis,
    redis_url: str,
    index: str,
    number: signal.Signals,
    returncode: int,
    left: set[str],
) -> None:
    bootstrap(photos)
    stalled = [sys.executable, "-c", _STALLED, str(photos), "--clusters", "3"]
    with subprocess.Popen(
        stalled, env=environment(redis_url, index), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stalled\n"
        assert generations_of(client, index) == {"g1", "g2"}
        process.send_signal(number)
        _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == returncode, said
    assert "Traceback" not in said
    assert RedisIndex(client, index).meta.generation == 1
    assert len(uniques_of(client, index)) == 12
    assert generations_of(client, index) == left
    bootstrap(photos, "--keep-previous", "off")
    assert generations_of(client, index) == {"g3"}
    assert len(uniques_of(client, index)) == 12


def test_a_killed_first_build_leaves_no_index(photos: Path, client: redis.Redis, index: str) -> None:
    snapshot = snapshot_of(photos)
    build = GenerationBuild(client, replace(snapshot.meta, name=index), snapshot.cells.centroids, SKETCHER)
    build.append(0, snapshot.members)
    with pytest.raises(IndexMissing):
        RedisIndex(client, index)


def test_centroids_too_large_for_redis_are_refused(photos: Path, client: redis.Redis, index: str) -> None:
    class Huge:
        nbytes = 1 << 30

        def __len__(self) -> int:
            return 3

    snapshot = snapshot_of(photos)
    snapshot.cells.centroids = Huge()  # type: ignore[assignment]
    with pytest.raises(Misconfigured, match="fewer --clusters or a smaller --descriptor"):
        store(snapshot, client, index)
    assert not keys_of(client, index)
