"""What manifests, folders and shards come to, and going on behind any of their entries."""

import gzip
import io
import json
import os
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from consumer.backfill.entries import Entry, Listing, Refused, Step
from consumer.backfill.naming import Wanted
from consumer.backfill.settings import BackfillSettings
from consumer.backfill.sources import listings
from consumer.claim_checks.reader import UriReader
from neardup.errors import Misconfigured
from tests.support.feeding import tar_of
from tests.support.processes import photo

ODD = os.fsdecode(b"caf\xe9 #1?.jpg")


def listed(*named: object, **settings: Any) -> list[Listing]:  # noqa: ANN401 - of any setting
    made = BackfillSettings(listings=tuple(map(str, named)), **settings)
    return listings(made, Wanted(made.suffixes), stop=threading.Event(), tell=pytest.fail)


def steps_of(*named: object, **settings: Any) -> list[Step]:  # noqa: ANN401 - of any setting
    return [step for listing in listed(*named, **settings) for step in listing.steps(None)]


def uris(steps: list[Step]) -> list[str]:
    return [step.uri for step in steps if isinstance(step, Entry)]


def refused(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.place, step.why) for step in steps if isinstance(step, Refused)]


# Lists.


def test_a_list_has_uris_paths_and_json_objects(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(
        "\ufeffs3://bucket/a b.jpg\r\n\nhttps://host.example/1.jpg?token=hunter2\n./below/2.jpg\n/abs/3 ä.jpg\n"
        '{"url": "gs://bucket/4.jpg", "id": "four", "captured_at": 1767225600000}\n'
        '{"image_uri": "file:///5.jpg", "captured_at": "2026-01-01T12:00:00+01:00"}\n'
        "s3://bucket/6.tar#bytes=512-700"
    )
    found = [step for step in steps_of(path) if isinstance(step, Entry)]
    assert [(each.uri, each.image_id, each.captured_at_ms) for each in found] == [
        ("s3://bucket/a b.jpg", "s3://bucket/a b.jpg", 0),
        ("https://host.example/1.jpg?token=hunter2", "https://host.example/1.jpg", 0),
        (f"file://{tmp_path}/below/2.jpg", "below/2.jpg", 0),
        ("file:///abs/3%20%C3%A4.jpg", "/abs/3 ä.jpg", 0),
        ("gs://bucket/4.jpg", "four", 1767225600000),
        ("file:///5.jpg", "file:///5.jpg", 1767265200000),
        ("s3://bucket/6.tar#bytes=512-700", "s3://bucket/6.tar#bytes=512-700", 0),
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("http://host.example/1.jpg", "it should begin with file:, https:, s3: or gs:"),
        ("ftp://host.example/1.jpg", "it should begin with"),
        ("S3://bucket/1.jpg", "it should begin with"),
        ("javascript:alert(1)", "it should begin with"),
        ("https://me:hunter2@host.example/1.jpg", "no user, no fragment"),
        ("s3://key:hunter2@bucket/1.jpg", "no user, no fragment"),
        ("s3://bucket/a/../1.jpg", "could lead elsewhere"),
        ("s3://bucket/folder/", "names a bucket or a folder"),
        ("s3://bucket/1\x1b[2J.jpg", "control characters"),
        ("file:///1\u2028.jpg", "control characters"),
        ("https://host.example/1.jpg#t=3", "fragment"),
        ("https://host.example/1.jpg#bytes=9-3", "bytes=FIRST-LAST"),
        ("file://other.host/1.jpg", "on this machine"),
        ("file:///" + "x" * 9000, "more than 8192 characters"),
        ('{"uri": 3}', "it has no field uri, url or path with a text"),
        ('{"uri": ', "it begins like a JSON object, and is none"),
        ("[" * 3 + '{"x": 1}', ""),
        ('{"uri": "file:///1.jpg", "image_id": "a\\nb"}', "control characters"),
        ('{"uri": "file:///1.jpg", "captured_at": "yesterday"}', "captured_at is 'yesterday'"),
        ('{"uri": "file:///1.jpg", "captured_at": "2026-01-01T12:00:00"}', "with a time zone"),
    ],
)
def test_what_no_consumer_would_read_is_refused_where_it_stands(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(f"file:///0.jpg\n{line}\nfile:///2.jpg\n")
    steps = steps_of(path)
    if not why:  # a strange name is a name
        assert len(uris(steps)) == 3
        return
    assert uris(steps) == ["file:///0.jpg", "file:///2.jpg"]
    [(place, told)] = refused(steps)
    assert place == f"{path}, line 2"
    assert why in told
    assert "hunter2" not in told
    assert told.isprintable()
    assert len(told) < 400


def test_a_line_without_an_end_is_not_taken_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"file:///1.jpg\n" + b"x" * (3 << 20) + b"\nfile:///3.jpg\n" + b"y" * (2 << 20))
    steps = steps_of(path)
    assert uris(steps) == ["file:///1.jpg", "file:///3.jpg"]
    assert refused(steps) == [(f"{path}, line {number}", "it has more than 1,048,576 bytes") for number in (2, 4)]


