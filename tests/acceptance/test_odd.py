"""Odd and hostile input through the real consumer: each message gets what it should, and the process lives."""

import json
import os
import re
import secrets
import signal
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaProducer
from PIL import Image

import bootstrap.__main__
from neardup.decoding.formats import has_heif
from neardup.index.stored.keys import IndexKeys
from tests.support.odd_files import OddFile, encoded, odd_files, scene
from tests.support.processes import eventually, photo, run
from tests.support.stage import Service, Stage, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve() / "odd"
MEBIBYTE = 1024 * 1024
MOST_MEMORY_BYTES = 512 * MEBIBYTE
"""The stated limit, for the service and for each of its processes; the largest image here has 20 megapixels."""

# By the README of that folder: what does not load is refused, and why; our own policy where it is stricter.
REFUSED = {
    "made/badcrc.png": "undecodable",
    "made/header_only.jpg": "truncated",
    "made/truncated.png": "truncated",
    "made/truncated_95.jpg": "truncated",
    "made/truncated_half.jpg": "truncated",
    "real/pil_broken.png": "undecodable",
    "real/pil_broken_data_stream.png": "undecodable",
    "real/pil_crash-0c7e0e8e11ce787078f00b5b0ca409a167f070e0.tif": "undecodable",
    "real/pil_decompression_bomb.gif": "too-many-pixels",
    "real/truncated_33_bytes.jpg": "truncated",
    "real/ukbench09268_corrupt.jpg": "undecodable",
    "real/unidentified_beach.jpg": "undecodable",
    "synthetic/bomb_header_60000x60000.png": "too-many-pixels",
    "synthetic/bomb_header_65500.jpg": "too-many-pixels",
    "synthetic/bomb_real_20000x20000_1bit.png": "too-many-pixels",
    "synthetic/html.png": "undecodable",
    "synthetic/text.jpg": "undecodable",
    "synthetic/zero_byte.jpg": "empty",
    # Not on the list of formats: the README loads one, and calls the other a bomb.
    "real/pil_hopper.ico": "unsupported-format",
    "real/pil_hopper.psd": "unsupported-format",
    "real/pil_decompression_bomb.ico": "unsupported-format",
}
LOADS_AND_IS_REFUSED = {"real/pil_hopper.ico", "real/pil_hopper.psd"}
HEIF_FILES = {"made/heic.heic", "real/example.heic", "real/heic_alpha.heic", "real/iphone.HEIC", "real/nokia.heif"}

# Files of one picture, by the README: one of them is unique, and the others are its duplicates.
FAMILIES = [
    {"made/UPPER.JPG", "made/exact_copy_of_UPPER.jpeg", "made/jpeg_named.png", "made/no_extension"}
    | {"made/png_named.jpg", "made/trailing_garbage.jpg", "made/weird names/-dash.jpg"}
    | {"made/weird names/.hidden.jpg", "made/weird names/фото 猫 #1 'q\".jpg"},
    {"made/orientation6.jpg", "made/orientation6_upright_twin.jpg"},
    {"real/exif_orientation_3.jpg", "real/exif_orientation_6.jpg", "real/exif_orientation_8.jpg"},
    {"real/pil_hopper_16bit_qtables.jpg", "real/pil_hopper_orientation_6.webp"},
    {"made/baseline_twin.jpg", "made/progressive.jpg", "made/q1.jpg", "made/rgb444.jpg"},
    {"made/avif.avif", "made/heic.heic", "made/lossless.webp", "made/lossy.webp"},
    {"made/rgb_lzw.tiff", "made/multipage.tiff", "made/rgb.bmp", "made/photo.ppm", "made/photo.jp2"}
    | {"made/gray.jpg", "made/float32.tiff"},
    {"real/webp_photo.webp", "real/cmyk_photo.jpg", "real/palette.png", "real/gray_alpha.png", "real/bilevel.png"},
    {"made/animated.gif", "made/animated.webp"},
]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed_folder(tmp_path_factory.mktemp("odd") / "seeds")


@pytest.fixture
def stage(kafka_address: str, redis_url: str, seeds: Path) -> Iterator[Stage]:
    index = f"odd-{secrets.token_hex(4)}"
    # In this process: starting another takes longer than the job.
    more = ["--redis", redis_url, "--index", index, "--threshold", "0.36", "--decode-timeout", "off"]
    assert bootstrap.__main__.main([str(seeds), *more], {}) == 0
    stage = Stage(kafka_address, redis_url, index, partitions=1)
    with stage.stack:
        yield stage


