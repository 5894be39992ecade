"""The command line, without servers."""

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import consumer.loop
import consumer.service
from consumer.__main__ import main
from consumer.feeding.settings import FeedSettings
from consumer.folder.settings import FolderSettings
from consumer.settings import ServiceSettings
from neardup.errors import IndexMissing
from neardup.settings.options import options_of
from tests.support.drawings import dark_photo, pale_photo
from tests.support.forms import collage
from tests.support.processes import get, metrics, photo, run, running


@pytest.fixture(autouse=True)
def untouched_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.logs.configure_logging", lambda _level, **_worker: None)


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["consumer"], ServiceSettings),
        (["consumer", "--input", "x"], FolderSettings),
        (["consumer.feed"], FeedSettings),
    ],
)
def test_help_names_every_setting(arguments: list[str], settings: type[Any]) -> None:
    shown = run(["-m", *arguments, "--help-all"]).stdout
    for _, option in options_of(settings):
        assert option.flag in shown
        assert option.env in shown


def test_every_wrong_setting_is_a_line_and_the_code_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--batch-size", "many"], {"NEARDUP_METRICS_PORT": "-1"}) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("consumer: ") for line in lines)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (IndexMissing("there is no index 'x'"), 2, "consumer: there is no index 'x'\n"),
        (consumer.loop.ShutdownTimeout("redis is gone"), 1, "consumer: redis is gone\n"),
        (None, 0, ""),
    ],
)
def test_exit_codes(
    error: Exception | None,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def serve(_settings: ServiceSettings) -> None:
        if error:
            raise error

    monkeypatch.setattr(consumer.service, "serve", serve)
    assert main([], {}) == code
    assert capsys.readouterr().err == said


def test_a_bug_is_not_called_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def serve(_settings: ServiceSettings) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(consumer.service, "serve", serve)
    assert main([], {}) == 3
    said = capsys.readouterr().err
    assert said.startswith("consumer: unexpected error, ZeroDivisionError: division by zero; ")
    (logged,) = caplog.records
    assert logged.exc_info is not None


def test_a_port_in_use_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--metrics-port", str(port)], {}) == 2
    assert f"cannot serve metrics on 127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.parametrize("redis", ["no url", "redis://127.0.0.1:port", "http://127.0.0.1"])
def test_an_address_of_redis_that_is_none_ends_with_2(redis: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--metrics-port", "0", "--redis", redis], {}) == 2
    assert "not a Redis URL" in capsys.readouterr().err


def test_the_password_in_a_bad_address_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--metrics-port", "0", "--redis", "redis://user:hidden@127.0.0.1:port"], {}) == 2
    assert "hidden" not in capsys.readouterr().err


def test_without_redis_it_waits_alive_and_not_ready_until_told_to_stop() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else can take it
        url = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
        with running(["-m", "consumer", "--metrics-port", "0", "--redis", url]) as program:
            line = program.await_line("serving /metrics")
            base = json.loads(line)["message"].split()[-1]
            for _ in range(3):
                program.await_line("retrying in ")
            assert get(f"{base}/healthz")[0] == 200
            status, body = get(f"{base}/readyz")
            assert (status, json.loads(body)["detail"]) == (503, "redis is away")
            assert metrics(f"{base}/metrics")["neardup_ready", ()] == 0
            assert metrics(f"{base}/metrics")["neardup_redis_errors_total", ()] >= 3
            assert program.stop() == 0


# Folder mode: no servers at all.


def folder_of(path: Path) -> Path:
    path.mkdir()
    (path / "1.jpg").write_bytes(photo(1))
    (path / "2.jpg").write_bytes(photo(2))
    (path / "3.jpg").write_bytes(photo(1, quality=60))
    (path / "4.jpg").write_bytes(b"garbage")
    return path


@pytest.mark.slow
def test_a_folder_is_judged_without_servers(tmp_path: Path) -> None:
    images, output = folder_of(tmp_path / "images"), tmp_path / "verdicts.jsonl"
    ended = run(["-m", "consumer", "--input", str(images), "--output", str(output), "--index", "memory"])
    assert ended.returncode == 0, ended.stderr
    documents = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [Path(document["image_id"]).name for document in documents] == ["1.jpg", "2.jpg", "3.jpg"]
    assert [document["verdict"] for document in documents] == ["unique", "unique", "duplicate"]
    assert documents[2]["duplicate_of"] == documents[0]["image_id"]
    (letter,) = [json.loads(line) for line in (tmp_path / "verdicts.dead.jsonl").read_text("utf-8").splitlines()]
    assert letter["reason"] == "undecodable"
    assert Path(letter["image_id"]).name == "4.jpg"
    assert "2 unique, 1 duplicate; 1 dead letter" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "/no/such/folder"], "/no/such/folder"),
        (["--descriptor", "magic"], "magic"),
        (["--output", "/no/such/folder/verdicts.jsonl"], "--output"),
        (["--match-parts"], "--match-parts works only with --agreement"),
        (["--match-parts", "--agreement", "off"], "--match-parts works only with --agreement"),
    ],
)
def test_a_folder_that_cannot_be_judged_ends_with_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = folder_of(tmp_path / "images")
    usual = ["--input", str(images), "--output", str(tmp_path / "verdicts.jsonl"), "--index", "memory"]
    assert main([*usual, *arguments], {}) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_what_stood_in_the_output_stays_when_it_cannot_be_judged(tmp_path: Path) -> None:
    images, output = folder_of(tmp_path / "images"), tmp_path / "verdicts.jsonl"
    output.write_text("earlier", "utf-8")
    usual = ["--input", str(images), "--output", str(output), "--index", "memory"]
    assert main([*usual, "--descriptor", "magic"], {}) == 2
    assert output.read_text("utf-8") == "earlier"