def test_a_compressed_list_is_read_and_one_that_is_cut_off_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "list.txt.gz"
    packed = gzip.compress(b"".join(b"file:///%d.jpg\n" % number for number in range(5000)))
    path.write_bytes(packed)
    assert len(uris(steps_of(path))) == 5000
    path.write_bytes(packed[:-200])
    with pytest.raises(Misconfigured, match=r"cannot be read: .*after line"):
        steps_of(path)


@pytest.mark.parametrize("name", ["LIST.TXT.GZ", "list.Gz", "LIST.CSV.GZ", "list.tsv.GZ"])
def test_the_end_of_a_name_counts_in_any_case(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    head = b"uri\n" if "sv" in name.lower() else b""
    path.write_bytes(gzip.compress(head + b"s3://bucket/1.jpg\n"))
    assert uris(steps_of(path)) == ["s3://bucket/1.jpg"]


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "shard.zip"])
def test_a_file_that_is_no_list_is_not_taken_for_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        if name.endswith("zip"):
            with zipfile.ZipFile(file, "w") as packed:
                packed.writestr("1.jpg", photo(1))
        else:
            Image.open(io.BytesIO(photo(1))).save(file, name.removeprefix("photo.").replace("jpg", "jpeg"))
    with pytest.raises(Misconfigured, match="this is no list of URIs or paths"):
        steps_of(path)


# Tables.


def test_a_csv_has_named_columns_between_commas_semicolons_or_tabs(tmp_path: Path) -> None:
    for delimiter, name in ((",", "a.csv"), (";", "b.csv"), ("\t", "c.tsv")):
        path = tmp_path / name
        rows = [
            ["image_id", "url", "captured_at"],
            ["one", f"s3://bucket/1{delimiter}x.jpg", ""],
            ["", "p.jpg", "1767225600000"],
        ]
        text = "\n".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) for row in rows)
        path.write_text(f"\ufeff{text}\n\n")
        found = [(step.uri, step.image_id, step.captured_at_ms) for step in steps_of(path) if isinstance(step, Entry)]
        first = f"s3://bucket/1{delimiter}x.jpg"
        if delimiter == "\t":  # no key of ours may have it
            assert "control characters" in refused(steps_of(path))[0][1]
            found.insert(0, (first, "one", 0))
        assert found == [(first, "one", 0), (f"file://{tmp_path}/p.jpg", "p.jpg", 1767225600000)]


def test_broken_rows_are_told_by_the_line_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        'n,uri\n1,file:///1.jpg\n2\n3,"file:///three\n.jpg"\n\n4,file:///4.jpg,more\n5,\n"6"6,\n7,file:///7.jpg\n'
    )
    steps = steps_of(path)
    assert uris(steps) == ["file:///1.jpg", "file:///7.jpg"]
    broken = "its URI, id or time has a line break; a quote may be missing"
    assert [(place.removeprefix(f"{path}, "), why) for place, why in refused(steps)] == [
        ("line 3", "it has 1 column, the header 2"),
        ("line 4", broken),
        ("line 5", f"it is part of the row that line 4 begins: {broken}"),
        ("line 7", "it has 3 columns, the header 2"),
        ("line 8", "there is no URI"),
        ("line 9", "',' expected after '\"'"),
    ]


def test_a_table_with_the_line_ends_of_old_macs_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"uri,text\ra.jpg,one\r")
    with pytest.raises(Misconfigured, match=r"names no columns .*; its lines have to end in line feeds"):
        steps_of(path)