def publish(stage: Stage, files: Sequence[OddFile]) -> dict[str, str]:
    """Publish files by their names; return the name of each by its message's coordinates."""
    with KafkaProducer(bootstrap_servers=stage.address, max_request_size=32 * MEBIBYTE) as producer:
        for offset, file in enumerate(files):
            producer.send(stage.images, file.data, headers=[("image_id", file.name.encode())], partition=0)
            stage.published[0] = offset + 1
    return {f"{stage.images}-0-{offset}": file.name for offset, file in enumerate(files)}


def processes_of(service: Service) -> list[int]:
    """Return the service's process, and those it started."""
    parent = service.program.process.pid
    found = [parent]
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(status.parent.name))
    return sorted(found)


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return 1024 * int(found[1])


def letters_of(stage: Stage) -> dict[str, dict[str, str]]:
    """Return the headers of ours of each dead letter, by the coordinates of its message."""
    letters = {}
    for letter in stage.dead_reader.read_to_end():
        ours = {name: value.decode() for name, value in letter.headers if name.startswith("error.")}
        letters[ours["error.source"]] = ours
    return letters


def judge(stage: Stage, files: Sequence[OddFile]) -> dict[str, dict[str, Any]]:
    """Let a consumer judge files; check reasons and memory, and return the verdicts by name."""
    names = publish(stage, files)
    with stage.service() as service:
        eventually(service.is_ready, "a consumer that is ready")
        started = processes_of(service)
        stage.await_outcomes()
        assert processes_of(service) == started, "a process was replaced"
        assert len(started) == 3
        peaks = {pid: peak_bytes(pid) for pid in started}
        assert max(peaks.values()) < MOST_MEMORY_BYTES, peaks
        assert service.program.stop() == 0
    assert not service.program.complaints()
    reasons = {names[place]: letter["error.reason"] for place, letter in letters_of(stage).items()}
    assert reasons == {file.name: file.reason for file in files if file.reason}
    documents = {names[place]: document for place, document in stage.documents().items()}
    assert documents.keys() == {file.name for file in files if not file.reason}
    return documents


def originals(documents: dict[str, dict[str, Any]], family: set[str]) -> set[str]:
    """Return which images the members of a family are, or duplicate."""
    return {documents[name]["duplicate_of"] or name for name in family}


def test_odd_files_made_here(stage: Stage) -> None:
    files = odd_files()
    documents = judge(stage, files)
    for picture in {file.picture for file in files} - {""}:
        family = {file.name for file in files if file.picture == picture}
        assert len(originals(documents, family)) == 1, picture
    alone = {file.name for file in files if not (file.reason or file.picture)}
    assert {documents[name]["verdict"] for name in alone} == {"unique"}


def rows_of_the_readme() -> dict[str, str]:
    """Return what loading each file said when the folder was made."""
    rows = {}
    for line in (FOLDER / "README.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 6 and re.match(r"(real|made|synthetic)/", cells[0]):
            rows[cells[0]] = cells[4]
    return rows


@pytest.mark.data
def test_odd_files_of_the_real_world(stage: Stage) -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"no {FOLDER}: NEARDUP_DATA names the folder with the photos")
    paths = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.name != "README.md")
    rows = rows_of_the_readme()
    assert {str(path.relative_to(FOLDER)) for path in paths} == rows.keys()
    assert {name for name, loaded in rows.items() if loaded != "ok"} | LOADS_AND_IS_REFUSED == REFUSED.keys()
    refused = REFUSED if has_heif() else REFUSED | dict.fromkeys(HEIF_FILES, "unsupported-format")
    names = [str(path.relative_to(FOLDER)) for path in paths]
    documents = judge(stage, [OddFile(name, (FOLDER / name).read_bytes(), refused.get(name)) for name in names])
    for family in FAMILIES:
        assert len(originals(documents, family - refused.keys())) == 1, family


# What takes too long, and what the operator asks for.


