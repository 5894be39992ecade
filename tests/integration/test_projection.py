"""A projection fit at bootstrap: kept with the generation, used by whoever describes, carried through files."""

import io
import json
import logging
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from bootstrap.generation.job import run
from bootstrap.live.inspection import neighbours
from bootstrap.live.reading import LiveGeneration
from bootstrap.live.verify import Verification
from bootstrap.settings import Settings
from consumer.__main__ import main
from neardup.errors import CorruptIndex, IndexMismatch, Misconfigured
from neardup.index.descriptor import descriptor_of
from neardup.index.redis import RedisIndex
from neardup.index.stored.keys import IndexKeys

pytestmark = pytest.mark.redis

SEEDS = 24
COMPONENTS = 6


@pytest.fixture
def index(client: redis.Redis) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for key in client.scan_iter(match=IndexKeys(name).pattern, count=1000):
        client.delete(key)


def write(folder: Path, numbers: range, quality: int = 95) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        coarse = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
        (folder / f"{number:02d}.jpg").write_bytes(buffer.getvalue())
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write(tmp_path / "photos", range(SEEDS))


@pytest.fixture
def settings(redis_url: str, index: str, photos: Path) -> Settings:
    return Settings(
        seeds=(str(photos),),
        redis_url=redis_url,
        index=index,
        descriptor="pixels:16",
        project=COMPONENTS,
        radius=0.3,
        workers=1,
    )


@pytest.fixture
def built(settings: Settings, client: redis.Redis) -> RedisIndex:
    run(settings)
    return RedisIndex(client, settings.index)


def changed(client: redis.Redis, index: str, stored: bytes | None) -> None:
    key = IndexKeys(index).pca(1)
    client.delete(key) if stored is None else client.set(key, stored)


class TestIndex:
    def test_members_are_short_and_the_projection_is_kept(self, built: RedisIndex) -> None:
        pca = built.pca()
        assert pca is not None
        assert (pca.components, pca.raw_dimension) == (COMPONENTS, 768)
        assert built.meta.dimension == COMPONENTS
        assert built.meta.pca == pca.fingerprint
        assert built.meta.fingerprint == f"pixels-1:16x16-bilinear+{pca.fingerprint}"
        assert {member.descriptor.shape for member in built.members()} == {(COMPONENTS,)}

    def test_without_one_there_is_none(self, settings: Settings, client: redis.Redis) -> None:
        run(replace(settings, project="off"))
        index = RedisIndex(client, settings.index)
        assert index.pca() is None
        assert index.meta.dimension == 768
        assert client.exists(IndexKeys(settings.index).pca(1)) == 0

    def test_all_that_is_stored_holds(self, built: RedisIndex, client: redis.Redis) -> None:
        document = Verification(client, built.meta.name).run()
        assert document["holds"], document

    def test_the_operator_describes_as_the_bootstrap_did(
        self, built: RedisIndex, client: redis.Redis, photos: Path
    ) -> None:
        found = neighbours(LiveGeneration(client, built.meta.name), str(photos / "03.jpg"), 1, None)
        assert found["neighbours"][0]["image_id"] == "03.jpg"
        assert found["neighbours"][0]["distance"] == 0.0

    @pytest.mark.parametrize("how", ["gone", "cut", "another"])
    def test_a_damaged_projection_is_told(self, built: RedisIndex, client: redis.Redis, how: str) -> None:
        pca = built.pca()
        assert pca is not None
        stored = {"gone": None, "cut": pca.to_bytes()[:-1], "another": replace(pca, offset=pca.offset + 1).to_bytes()}
        changed(client, built.meta.name, stored[how])
        with pytest.raises(CorruptIndex, match="principal components"):
            RedisIndex(client, built.meta.name)
        with pytest.raises(CorruptIndex, match="principal components"):
            LiveGeneration(client, built.meta.name)
        checks = {check["check"]: check for check in Verification(client, built.meta.name).run()["checks"]}
        assert checks["metadata"]["holds"] == "no"
        assert "principal components" in checks["metadata"]["examples"][0]


