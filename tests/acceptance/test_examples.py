"""What stands in examples/ runs as its first lines say, on a real Kafka with the real service in between."""

import http.server
import json
import re
import runpy
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

import consumer.__main__
from neardup.decoding.decode import decode
from tests.support.cameras import HttpCamera, scene
from tests.support.processes import Program, eventually, photo, read_topic, run, running
from tests.support.serving import seed_index, served
from tests.support.stage import Stage, bootstrap, fresh, seed_folder
from tests.support.transports import KafkaRig

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))


# Words


def test_the_list_of_examples_is_complete() -> None:
    listed = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert [path.name for path in EXAMPLES if f"]({path.name})" not in listed] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert 20 <= len(lines) <= 80
    assert any(line.startswith(f"    python examples/{path.name} ") for line in lines[:8])


# Through Kafka


@pytest.fixture
def stage(kafka_address: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    index = f"examples-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path / "seeds"), redis_url, index)
    stage = Stage(kafka_address, redis_url, index, 1, has_unique_topic=True)
    with stage.stack:
        yield stage


def environ_of(stage: Stage) -> dict[str, str]:
    names = {"NEARDUP_TOPIC": stage.images, "NEARDUP_VERDICTS": stage.verdicts}
    names |= {"NEARDUP_UNIQUE_TOPIC": stage.uniques} if stage.uniques else {}
    return {"NEARDUP_BOOTSTRAP_SERVERS": stage.address, **names}


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve a folder, as a site that somebody scrapes."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def labelling(stage: Stage, queue: Path) -> Iterator[Program]:
    with running(["examples/labelling_queue.py", str(queue)], environ_of(stage)) as program:
        yield program


def queued(queue: Path) -> list[str]:
    lines = queue.read_text("utf-8").splitlines() if queue.exists() else []
    return [json.loads(line)["image_id"].rpartition("/")[2] for line in lines]


def scraped(stage: Stage, folder: Path, *names: str, refused: int = 0) -> str:
    """Publish files of a folder by the example, through HTTP; return what it complained of."""
    with site(folder) as address:
        urls = [f"{address}/{name}" for name in names]
        ended = run(["examples/publish_from_scraper.py", *urls], environ_of(stage))
        assert ended.returncode == 0, ended.stderr
        assert "missing.jpg: HTTP Error 404" in ended.stderr
        assert f"{len(names) - 1 - refused} pictures published to {stage.images}" in ended.stdout
        return ended.stderr


@pytest.mark.kafka
@pytest.mark.redis
def test_from_a_scraper_to_the_labelling_queue(stage: Stage, tmp_path: Path) -> None:
    one, other = fresh(), fresh()
    pages, queue = tmp_path / "pages", tmp_path / "to-label.jsonl"
    pages.mkdir()
    contents = {"1.jpg": photo(one), "2.jpg": photo(one, quality=60), "3.jpg": photo(other), "4.jpg": b"<html>"}
    for name, data in contents.items():
        (pages / name).write_bytes(data)
    scraped(stage, pages, *contents, "missing.jpg")
    with stage.service() as service, labelling(stage, queue) as first:
        eventually(lambda: queued(queue) == ["1.jpg", "3.jpg"], "two pictures to label")
        assert len(stage.dead_reader.read_to_end()) == 1
        keys = {record.key.partition(b":")[0] for record in stage.verdict_reader.read_to_end()}
        assert keys == {b"127.0.0.1"}
        assert first.stop(signal.SIGINT) == 0
        # As if it had been killed before its first commit: all verdicts come again.
        assert stage.admin.delete_groups(["labelling"]) == {"labelling": "OK"}
        with labelling(stage, queue) as second:
            scraped(stage, pages, "2.jpg", "missing.jpg")
            (pages / "5.jpg").write_bytes(photo(fresh()))
            scraped(stage, pages, "5.jpg", "missing.jpg")
            eventually(lambda: queued(queue) == ["1.jpg", "3.jpg", "5.jpg"], "the third picture to label")
            assert second.stop(signal.SIGINT) == 0
        assert service.program.stop() == 0


@pytest.mark.kafka
@pytest.mark.redis
def test_a_scraper_goes_on_after_a_picture_that_kafka_refuses(stage: Stage, tmp_path: Path) -> None:
    limit = ConfigResource(ConfigResourceType.TOPIC, stage.images, {"max.message.bytes": "50000"})
    stage.admin.alter_configs([limit])
    for name, data in {"1.jpg": photo(fresh()), "2.jpg": bytes(60_000), "3.jpg": photo(fresh())}.items():
        (tmp_path / name).write_bytes(data)
    said = scraped(stage, tmp_path, "1.jpg", "2.jpg", "3.jpg", "missing.jpg", refused=1)
    assert "2.jpg: 60000 bytes, refused: " in said
    assert "MessageSizeTooLargeError" in said
    published = [dict(record.headers)["image_id"] for record in read_topic(stage.address, stage.images)]
    assert [name.rpartition(b"/")[2] for name in published] == [b"1.jpg", b"3.jpg"]


@pytest.mark.kafka
@pytest.mark.redis
def test_a_labelling_worker_lays_out_unique_pictures(stage: Stage, tmp_path: Path) -> None:
    new, folder, claimed = fresh(), tmp_path / "to-label", tmp_path / "claimed.jpg"
    claimed.write_bytes(photo(fresh()))
    one = stage.publish(photo(new), headers=[("image_id", b"../one")])
    stage.publish(photo(new, quality=60))
    stage.publish(b"no image")
    envelope = json.dumps({"uri": claimed.as_uri()}).encode()
    two = stage.publish(envelope, headers=[("content-type", b"application/json")])
    stage.flush()
    with stage.service("--allow-uri", f"{tmp_path.as_uri()}/") as service:
        stage.await_outcomes()
        assert service.program.stop() == 0
    wanted = {one, f"{one}.json", f"{two}.json"}
    folder.mkdir()
    for _ in range(2):
        # As if it had been killed before its first commit: all come again.
        for path in folder.iterdir():
            path.unlink()
        with running(["examples/labelling_worker.py", str(folder)], environ_of(stage)) as worker:
            eventually(lambda: {path.name for path in folder.iterdir()} == wanted, "two pictures to label")
            assert worker.stop(signal.SIGINT) == 0
        assert stage.admin.delete_groups(["labelling-worker"]) == {"labelling-worker": "OK"}
    assert (folder / one).read_bytes() == stage.values[one]
    told = json.loads((folder / f"{one}.json").read_text("utf-8"))
    assert (told["image_id"], told["source"], told["index"]) == ("../one", one, stage.index)
    assert json.loads((folder / f"{two}.json").read_text("utf-8"))["uri"] == claimed.as_uri()


# Over HTTP


@pytest.mark.redis
@pytest.mark.slow
def test_pictures_are_looked_up_and_judged(redis_url: str, tmp_path: Path) -> None:
    index, names = f"examples-{secrets.token_hex(4)}", ["one.jpg", "copy.jpg", "<b>'.jpg", "none.jpg"]
    seed_index(redis_url, index)
    one, other = fresh(), fresh()
    contents = [photo(one), photo(one, quality=60), photo(other), b"no picture"]
    files = [str(tmp_path / name) for name in names]
    for file, data in zip(files, contents, strict=True):
        Path(file).write_bytes(data)
    with served(redis_url, index, environ={}) as service:

        def told(*arguments: str) -> list[str]:
            ended = run(["examples/look_up.py", *arguments], {"NEARDUP_URL": service.client.url})
            assert ended.returncode == 0, ended.stderr
            return ended.stdout.splitlines()

        assert [line.partition(";")[0] for line in told(*files[:2])] == [f"{file!a}: unique" for file in files[:2]]
        judged = [f"{files[0]!a}: unique", f"{files[1]!a}: duplicate of {files[0]!a}", f"{files[2]!a}: unique"]
        for _ in range(2):  # the same again, as after a lost answer
            assert told("--judge", *files)[:3] == judged
        assert told(files[3]) == [f"{files[3]!a}: \"no decoder recognises data that begins with b'no picture'\""]
        assert "distance 0.000 is within the radius" in told(files[2])[0]


# Without servers


def run_here(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    """Run an example in this process, where a library that takes long to import may be loaded already."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "later").mkdir(parents=True)
    for name, data in {"1.jpg": photo(1), "2.jpg": photo(2), "later/3.jpg": photo(1, quality=60)}.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.slow
def test_the_duplicates_of_a_folder_are_moved_aside(pictures: Path, tmp_path: Path) -> None:
    told = run(["examples/deduplicate_folder.py", str(pictures)])
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[0] == "1.jpg stays"
    assert told.stdout.splitlines()[1].startswith("  later/3.jpg repeats it, distance 0.")
    aside = tmp_path / "repeats"
    moved = run(["examples/deduplicate_folder.py", str(pictures), str(aside)])
    assert moved.stdout == told.stdout
    assert sorted(path.name for path in pictures.rglob("*.jpg")) == ["1.jpg", "2.jpg"]
    assert (aside / "later" / "3.jpg").is_file()


@pytest.mark.slow
def test_an_export_as_a_data_frame(pictures: Path, tmp_path: Path) -> None:
    (pictures / "later" / "large.jpg").write_bytes(photo(1, size=(640, 480)))
    verdicts, exported, best = (tmp_path / name for name in ("verdicts.jsonl", "verdicts.parquet", "to-label.csv"))
    assert run(["-m", "neardup", "folder", str(pictures), "--output", str(verdicts)]).returncode == 0
    form = ["--format", "parquet", "--which", "all", "--output", str(exported)]
    ended = run(["-m", "neardup", "export", str(verdicts), *form])
    assert ended.returncode == 0, ended.stderr
    told = run(["examples/exported_groups.py", str(exported), str(best)])
    assert told.stdout.splitlines() == ["4 pictures, 50% repeat another, 1 groups", "  1.jpg: 3 pictures"], told.stderr
    rows = best.read_text("utf-8").splitlines()
    assert [row.partition(",")[0] for row in rows] == ["image_id", "2.jpg", "later/large.jpg"]


@pytest.mark.tensorflow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow")
def test_a_descriptor_of_ones_own(monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path) -> None:
    model, output = tmp_path / "own.keras", tmp_path / "verdicts.jsonl"
    run_here(monkeypatch, "own_descriptor.py", str(model))
    folder_mode = ["--input", str(pictures), "--output", str(output), "--index", "memory"]
    own = ["--descriptor", f"file:{model}", "--threshold", "0.3"]
    assert consumer.__main__.main([*folder_mode, *own], {}) == 0
    verdicts: list[dict[str, Any]] = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [verdict["duplicate_of"] for verdict in verdicts] == [None, None, "1.jpg"]
    assert all(verdict["descriptor"].startswith("file-1:keras-") for verdict in verdicts)


# Cameras


def pictures_of(kafka: KafkaRig) -> dict[bytes, bytes]:
    return {record.key: record.value for record in read_topic(kafka.address, kafka.output)}


@pytest.mark.kafka
def test_the_example_of_cameras_is_watched_once_it_names_cameras_that_are_there(
    kafka: KafkaRig, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="extra cameras is not installed")
    example = (ROOT / "examples" / "cameras.toml").read_text("utf-8")
    numbers = count()
    with HttpCamera(lambda: scene(next(numbers) % 50, size=(640, 480))) as camera:
        config = tmp_path / "cameras.toml"
        config.write_text(re.sub(r'(?<=^url = )"[^"]*"', f'"{camera.url()}"', example, flags=re.MULTILINE))
        arguments = ["--cameras", str(config), "--bootstrap-servers", kafka.address, "--topic", kafka.output]
        with running(["-m", "consumer.feed", *arguments]) as feed:
            eventually(
                lambda: {each.key for each in read_topic(kafka.address, kafka.output)} >= {b"door", b"yard"}, "both"
            )
            assert feed.stop(signal.SIGTERM) == 0
    door, yard = (decode(pictures_of(kafka)[name]) for name in (b"door", b"yard"))
    assert abs(door[:24, :256].astype(int) - 128).max() <= 2
    assert yard[:24, :256].std() > 10
