"""What is refused since no consumer could read it: names that are too long or have control characters, and arrays."""

import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consumer.backfill.command import backfill
from consumer.backfill.entries import Entry, uri_of
from consumer.backfill.settings import BackfillSettings
from consumer.messages import MAX_ENVELOPE_BYTES, encode_envelope
from neardup.cli.running import exit_code_of
from neardup.errors import Misconfigured
from tests.support.piped import piped_list
from tests.unit.consumer.backfill.test_listings import listed, refused, shard, steps_of, uris

NAME = "n" * 250
LONG = "ä" * 495_000
"""990 kB, and three times that in a message."""
PATH_TOO_LONG = "its path has more than 4,095 bytes"
NAME_TOO_LONG = "a name in its path has more than 255 characters"


def path_of(size_bytes: int) -> str:
    """Return an absolute path of so many bytes."""
    names = f"/{NAME}" * (size_bytes // 251)
    return names + "/" + "x" * (size_bytes - len(names) - 1)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (LONG, PATH_TOO_LONG),
        (path_of(4096), PATH_TOO_LONG),
        (f"file://{path_of(4096)}", PATH_TOO_LONG),
        ("x" * 256, NAME_TOO_LONG),
        ("ä" * 256 + "/1.jpg", NAME_TOO_LONG),
        ("file:///" + "x" * 256, NAME_TOO_LONG),
        ("file:///" + "%C3%A4" * 256, NAME_TOO_LONG),
        ("a\tb.jpg", "control characters; a file of such a name is named by a URI, percent-encoded"),
        ("a.jpg\rb.jpg", "control characters"),
        ("a\x1b[2J.jpg", "control characters"),
        ("a\u2028.jpg", "control characters"),
        ("s3://bucket/" + "\U0001d11e" * 6000, "its message would have more than 65,536 bytes"),
        ("gs://bucket/" + "x" * 8192, "more than 8192 characters"),
        ("https://host.example/" + "x" * 8192, "more than 8192 characters"),
    ],
)
def test_a_line_that_no_consumer_reads_is_refused_whatever_names_the_image(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "a.txt").write_text(f"/1.jpg\n{line}\n/3.jpg\n", newline="")
    objects = [json.dumps({"uri": uri}, ensure_ascii=False) for uri in ("/1.jpg", line, "/3.jpg")]
    (tmp_path / "b.jsonl").write_text("\n".join(objects))
    quoted = "".join(f'"{uri}"\n' for uri in ("/1.jpg", line[:130_000], "/3.jpg"))
    (tmp_path / "c.csv").write_text(f"uri\n{quoted}", newline="")
    pq.write_table(pa.table({"uri": ["/1.jpg", line, "/3.jpg"]}), tmp_path / "d.parquet")
    for name, place in (("a.txt", "line 2"), ("b.jsonl", "line 2"), ("c.csv", "line 3"), ("d.parquet", "row 2")):
        steps = steps_of(tmp_path / name)
        assert len(steps) == 3
        assert uris(steps) == ["file:///1.jpg", "file:///3.jpg"]
        [(where, told)] = refused(steps)
        assert where == f"{tmp_path}/{name}, {place}"
        assert why in told
        assert told.isprintable()
        assert len(told) < 2200  # with 200 characters of the line, escaped


@pytest.mark.parametrize(
    "text",
    [
        path_of(4095),
        "x" * 255,
        "ä" * 255,
        f"file://{path_of(4095)}",
        "file:///" + "%C3%A4" * 255,
        "file:///" + "/".join(["%C3%A4" * 100] * 13),
        "file:///a%0Ab%1B.jpg",
        "s3://bucket/" + "ä" * 8180,
        "s3://bucket/" + "\U0001d11e" * 5400,
    ],
)
def test_what_is_just_short_enough_is_published_and_its_message_is_one_that_consumers_take(text: str) -> None:
    assert len(encode_envelope(uri_of(text, "/"))) <= MAX_ENVELOPE_BYTES


def test_a_file_whose_name_has_odd_characters_is_found_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a\nb\t"
    folder.mkdir()
    (folder / "\x1b.jpg").write_bytes(b"x")
    assert uris(steps_of(tmp_path)) == [f"file://{tmp_path}/a%0Ab%09/%1B.jpg"]
    (folder / "list.txt").write_text("1.jpg\n")
    assert uris(steps_of(folder / "list.txt")) == [f"file://{tmp_path}/a%0Ab%09/1.jpg"]


def test_a_whole_array_is_no_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{number}.jpg" for number in range(3)]
    Path("names.json").write_text(f"[1].jpg\n {json.dumps(names)}\n{'[' * 100_000}\n")
    assert backfill(BackfillSettings(listings=("names.json",), topic="images", dry_run=True)) == 3
    why = "it is a JSON array; each image has to stand on a line of its own"
    assert capsys.readouterr().err.splitlines()[0] == f"backfill: refused names.json, line 2: {why}"
    steps = steps_of("names.json")
    assert uris(steps) == [f"file://{tmp_path}/%5B1%5D.jpg"]
    assert PATH_TOO_LONG in refused(steps)[1][1]


OBJECTS = [{"uri": f"{number}.jpg"} for number in range(3)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (json.dumps(OBJECTS), "a JSON array"),
        (json.dumps(OBJECTS, indent=1), "a JSON array"),
        ("\ufeff\n [ \r\n1.jpg\n]", "a JSON array"),
        (" [ {\n", "a JSON array"),
        ('["1.jpg",\n"2.jpg"]\n', "a JSON array"),
        (json.dumps({"images": OBJECTS}, indent=1), "JSON over several lines"),
    ],
)
def test_a_list_that_begins_like_one_document_is_refused_as_a_whole(
    tmp_path: Path, text: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "images.json"
    path.write_text(text)
    settings = BackfillSettings(listings=(str(path),), dry_run=True)
    assert exit_code_of(lambda: backfill(settings), "backfill: ") == 2
    number = 2 if text.startswith("\ufeff") else 1
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"backfill: LISTING: {path}, line {number}: this is {what}; write one object a line"
    with piped_list(path) as listing, pytest.raises(Misconfigured, match=f"this is {what}"):
        next(listing.steps(None))


def test_names_that_look_like_an_array_are_names_wherever_the_list_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text('[1].jpg\n[a].jpg\n[\n["2.jpg\n')
    [listing] = listed(path)
    steps = [*listing.steps(None)]
    assert [step.image_id for step in steps if isinstance(step, Entry)] == ["[1].jpg", "[a].jpg", "[", '["2.jpg']
    assert [*listing.steps(steps[1].position)] == steps[2:]


def test_a_member_of_a_shard_may_have_any_name_and_its_own_is_one_that_consumers_read(tmp_path: Path) -> None:
    long, empty = tarfile.TarInfo("y" * 5000 + ".jpg"), tarfile.TarInfo("z" * 5000 + ".jpg")
    odd = tarfile.TarInfo("a\x1b[2J\n.jpg")
    long.size = odd.size = 0
    steps = steps_of(shard(tmp_path / "a.tar", long=long, empty=empty, odd=odd))
    told = [why for _, why in refused(steps)]
    assert [len(why) < 400 and why.isprintable() for why in told] == [True] * 4
    assert all(len(step.uri) < 300 for step in steps if isinstance(step, Entry))
    for named in ("s3://bucket/\x85.tar", "gs://bucket/" + "\U0001d11e" * 6000 + ".tar"):
        with pytest.raises(
            Misconfigured, match=r"^LISTING: .*(control characters, or is no UTF-8|more than 65,536 bytes)$"
        ):
            listed(named)