def many_scans(scans: int) -> bytes:
    """Return a small JPEG of nine megapixels, one of whose scans comes again and again: slow to decode."""
    data = encoded(Image.new("L", (3000, 3000), 77), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    starts = [first]
    while (following := data.find(b"\xff\xda", starts[-1] + 2)) > 0:
        starts.append(following)
    last = data[starts[-1] : -2]
    return data[:-2] + last * scans + data[-2:]


def test_a_file_that_takes_too_long_holds_up_nobody(stage: Stage) -> None:
    slow = many_scans(10_000)
    assert len(slow) < MEBIBYTE
    cut, icon = encoded(scene(20), "JPEG"), encoded(scene(21, (32, 32)), "ICO", sizes=[(32, 32)])
    gif = encoded(scene(22), "GIF")
    values = [photo(fresh()), slow, photo(fresh()), cut[: len(cut) * 3 // 4], icon, gif, photo(fresh())]
    for value in values:
        stage.publish(value)
    stage.flush()
    more = ["--decode-timeout", "6", "--truncated", "accept", "--formats", "+ico,-gif"]
    with stage.service(*more) as service:
        eventually(service.is_ready, "a consumer that is ready")
        stage.await_outcomes()
        reasons = {place: letter["error.reason"] for place, letter in letters_of(stage).items()}
        assert reasons == {f"{stage.images}-0-1": "decode-timeout", f"{stage.images}-0-5": "unsupported-format"}
        # What an operator or the kernel ends is started anew, and no image pays for it.
        for pid in set(processes_of(service)) - {service.program.process.pid}:
            os.kill(pid, signal.SIGKILL)

        def started_anew() -> bool:
            """Publish more: a process is started when it gets its next image, and one may have taken all so far."""
            again = [stage.publish(photo(fresh())) for _ in range(4)]
            stage.flush()
            stage.await_outcomes()
            assert stage.documents().keys() >= set(again)
            return len(processes_of(service)) == 3

        eventually(started_anew, "both decoding processes")
        assert service.program.stop() == 0


def test_a_seed_that_takes_too_long_is_listed(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.jpg").write_bytes(photo(1))
    (tmp_path / "slow.jpg").write_bytes(many_scans(10_000))
    (tmp_path / "cut.jpg").write_bytes(photo(2)[:-600])
    index = f"odd-{secrets.token_hex(4)}"
    more = ["--index", index, "--threshold", "0.36", "--decode-timeout", "4", "--truncated", "accept"]
    assert bootstrap.__main__.main([str(tmp_path), "--redis", redis_url, *more], {}) == 0
    said = capsys.readouterr().out
    assert re.search(r"images +2\n", said), said
    assert "slow.jpg: decode-timeout, decoding took longer than 4 s" in said
    assert "truncated" not in said


def test_folder_mode_decodes_alike(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo(1))
    (folder / "b-slow.jpg").write_bytes(many_scans(10_000))
    (folder / "c-cut.jpg").write_bytes(photo(2)[:-600])
    (folder / "d.gif").write_bytes(encoded(scene(3), "GIF"))
    output = tmp_path / "out.jsonl"
    more = ["--decode-timeout", "4", "--truncated", "accept", "--formats=-gif"]
    ended = run(["-m", "consumer", "--input", str(folder), "--output", str(output), "--index", "memory", *more])
    assert ended.returncode == 0, ended.stderr
    assert [json.loads(line)["image_id"] for line in output.read_text().splitlines()] == ["a.jpg", "c-cut.jpg"]
    dead = [json.loads(line) for line in (tmp_path / "out.dead.jsonl").read_text().splitlines()]
    assert {line["image_id"]: line["reason"] for line in dead} == {
        "b-slow.jpg": "decode-timeout",
        "d.gif": "unsupported-format",
    }


# Headers and keys.

INJECTION = '\n{"time": "now", "level": "error", "message": "owned"}\r\n'
HOSTILE_IDS = {
    b"": "bad-image-id",
    b"\xff\xfe\x00bad": "bad-image-id",
    b"two\nlines": "bad-image-id",
    INJECTION.encode(): "bad-image-id",
    b"\x1b[31mred\x1b[0m": "bad-image-id",
    b"nul\x00": "bad-image-id",
    "\u2028separator".encode(): "bad-image-id",
    b"x" * 65_536: "bad-image-id",
    b"x" * 1025: "bad-image-id",
    b"x" * 1024: None,
    b"../../etc/passwd": None,
    IndexKeys("other").live.encode(): None,
    b"{odd}:*?[a]\\ \"quoted\" 'single' `tick` $(id) %s {}": None,
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe \N{GRINNING FACE} \N{COMBINING ACUTE ACCENT}".encode(): None,
}


def test_hostile_headers_and_keys(stage: Stage) -> None:
    reasons: dict[str, str | None] = {}
    ids: dict[str, str] = {}
    for image_id, reason in HOSTILE_IDS.items():
        place = stage.publish(photo(fresh()), headers=[("image_id", image_id)], key=image_id or None)
        reasons[place] = reason
        if reason is None:
            ids[place] = image_id.decode()
    more = [("image_id", b"first"), ("image_id", b"second"), *(("source", b"x" * 1000) for _ in range(200))]
    ids[stage.publish(photo(fresh()), headers=more, key=b"\xff" * 65_536)] = "second"
    odd_names = [("", b"empty name"), ("a\nb", b""), ("ключ" * 100, b"\x00"), ("error.reason", b"mine")]
    ids[(place := stage.publish(photo(fresh()), headers=[*odd_names, ("image_id", b"odd-names")]))] = "odd-names"
    forged = stage.publish(b"garbage " + INJECTION.encode(), headers=[("error.reason", b"forged"), *odd_names])
    reasons[forged] = "undecodable"
    reasons[stage.publish(photo(fresh()), headers=[("captured_at", b"\xff" * 65_536)])] = "bad-captured-at"
    json_type = [("content-type", b"application/json")]
    hostile = {"uri": "file:///etc/passwd" + INJECTION, "image_id": "a"}
    reasons[stage.publish(json.dumps(hostile).encode(), headers=json_type)] = "uri-not-allowed"
    reasons[stage.publish(b'{"uri": "x", "image_id": "\\ud800"}', headers=json_type)] = "bad-image-id"
    # The same id with other content is another image; the same content under another id is a duplicate.
    one, other = fresh(), fresh()
    first = stage.publish(photo(one), headers=[("image_id", b"again")])
    second = stage.publish(photo(other), headers=[("image_id", b"again")])
    third = stage.publish(photo(one, quality=60), headers=[("image_id", b"again")])
    ids |= dict.fromkeys((first, second, third), "again")
    stage.flush()
    client = redis.Redis.from_url(stage.redis_url)
    before = set(client.scan_iter())
    with stage.service() as service:
        stage.await_outcomes()
        letters = letters_of(stage)
        expected = {place: reason for place, reason in reasons.items() if reason}
        assert {place: letter["error.reason"] for place, letter in letters.items()} == expected
        for letter in letters.values():
            assert re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,500}", letter["error.detail"])
        documents = stage.documents()
        assert {place: document["image_id"] for place, document in documents.items()} == ids
        assert [documents[place]["verdict"] for place in (first, second, third)] == ["unique", "unique", "duplicate"]
        assert documents[third]["duplicate_of"] == "again"
        assert service.program.stop() == 0
    check_log(service, len(ids), len(expected))
    # Every key is one of this index's own, and made of coordinates.
    ours = IndexKeys(stage.index).live.removesuffix("live").encode()
    with client:
        keys = {key for key in set(client.scan_iter()) - before if key.startswith(ours) or b"odd" in key}
    assert len([key for key in keys if key.startswith(ours + b"decided:")]) == len(ids)
    for key in keys:
        assert key.startswith(ours)
        assert re.fullmatch(rb"[A-Za-z0-9:{}._-]+", key), key


def check_log(service: Service, verdicts: int, letters: int) -> None:
    """Every line is ours: JSON, one a message, and none that an image id wrote."""
    lines = service.program.log()
    told = [line["message"] for line in lines]
    assert (told.count("verdict"), told.count("dead letter")) == (verdicts, letters)
    assert "owned" not in told
    assert not service.program.complaints()
    for line in service.program.lines:
        assert re.fullmatch(r"[ -~]+\n", line), "raw control characters"


def test_the_slow_file_is_what_it_says() -> None:
    # The test above means nothing if the file were refused for its size.
    data = many_scans(3)
    height, width = struct.unpack_from(">HH", data, data.index(b"\xff\xc2") + 5)
    assert (height, width) == (3000, 3000)