@pytest.mark.parametrize(
    ("given", "environ", "duplicates"),
    [
        ([], {}, {"copy.png"}),
        (["--match-flips"], {}, {"copy.png", "mirrored.png"}),
        (["--profile", "scraper"], {}, {"beside.png", "changed.png", "copy.png", "mirrored.png", "turned.png"}),
        (
            ["--profile", "scraper", "--no-match-rotations"],
            {},
            {"beside.png", "changed.png", "copy.png", "mirrored.png"},
        ),
        (
            ["--profile", "scraper", "--no-match-flips", "--no-match-rotations"],
            {},
            {"beside.png", "changed.png", "copy.png"},
        ),
        (["--profile", "scraper", "--no-match-parts"], {}, {"changed.png", "copy.png", "mirrored.png", "turned.png"}),
        (["--profile", "scraper", "--agreement", "off"], {}, {"copy.png", "mirrored.png", "turned.png"}),
        (
            ["--profile", "scraper", "--descriptor", "dct", "--no-match-flips"],
            {},
            {"beside.png", "copy.png", "turned.png"},
        ),
        (["--match-rotations"], {}, {"copy.png", "turned.png"}),
        ([], {"NEARDUP_MATCH_FLIPS": "1", "NEARDUP_MATCH_ROTATIONS": "1"}, {"copy.png", "mirrored.png", "turned.png"}),
        (["--threshold", "2"], {}, {"b.png", "beside.png", "changed.png", "copy.png", "mirrored.png", "turned.png"}),
        (["--threshold", "2", "--local-change", "3"], {}, {"copy.png"}),
        (["--agreement", "0.3"], {}, {"copy.png"}),
        (["--agreement", "0.3", "--match-parts"], {}, {"beside.png", "copy.png"}),
        ([], {"NEARDUP_AGREEMENT": "0.3", "NEARDUP_MATCH_PARTS": "1"}, {"beside.png", "copy.png"}),
    ],
)
def test_a_folder_has_the_switches_of_an_index(
    tmp_path: Path, given: list[str], environ: dict[str, str], duplicates: set[str]
) -> None:
    images, output = tmp_path / "images", tmp_path / "verdicts.jsonl"
    images.mkdir()
    coarse = np.random.default_rng(3).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)
    changed = image.copy()
    changed.paste((0, 0, 0), (30, 30, 62, 62))
    for name, each in {
        "a.png": image,
        "b.png": Image.fromarray(dark_photo(1)),
        "beside.png": Image.fromarray(collage(pale_photo(2), dark_photo(1))),
        "changed.png": changed,
        "copy.png": image,
        "mirrored.png": image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "turned.png": image.transpose(Image.Transpose.ROTATE_90),
    }.items():
        each.save(images / name)
    usual = ["--input", str(images), "--output", str(output), "--index", "memory", "--decode-timeout", "off"]
    assert main([*usual, *given], environ) == 0
    documents = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    found = {Path(each["image_id"]).name for each in documents if each["verdict"] == "duplicate"}
    assert found == duplicates


def test_a_profile_is_for_the_index_in_memory() -> None:
    implied = FolderSettings.implied
    assert implied({"profile": "camera", "index": "default"}) == {}
    assert implied({"profile": "camera"})["local_change"] == 2.5
    assert implied({"profile": "camera", "index": "memory"})["local_change"] == 2.5
    assert implied({"profile": "dataset", "index": "memory"}) == {"descriptor": "dct"}


@pytest.mark.parametrize(
    ("given", "environ", "index"),
    [([], {}, "default"), (["--index=own"], {}, "own"), ([], {"NEARDUP_INDEX": "cams"}, "cams")],
)
def test_the_module_judges_a_folder_by_the_index_that_it_always_did(
    given: list[str], environ: dict[str, str], index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[FolderSettings] = []

    def judge(settings: FolderSettings) -> int:
        judged.append(settings)
        return 0

    monkeypatch.setattr("consumer.running.judge", judge)
    assert main(["--input", "photos", *given], environ) == 0
    assert [settings.index for settings in judged] == [index]
