"""Archives, standard input and lists of paths as users hand them to the feed; its messages go to memory."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from consumer.feed import EXIT_LEFT_OUT
from neardup.decoding.decode import decode
from neardup.wording import counted
from tests.support.feeding import Feed, tar_of
from tests.support.processes import photo

MEMBERS = {"b.jpg": photo(1), "a/c.jpg": photo(2)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of two pictures, and go there."""
    folder = tmp_path / "here"
    (folder / "a").mkdir(parents=True)
    for name, content in MEMBERS.items():
        (folder / name).write_bytes(content)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz"])
@pytest.mark.parametrize("flag", [[], ["--input"]])
def test_an_archive_is_fed_in_its_order(feed: Feed, tmp_path: Path, suffix: str, flag: list[str]) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(tar_of(MEMBERS, "" if suffix == "tar" else "gz"))
    fed = feed(*flag, path)
    assert (fed.code, fed.ids) == (0, [f"x.{suffix}/{name}" for name in MEMBERS])
    assert fed.sink.values == [*MEMBERS.values()]
    assert fed.said == ["feed: 2 images published to images"]


@pytest.mark.parametrize("compression", ["", "gz", "xz"])
def test_an_archive_comes_through_a_pipe(feed: Feed, compression: str) -> None:
    fed = feed("-", standard_input=tar_of({**MEMBERS, "._x": b""}, compression))
    assert (fed.code, fed.ids) == (0, [*MEMBERS])
    assert fed.said == ["feed: passed over: hidden (1)", "feed: 2 images published to images"]


def test_a_broken_archive_is_told_with_what_came_before(feed: Feed, tmp_path: Path) -> None:
    whole = tar_of(MEMBERS)
    (tmp_path / "x.tar").write_bytes(whole[: len(whole) // 2])
    fed = feed(tmp_path / "x.tar", tmp_path / "x.tar")
    assert fed.code == EXIT_LEFT_OUT
    assert fed.said[0].startswith("feed: x.tar: the tar archive is damaged or cut off after ")
    images = counted(len(fed.ids), "image")
    assert fed.said[-1].startswith(f"feed: {images} published to images, 1 left out")


@pytest.mark.parametrize("text", [b"b.jpg\n./a/c.jpg\n", b"b.jpg\r\n\r\na/c.jpg", b"b.jpg\na/c.jpg\nb.jpg\n"])
def test_a_list_of_paths_is_fed_in_its_order_each_once(feed: Feed, folder: Path, text: bytes) -> None:
    del folder
    fed = feed("-", standard_input=text)
    assert (fed.code, fed.ids) == (0, ["b.jpg", "a/c.jpg"])


def test_with_null_a_path_may_hold_anything(feed: Feed, folder: Path) -> None:
    odd = os.fsencode(folder) + b"/two\nlines \xe9.jpg"
    Path(os.fsdecode(odd)).write_bytes(photo(3))
    fed = feed("-", "--null", standard_input=b"b.jpg\0" + odd + b"\0")
    assert fed.code == 0
    assert fed.ids == ["b.jpg", rf"{folder}/two\x0alines \xe9.jpg"]


def test_missing_files_are_named_and_the_rest_is_fed(feed: Feed, folder: Path) -> None:
    del folder
    fed = feed("-", standard_input=b"gone.jpg\nb.jpg\na\nno/such.jpg\nx.tar.zst\nx.tar\n")
    assert fed.code == EXIT_LEFT_OUT
    assert fed.ids == ["b.jpg", "c.jpg"]
    assert [line.partition(": ")[2].partition(":")[0] for line in fed.said[:-1]] == [
        *("gone.jpg", "no/such.jpg", "x.tar.zst", "x.tar")
    ]
    assert "No such file" in fed.said[0]
    assert fed.said[-1] == "feed: 2 images published to images, 4 left out: see above"


def test_archives_and_clips_may_stand_in_a_list(feed: Feed, folder: Path) -> None:
    (folder / "x.tar").write_bytes(tar_of({"1.jpg": photo(4)}))
    (folder / "none.mp4").write_bytes(b"no clip")
    fed = feed("-", standard_input=b"x.tar\nnone.mp4\nb.jpg")
    assert (fed.code, fed.ids) == (EXIT_LEFT_OUT, ["x.tar/1.jpg", "b.jpg"])
    assert fed.said[0].startswith("feed: none.mp4: ")


def test_a_clip_in_a_listed_folder_is_left_out_where_nothing_reads_clips(
    feed: Feed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a/night.mp4").write_bytes(b"a clip")
    monkeypatch.setattr("neardup.sources.files.find_spec", lambda _name: None)
    fed = feed("-", standard_input=b"a\nb.jpg\n")
    assert (fed.code, fed.ids) == (EXIT_LEFT_OUT, ["c.jpg", "b.jpg"])
    assert "night.mp4: " in fed.said[0]


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["-"], b"", "standard input is empty"),
        (["-"], photo(1), "neither a tar archive nor a list"),
        (["-"], b"a.jpg\0b.jpg\0", "--null is for a list"),
        (["-"], b"x" * 100_000, "no end of one for 64 KiB"),
        (["-", "a.jpg"], b"", "nothing else can be named beside it"),
        (["-", "--loop"], b"", "standard input can be read once only"),
        (["a.jpg", "--null"], b"", "--null works only with -"),
        (["x.tar.zst"], b"", "no such file"),
        ([], b"", "or - for standard input"),
        (["--mask", "1,2,3", "a.jpg"], b"", "--mask: '1,2,3' is wrong: it should be X,Y,WIDTH,HEIGHT"),
        (["--pace", "fast", "a.jpg"], b"", "--pace: 'fast' is wrong: it should be 1x"),
        (["--pace", "1x", "--rate", "2", "a.jpg"], b"", "--rate and --pace contradict"),
        (["rtsp://admin:secret@cam/1"], b"", "PATH: a URL with a password belongs in a file for --cameras"),
        (["http://cam/1", "a.jpg"], b"", "cameras and files cannot be fed by one command"),
        (["--every", "5", "a.jpg"], b"", "--every is for cameras"),
        (["--follow", "a", "b"], b"", "--follow: name one folder"),
        (["--settle-s", "5", "a"], b"", "--settle-s works only with --follow"),
        (["--follow", "a", "--loop"], b"", "--loop is for what has an end"),
        (["--loop", "--pace", "1x", "a.jpg"], b"", "--loop and --pace contradict"),
    ],
)
def test_what_cannot_be_fed_is_told_in_a_line(feed: Feed, arguments: list[str], given: bytes, said: str) -> None:
    fed = feed(*arguments, standard_input=given)
    assert fed.code == 2
    assert [line for line in fed.said if said in line] == fed.said
    assert "secret" not in "".join(fed.said)