@pytest.mark.parametrize(
    ("head", "settings", "told"),
    [
        ("name,size", {}, "--column: .*has no column for URIs; its columns are name, size"),
        ("name,uri", {"column": "link"}, "--column: .*has no column 'link'; its columns are name, uri"),
        ("name,uri", {"id_column": "key"}, "--id-column: .*has no column 'key'"),
        ("name,uri", {"time_column": "when"}, "--time-column: .*has no column 'when'"),
        ("1,s3://bucket/1.jpg", {}, "its first line names no columns; .*named .txt"),
        ("", {}, "has no column for URIs"),
    ],
)
def test_a_table_without_the_column_is_refused(tmp_path: Path, head: str, settings: dict[str, Any], told: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"{head}\n")
    with pytest.raises(Misconfigured, match=told) as raised:
        steps_of(path, **settings)
    assert len(str(raised.value).splitlines()) == 1


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    table = pa.table(
        {
            "id": pa.array([7, 8, 9], pa.int64()),
            "uri": pa.array(["s3://bucket/1.jpg", None, "s3://bucket/3.jpg"]).dictionary_encode(),
            "captured_at": pa.array([moment, moment, None], pa.timestamp("ns", "Europe/Berlin")),
        }
    )
    pq.write_table(table, path)
    steps = steps_of(path)
    assert steps[0] == Entry(1, "s3://bucket/1.jpg", "7", 1767268800000)
    assert refused(steps) == [(f"{path}, row 2", "there is no URI")]
    assert steps[2] == Entry(3, "s3://bucket/3.jpg", "9", 0)
    with pytest.raises(Misconfigured, match=r"--column: .*has no column 'link'"):
        steps_of(path, column="link")
    assert "is no text, but int" in refused(steps_of(path, column="id"))[0][1]


def test_a_time_before_1970_is_one_in_every_kind_of_table(tmp_path: Path) -> None:
    moment = datetime(1955, 6, 1, tzinfo=UTC)
    table, text = tmp_path / "list.parquet", tmp_path / "list.csv"
    pq.write_table(pa.table({"uri": ["1.jpg"], "captured_at": pa.array([moment], pa.timestamp("us", "UTC"))}), table)
    text.write_text(f"uri,captured_at\n1.jpg,{moment.isoformat()}\n")
    for path in (table, text):
        [step] = steps_of(path)
        assert isinstance(step, Entry)
        assert step.captured_at_ms == moment.timestamp() * 1000


def test_text_that_is_no_text_and_a_file_that_is_none_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    cells = pa.array([b"s3://bucket/1.jpg", b"s3://bucket/\xe9.jpg"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"uri": cells}), path)
    steps = steps_of(path)
    assert uris(steps) == ["s3://bucket/1.jpg"]
    assert refused(steps) == [(f"{path}, row 2", "there is no URI")]
    path.write_bytes(b"no Parquet")
    with pytest.raises(Misconfigured, match="cannot be read"):
        steps_of(path)


# Folders and shards.


