"""Claim checks: what may be read, and what may not."""

import os
from pathlib import Path

import pytest

from consumer.claim_checks.local import LocalFiles, _open_below
from consumer.claim_checks.reader import UriReader
from neardup.errors import BadInput, Misconfigured, TooManyBytes, UriNotAllowed, UriUnreadable

LIMIT = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "below").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "below" / "b ä%.jpg").write_bytes(b"b")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / "a.jpg").write_bytes(b"not data")
    return folder


@pytest.fixture
def reader(root: Path) -> UriReader:
    return UriReader([root.as_uri() + "/"], LIMIT)


def test_a_file_below_the_folder_is_read(reader: UriReader, root: Path) -> None:
    assert reader.read((root / "a.jpg").as_uri()) == b"a"


def test_percent_encoding_is_undone_once(reader: UriReader, root: Path) -> None:
    uri = (root / "below" / "b ä%.jpg").as_uri()
    assert "%20" in uri
    assert reader.read(uri) == b"b"
    with pytest.raises(UriUnreadable):
        reader.read(uri.replace("%", "%25"))


def test_a_name_that_is_not_utf8_can_be_named(reader: UriReader, root: Path) -> None:
    path = root / os.fsdecode(b"caf\xe9.jpg")
    path.write_bytes(b"c")
    assert path.as_uri().endswith("/caf%E9.jpg")
    assert reader.read(path.as_uri()) == b"c"


def test_localhost_is_this_machine(reader: UriReader, root: Path) -> None:
    assert reader.read(f"file://localhost{root}/a.jpg") == b"a"


def test_a_link_that_stays_inside_is_followed(reader: UriReader, root: Path) -> None:
    (root / "link.jpg").symlink_to(root / "a.jpg")
    assert reader.read(f"file://{root}/link.jpg") == b"a"


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert UriReader([f"file://{tmp_path}/alias"], LIMIT).read(f"file://{tmp_path}/alias/a.jpg") == b"a"
    assert UriReader([f"file://{tmp_path}/alias"], LIMIT).read(f"file://{root}/a.jpg") == b"a"


@pytest.mark.parametrize(
    "uri",
    [
        "file://{outside}/secret",
        "file://{root}/../secret",
        "file://{root}/%2e%2e/secret",
        "file://{root}/below/../../secret",
        "file://{outside}/database/a.jpg",  # begins like the folder, and is not below it
        "file://elsewhere{root}/a.jpg",
        "file:{relative}",
        "file:a.jpg",
        "{root}/a.jpg",
        "http://localhost{root}/a.jpg",
        "https://example.org/a.jpg",
        "ftp://example.org/a.jpg",
        "data:image/png;base64,AAAA",
        "FILE",
        "",
        "file://[",
        "file:///%00",
        "file://{root}/a.jpg%00.png",
        "file:///" + "\ud800",
    ],
)
def test_everything_else_is_not_allowed(reader: UriReader, root: Path, uri: str) -> None:
    with pytest.raises(UriNotAllowed):
        reader.read(uri.format(root=root, outside=root.parent, relative=os.path.relpath(root / "a.jpg")))


def test_nothing_is_allowed_by_default(root: Path) -> None:
    with pytest.raises(UriNotAllowed, match="--allow-uri"):
        UriReader([], LIMIT).read((root / "a.jpg").as_uri())


def test_a_link_that_leads_out_is_not_allowed(reader: UriReader, root: Path) -> None:
    (root / "out.jpg").symlink_to(root.parent / "secret")
    (root / "up").symlink_to(root.parent)
    for name in ("out.jpg", "up/secret"):
        with pytest.raises(UriNotAllowed):
            reader.read(f"file://{root}/{name}")


def test_a_link_to_itself_is_bad_input(reader: UriReader, root: Path) -> None:
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises((UriNotAllowed, UriUnreadable)):
        reader.read(f"file://{root}/loop")


@pytest.mark.parametrize("name", ["missing.jpg", "a.jpg/below", "below", "", "x" * 300, "x/" * 3000])
def test_what_is_no_readable_file_is_bad_input(reader: UriReader, root: Path, name: str) -> None:
    with pytest.raises(UriUnreadable):
        reader.read(f"file://{root}/{name}")


def test_a_pipe_is_not_waited_for(reader: UriReader, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(UriUnreadable, match="not a regular file"):
        reader.read(f"file://{root}/pipe")


def test_a_link_put_in_the_way_after_the_path_was_judged_is_not_followed(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "c.jpg").write_bytes(b"secret")
    (root / "below" / "c.jpg").write_bytes(b"c")
    # The path is judged while `below` is a folder, and opened when it is a link, and the same for the file.
    for name in ("below", "below/c.jpg"):
        files = LocalFiles([root], LIMIT)
        judged = files._allowed(f"file://{root}/below/c.jpg")
        (root / name).rename(root.parent / f"away{len(name)}")
        (root / name).symlink_to(outside / name.removeprefix("below").lstrip("/"))
        with pytest.raises(OSError, match=r"links|directory|regular"):
            _open_below(*judged)
        (root / name).unlink()
        (root.parent / f"away{len(name)}").rename(root / name)


@pytest.mark.parametrize("name", ["null", "zero", "stdin"])
def test_a_device_is_not_opened(name: str) -> None:
    with pytest.raises((UriUnreadable, UriNotAllowed)):
        UriReader(["file:///dev/"], LIMIT).read(f"file:///dev/{name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_bad_input(reader: UriReader, root: Path) -> None:
    (root / "below").chmod(0)
    try:
        with pytest.raises(UriUnreadable):
            reader.read((root / "below" / "b.jpg").as_uri())
    finally:
        (root / "below").chmod(0o700)


def test_the_limit_is_the_largest_that_passes(reader: UriReader, root: Path) -> None:
    (root / "largest").write_bytes(bytes(LIMIT))
    (root / "larger").write_bytes(bytes(LIMIT + 1))
    assert len(reader.read((root / "largest").as_uri())) == LIMIT
    with pytest.raises(TooManyBytes):
        reader.read((root / "larger").as_uri())


def test_no_error_repeats_control_characters(reader: UriReader, root: Path) -> None:
    for uri in (f"file://{root}/\x1b[31m", "\x1b[31m", f"file://{root}/%1b"):
        with pytest.raises(BadInput) as caught:
            reader.read(uri)
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "prefix", ["/data", "data", "http://example.org/", "file:data", "file://host/data", "file://["]
)
def test_a_prefix_that_is_no_local_folder_is_a_wrong_setting(prefix: str) -> None:
    with pytest.raises(Misconfigured, match="--allow-uri"):
        UriReader([prefix], LIMIT)
