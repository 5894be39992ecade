"""From a listing to verdicts: a backfill and the real consumer, on a real Kafka, a real Redis and a real bucket."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import s3fs

from tests.support.feeding import tar_of
from tests.support.processes import eventually, photo, run
from tests.support.stage import Stage, bootstrap, fresh, seed_folder
from tests.support.stores import point_at_s3, s3_store

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]


@pytest.fixture
def stage(kafka_address: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    index = f"backfill-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path / "seeds"), redis_url, index)
    stage = Stage(kafka_address, redis_url, index, 1)
    with closing(stage.stack):
        yield stage


def test_images_of_archives_get_verdicts_by_their_names(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (photo(fresh()) for _ in range(3))
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "1 ä.jpg").write_bytes(first)
    members = {"00.jpg": first, "00.json": b"{}", "01.jpg": second, "broken.jpg": b"no picture"}
    (archive / "shard-0.tar").write_bytes(tar_of(members))
    with s3_store() as url:
        point_at_s3(url, monkeypatch)
        files = s3fs.S3FileSystem(skip_instance_cache=True)
        files.mkdir("archive")
        files.pipe_file("archive/a/3.jpg", third)
        files.pipe_file("archive/shard-1.tar", tar_of({"02.jpg": second, "03.jpg": third}))
        named = [str(archive), str(archive / "shard-0.tar"), "s3://archive/a/", "s3://archive/shard-1.tar"]
        settings = ["--bootstrap-servers", stage.address, "--topic", stage.images, "--state", str(tmp_path / "state")]
        answer = run(["-m", "neardup", "backfill", *named, *settings])
        assert answer.returncode == 0, answer.stderr
        with stage.service("--allow-uri", f"file://{archive}/", "--allow-uri", "s3://archive/") as service:
            eventually(lambda: stage.verdict_reader.read() + stage.dead_reader.read() >= 7, "7 outcomes")
            assert service.program.stop() == 0
    told = {document["image_id"]: document for document in stage.documents().values()}
    assert {name: document["verdict"] for name, document in told.items()} == {
        "1 ä.jpg": "unique",
        "shard-0.tar/00.jpg": "duplicate",
        "shard-0.tar/01.jpg": "unique",
        "s3://archive/a/3.jpg": "unique",
        "shard-1.tar/02.jpg": "duplicate",
        "shard-1.tar/03.jpg": "duplicate",
    }
    assert told["shard-0.tar/00.jpg"]["duplicate_of"] == "1 ä.jpg"
    assert told["shard-1.tar/02.jpg"]["duplicate_of"] == "shard-0.tar/01.jpg"
    assert told["shard-1.tar/02.jpg"]["uri"].startswith("s3://archive/shard-1.tar#bytes=512-")
    [letter] = stage.dead_reader.records
    assert dict(letter.headers)["error.reason"] == b"undecodable"