# What is too large, and masks.


def noise(size: int) -> bytes:
    import io  # noqa: PLC0415

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("oversize", ["skip", "recompress", "uri"])
def test_what_is_too_large_in_an_archive_is_treated_as_told(feed: Feed, oversize: str) -> None:
    large = noise(200)
    data = tar_of({"large.png": large, "b.jpg": MEMBERS["b.jpg"]})
    fed = feed("-", "--oversize", oversize, standard_input=data, limit_bytes=50_000)
    if oversize == "recompress":
        assert (fed.code, fed.ids) == (0, ["large.png", "b.jpg"])
        assert fed.said[0].startswith("feed: recompressed large.png: a message of ")
        assert decode(fed.sink.values[0] or b"").shape == (200, 200, 3)
    else:
        assert (fed.code, fed.ids) == (EXIT_LEFT_OUT, ["b.jpg"])
        assert fed.said[0].startswith("feed: left out large.png: a message of ")
        assert fed.said[-1].endswith("1 left out: see above")


def test_a_mask_blanks_every_picture(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    fed = feed(tmp_path, "--mask", "0,0,32,16; 100,60 120,60 120,80")
    assert fed.code == 0
    pixels = decode(fed.sink.values[0] or b"").astype(int)
    assert abs(pixels[:8, :24] - 128).max() <= 2
    assert abs(pixels[16:, 32:] - decode(photo(1))[16:, 32:]).mean() < 5


def test_a_picture_that_a_mask_does_not_fit_is_named(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    (tmp_path / "b.jpg").write_bytes(photo(2, size=(20, 20)))
    fed = feed(tmp_path, "--mask", "0,0,32,16")
    assert (fed.code, fed.ids) == (EXIT_LEFT_OUT, ["a.jpg"])
    assert fed.said[0] == "feed: left out b.jpg: mask 0,0,32,16: it reaches outside the picture of 20x20 pixels"


def test_the_uri_of_a_file_that_has_a_mask_is_not_published(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(noise(300))
    fed = feed(tmp_path, "--mask", "0,0,32,16", "--oversize", "uri", limit_bytes=10_000)
    assert (fed.code, fed.ids) == (EXIT_LEFT_OUT, [])
    assert "the file has no mask" in fed.said[0]