class TestConsumer:
    def test_it_describes_by_the_index(self, built: RedisIndex, redis_url: str, photos: Path, tmp_path: Path) -> None:
        copies = write(tmp_path / "copies", range(SEEDS // 2), quality=60)
        write(copies, range(100, 103))
        output = tmp_path / "verdicts.jsonl"
        flags = ["--redis", redis_url, "--index", built.meta.name, "--input", str(copies), "--output", str(output)]
        assert photos.is_dir()
        assert main(flags, {}) == 0
        verdicts = {line["image_id"]: line for line in map(json.loads, output.read_text("utf-8").splitlines())}
        assert [verdicts[f"{number:02d}.jpg"]["duplicate_of"] for number in range(12)] == [
            f"{number:02d}.jpg" for number in range(12)
        ]
        assert {verdict["descriptor"] for verdict in verdicts.values()} == {built.meta.fingerprint}
        assert {verdicts[f"{number}.jpg"]["verdict"] for number in range(100, 103)} == {"unique"}

    def test_another_descriptor_is_refused(self, built: RedisIndex) -> None:
        with pytest.raises(IndexMismatch, match="take descriptors of 768 numbers, dct gives "):
            descriptor_of(built, "dct")
        assert descriptor_of(built).fingerprint == built.meta.fingerprint


def carried(name: str, client: redis.Redis) -> int:
    return RedisIndex(client, name).meta.seed["carried"]


class TestNextGeneration:
    def test_the_same_settings_use_it_again_and_carry_members_over(
        self, settings: Settings, built: RedisIndex, client: redis.Redis, photos: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = built.pca()
        write(photos, range(SEEDS, SEEDS + 4))
        with caplog.at_level(logging.INFO):
            run(settings)
        after = RedisIndex(client, settings.index)
        assert "reusing the projection of the live generation" in caplog.text
        assert before is not None
        assert after.meta.pca == before.fingerprint
        assert carried(settings.index, client) == SEEDS
        assert after.stats().members == SEEDS + 4
        assert built.pca() is not None  # a process that has the earlier generation open follows

    @pytest.mark.parametrize("other", [{"project": 5}, {"whiten": True}, {"project": "off"}, {"fresh": True}])
    def test_other_settings_fit_anew_and_carry_nothing(
        self, settings: Settings, built: RedisIndex, client: redis.Redis, photos: Path, other: dict[str, object]
    ) -> None:
        (photos / "00.jpg").unlink()
        others = replace(settings, given=frozenset({"descriptor", "project", *other}), **other)  # type: ignore[arg-type] # fields of several types
        if "fresh" not in other:
            with pytest.raises(Misconfigured, match=f"{SEEDS} of its {SEEDS} members would be dropped: their projecti"):
                run(others)
        run(replace(others, allow_dropping=True))
        after = RedisIndex(client, settings.index)
        assert after.meta.fingerprint != built.meta.fingerprint
        assert carried(settings.index, client) == 0
        with pytest.raises(IndexMismatch):
            built.pca()

    def test_a_projection_that_is_damaged_is_fit_anew_when_that_is_said(
        self, settings: Settings, built: RedisIndex, client: redis.Redis
    ) -> None:
        changed(client, built.meta.name, b"x")
        with pytest.raises(CorruptIndex, match="bootstrap afresh"):
            run(settings)
        run(replace(settings, fresh=True))
        pca = RedisIndex(client, settings.index).pca()
        assert pca is not None
        assert pca.fingerprint == built.meta.pca  # the same seeds


class TestFiles:
    def test_a_file_brings_its_projection(
        self, settings: Settings, client: redis.Redis, index: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "index.json"
        run(replace(settings, export=file))
        before = RedisIndex(client, index)
        imported = replace(settings, seeds=(), project="off", import_from=file, radius=None)
        run(imported)
        after = RedisIndex(client, index)
        assert after.meta.generation == 2
        assert after.meta.fingerprint == before.meta.fingerprint
        assert carried(index, client) == SEEDS
        with pytest.raises(Misconfigured, match=r"index.json: its members were described by pixels:16 \(pixels-1"):
            run(replace(imported, descriptor="pixels:16", import_from=without_projection(file)))

    def test_a_projection_that_is_none_is_refused(self, settings: Settings, tmp_path: Path) -> None:
        file = tmp_path / "index.json"
        run(replace(settings, export=file))
        document = json.loads(file.read_text("utf-8"))
        imported = replace(settings, seeds=(), project="off", import_from=file)
        for pca in (["%"], [1], ["AAAA"], []):
            file.write_text(json.dumps({**document, "pca": pca}), "utf-8")
            with pytest.raises(Misconfigured, match=r'index\.json: "pca" is invalid: '):
                run(imported)


def without_projection(file: Path) -> Path:
    document = json.loads(file.read_text("utf-8"))
    del document["pca"]
    file.write_text(json.dumps(document), "utf-8")
    return file