def test_a_folder_has_its_images_by_name_and_counts_the_rest(tmp_path: Path) -> None:
    for name in (
        "b/2.PNG",
        "b/note.json",
        "a.jpg",
        ".hidden.jpg",
        "b/@eaDir/x.jpg",
        "c/clip.mp4",
        f"c/{ODD}",
        "c/README",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    settings = BackfillSettings(listings=(str(tmp_path),))
    wanted = Wanted(settings.suffixes)
    [folder] = listings(settings, wanted, stop=threading.Event(), tell=pytest.fail)
    steps = [*folder.steps(None)]
    assert [(step.uri, step.image_id) for step in steps if isinstance(step, Entry)] == [
        (f"file://{tmp_path}/a.jpg", "a.jpg"),
        (f"file://{tmp_path}/b/2.PNG", "b/2.PNG"),
        (f"file://{tmp_path}/c/caf%E9%20%231%3F.jpg", r"c/caf\xe9 #1?.jpg"),
    ]
    assert refused(steps) == [(f"{tmp_path}: broken.jpg", "No such file or directory")]
    assert wanted.told() == "*.json (1), *.mp4 (1), @eaDir (1), hidden (1), without a suffix (1)"
    everything = steps_of(tmp_path, suffixes=())
    assert len(uris(everything)) == 6
    # What is named so is what a consumer reads.
    with UriReader([f"file://{tmp_path}/"], 10) as reader:
        assert {reader.read(uri) for uri in uris(everything)} == {b"x"}


def shard(path: Path, **more: tarfile.TarInfo) -> Path:
    members = {
        f"{number:03d}.{kind}": f"{number}{kind}".encode() * 300
        for number in range(4)
        for kind in ("cls", "jpg", "seg.png")
    }
    path.write_bytes(
        tar_of({**members, "empty.jpg": b"", "./deep/" + "long" * 40 + ".jpg": b"long"}, more=[*more.values()])
    )
    return path


def test_a_shard_has_its_images_by_their_bytes(tmp_path: Path) -> None:
    link = tarfile.TarInfo("link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = shard(tmp_path / "shard-0.tar", link=link)
    steps = steps_of(path)
    found = [step for step in steps if isinstance(step, Entry)]
    names = [f"{number:03d}.{kind}" for number in range(4) for kind in ("jpg", "seg.png")]
    assert [each.image_id for each in found] == [
        f"shard-0.tar/{name}" for name in [*names, "deep/" + "long" * 40 + ".jpg"]
    ]
    assert refused(steps) == [(str(path), "'empty.jpg' is empty")]
    with UriReader([f"file://{tmp_path}/"], 5000) as reader, tarfile.open(path) as tar:
        read = [reader.read(each.uri) for each in found]
        there = [
            tar.extractfile(member)
            for member in tar
            if member.isreg() and member.size and not member.name.endswith("cls")
        ]
        assert read == [file.read() for file in there if file is not None]


def test_what_is_no_file_in_a_shard_is_counted(tmp_path: Path) -> None:
    link, pipe = tarfile.TarInfo("again.jpg"), tarfile.TarInfo("pipe.jpg")
    link.type, link.linkname, pipe.type = tarfile.LNKTYPE, "000.jpg", tarfile.FIFOTYPE
    settings = BackfillSettings(listings=(str(shard(tmp_path / "shard-0.tar", link=link, pipe=pipe)),))
    wanted = Wanted(settings.suffixes)
    [found] = listings(settings, wanted, stop=threading.Event(), tell=pytest.fail)
    assert len(uris([*found.steps(None)])) == 9
    assert wanted.told() == "*.cls (4), links (1), special files (1)"


def test_a_shard_that_has_gone_is_told_of_as_such(tmp_path: Path) -> None:
    [found] = listed(shard(tmp_path / "shard-0.tar"))
    (tmp_path / "shard-0.tar").unlink()
    for read in (found.fingerprint, lambda: [*found.steps(None)]):
        with pytest.raises(Misconfigured, match=r"shard-0.tar: it cannot be read: no such file"):
            read()


@pytest.mark.parametrize("kept", [4000, 8192, 12_500, 16_000])
def test_a_shard_that_is_cut_off_gives_what_is_whole_and_says_so(tmp_path: Path, kept: int) -> None:
    path = shard(tmp_path / "shard-0.tar")
    whole = steps_of(path)
    path.write_bytes(path.read_bytes()[:kept])
    steps = steps_of(path)
    assert steps[:-1] == [step for step in whole if step.position <= steps[-2].position]
    assert "the tar archive is damaged or cut off after" in refused(steps)[-1][1]
    [listing] = listed(path)
    assert [*listing.steps(steps[-1].position)] == []


def test_what_is_no_shard_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"\xff\xd8 no archive" * 100)
    [(place, why)] = refused(steps_of(path))
    assert place == str(path)
    assert "damaged or cut off at its beginning" in why
    for name in ("a.tar.gz", "a.tgz"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(Misconfigured, match=r"compressed archive .* neardup feed"):
            steps_of(tmp_path / name)


def test_braces_stand_for_many_names(tmp_path: Path) -> None:
    names = [f"{kind}-{number:03d}.tar" for kind in ("a", "b") for number in range(98, 103)]
    for name in names:
        shard(tmp_path / name)
    found = listed(tmp_path / "{a,b}-{098..102}.tar")
    assert [each.name for each in found] == [str(tmp_path / name) for name in names]
    for braces in ("{0..11}", "{00..11}", "{0..1}", "{8..011}", "{3..1}", "{1..0}"):
        told = subprocess.run(["bash", "-c", f"echo {braces}"], check=True, capture_output=True, text=True).stdout  # noqa: S607 - ours
        assert [each.name for each in listed(f"s3://bucket/{braces}")] == [
            f"s3://bucket/{name}/" for name in told.split()
        ]
    (tmp_path / "x{1..3}.txt").write_text("file:///1.jpg\n")
    assert len(listed(tmp_path / "x{1..3}.txt")) == 1
    assert [each.name for each in listed("s3://bucket/{9..11}/")] == [
        f"s3://bucket/{number}/" for number in (9, 10, 11)
    ]
    with pytest.raises(Misconfigured, match=r"shard-103.tar: No such file"):
        listed(tmp_path / "shard-{103..104}.tar")
    with pytest.raises(Misconfigured, match="more than 1,000,000 names"):
        listed("s3://bucket/{0..99}/{0..99999}/")


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("nowhere", "LISTING: nowhere: No such file"),
        ("http://host.example/", "cannot be listed: it should begin with s3:// or gs://"),
        ("https://host.example/list", "cannot be listed"),
        ("s3://Bucket/x", "it should be s3://bucket/key"),
        ("s3://me:hunter2@bucket/x", "no user"),
        ("s3://bucket/list.csv", "manifests are read from this machine"),
        ("s3://bucket/LIST.CSV.GZ", "manifests are read from this machine"),
        ("s3://bucket/x.tar.gz", "compressed archive"),
        ("/dev/null", "no regular file"),
        ("a\x1b[2J", r"LISTING: a\\x1b\[2J: No such file"),
    ],
)
def test_what_cannot_be_listed_is_refused_in_a_line(named: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=told) as raised:
        listed(named)
    assert "hunter2" not in str(raised.value)
    assert str(raised.value).isprintable()


def test_nothing_named_is_refused() -> None:
    with pytest.raises(Misconfigured, match="LISTING: name a folder"):
        listed()


# Going on.


def _text(path: Path) -> Path:
    path.write_text("".join(f"file:///{number}.jpg\n" if number % 7 else "http://no\n" for number in range(40)))
    return path


def _csv(path: Path) -> Path:
    path = path.with_suffix(".csv")
    path.write_text(
        "uri\n" + "".join(f'"file:///{number}.jpg"\n' if number % 7 else '"a\nb"\n' for number in range(40))
    )
    return path


def _parquet(path: Path) -> Path:
    path = path.with_suffix(".parquet")
    cells = [f"file:///{number}.jpg" if number % 7 else None for number in range(40)]
    pq.write_table(pa.table({"uri": cells}), path, row_group_size=9)
    return path


def _folder(path: Path) -> Path:
    for name in ("a/1.jpg", "a.jpg", "a-b/2.jpg", "a/b/c.jpg", "b.jpg", ODD):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"x")
    for name in ("a/0.jpg", "a/z.jpg", "zz.jpg"):
        (path / name).symlink_to("nowhere")
    return path


def _tar(path: Path) -> Path:
    return shard(path.with_suffix(".tar"))


KINDS = [_text, _csv, _parquet, _folder, _tar]


@pytest.mark.parametrize("made", KINDS, ids=lambda made: made.__name__)
def test_every_listing_goes_on_behind_any_of_its_entries(made: Callable[[Path], Path], tmp_path: Path) -> None:
    path = made(tmp_path / "listing")
    [listing] = listed(path)
    steps = [*listing.steps(None)]
    assert len(steps) > 5
    for number, step in enumerate(steps):
        position = json.loads(json.dumps(step.position))
        assert [*listing.steps(position)] == steps[number + 1 :]


@pytest.mark.parametrize("made", [_text, _csv, _parquet, _tar], ids=lambda made: made.__name__)
def test_a_manifest_that_changes_is_another_one(made: Callable[[Path], Path], tmp_path: Path) -> None:
    path = made(tmp_path / "listing")
    [listing] = listed(path)
    before = listing.fingerprint()
    assert listing.fingerprint() == before
    path.write_bytes(path.read_bytes() + b"\n")
    assert listing.fingerprint() != before


def test_a_manifest_that_changes_while_it_is_read_is_told_of(tmp_path: Path) -> None:
    path = _text(tmp_path / "list")
    [listing] = listed(path)
    listing.fingerprint()
    steps = listing.steps(None)
    next(steps)
    path.write_text(path.read_text() + "file:///more.jpg\n")
    with pytest.raises(Misconfigured, match="changed while it was read"):
        list(steps)


def test_a_folder_that_changes_gives_each_file_that_stays_once(tmp_path: Path) -> None:
    path = _folder(tmp_path / "folder")
    [listing] = listed(path)
    steps = [*listing.steps(None)]
    (path / "a/1.jpg").unlink()
    (path / "a/00.jpg").write_bytes(b"before where we are")
    (path / "a/b/d.jpg").write_bytes(b"behind where we are")
    at = next(number for number, step in enumerate(steps) if isinstance(step, Entry) and "a/b/c.jpg" in step.uri)
    after = uris([*listing.steps(steps[at].position)])
    assert after[0] == f"file://{path}/a/b/d.jpg"
    assert after[1:] == uris(steps[at + 1 :])
