"""What is read of a tar archive, and what is said of one that is damaged, odd or hostile."""

import io
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neardup.decoding.limits import DecodeLimits
from neardup.errors import BadInput, Misconfigured, TooManyBytes
from neardup.sources.archives import Archive, begins_archive, is_archive
from neardup.sources.files import find_images
from neardup.sources.images import BrokenImage, BytesImage
from tests.support.feeding import tar_of
from tests.support.processes import photo

MEMBERS = {"b.jpg": b"second by name", "a/1.jpg": b"x" * 1000, "a/2.jpg": b""}


class Pipe(io.RawIOBase):
    """Hands out what it has in small pieces, and cannot be wound back."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - a buffer
        data = self._file.read(min(len(buffer), 100))
        buffer[: len(data)] = data
        return len(data)


def images_of(
    data: bytes, max_bytes: int = 1 << 20, image_id: str = ""
) -> tuple[list[tuple[str, bytes]], list[str], Counter[str]]:
    """Return the images of an archive, what is said of damage, and what was passed over."""
    passed_over: Counter[str] = Counter()
    found, said = [], []
    for image in Archive(image_id, lambda: io.BufferedReader(Pipe(data)), max_bytes, passed_over):
        if isinstance(image, BrokenImage):
            said.append(f"{image.image_id}: {image.error}")
        else:
            assert isinstance(image, BytesImage)
            found.append((image.image_id, image.data))
    return found, said, passed_over


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_members_come_in_their_order_through_a_pipe(compression: str) -> None:
    data = tar_of(MEMBERS, compression)
    assert begins_archive(data[:512])
    assert images_of(data) == ([*MEMBERS.items()], [], Counter())


def test_they_are_named_below_their_archive() -> None:
    found, _, _ = images_of(tar_of({"./a.jpg": b"1", "b.jpg": b"2"}), image_id="x.tar")
    assert [name for name, _ in found] == ["x.tar/a.jpg", "x.tar/b.jpg"]


def test_a_name_is_never_a_place_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["/etc/passwd", "../../up.jpg", "a\nb.jpg", "\x1b[2Jc.jpg", "=cmd()|x.jpg", "C:\\x.jpg", "d" * 300 + ".jpg"]
    found, said, _ = images_of(tar_of(dict.fromkeys(names, b"x")))
    given_names = [name for name, _ in found]
    assert given_names == [*names[:2], r"a\x0ab.jpg", r"\x1b[2Jc.jpg", *names[4:]]
    assert said == []
    assert list(tmp_path.iterdir()) == []


def test_names_that_come_twice_are_told_apart() -> None:
    both = io.BytesIO()
    with tarfile.open(fileobj=both, mode="w") as tar:
        for content in (b"old", b"newer"):
            info = tarfile.TarInfo("a.jpg")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert images_of(both.getvalue())[0] == [("a.jpg", b"old"), ("a.jpg~2", b"newer")]


def test_what_is_no_picture_is_passed_over_and_counted() -> None:
    more = []
    for name, kind in {"l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE, "p": tarfile.FIFOTYPE, "d": tarfile.DIRTYPE}.items():
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        more.append(info)
    found, said, passed_over = images_of(
        tar_of(
            {"a.jpg": b"1", "._a.jpg": b"2", ".git/x.jpg": b"3", "__MACOSX/b.jpg": b"4", "Thumbs.db": b"5"}, more=more
        )
    )
    assert (found, said) == ([("a.jpg", b"1")], [])
    assert passed_over == {"hidden": 2, "__MACOSX": 1, "Thumbs.db": 1, "links": 2, "special files": 1}


def test_no_more_of_a_member_is_read_than_may_be() -> None:
    [image] = Archive("", lambda: io.BytesIO(tar_of({"large.jpg": bytes(5000)})), 1000, Counter())
    assert isinstance(image, BytesImage)
    assert len(image.data) == 1001
    with pytest.raises(TooManyBytes):
        image.encoded(1000)
    with pytest.raises(BadInput):
        image.pixels(None, DecodeLimits(max_bytes=1000))


def test_a_name_may_not_take_all_memory() -> None:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    data = tar_of({"a.jpg": b"1"})[:1024] + name.tobuf(tarfile.GNU_FORMAT) + bytes(4096)
    found, said, _ = images_of(data)
    assert found == [("a.jpg", b"1")]
    assert "a header of more than 1,048,576 bytes" in said[0]


def archive_of(content: bytes, **texts: str) -> bytes:
    """Return an archive of x.jpg, with texts in its header, and of y.jpg."""
    both = io.BytesIO()
    with tarfile.open(fileobj=both, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data, pax in (("x.jpg", content, texts), ("y.jpg", b"2", {})):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), pax
            tar.addfile(info, io.BytesIO(data))
    return both.getvalue()


def test_the_map_of_a_sparse_file_may_not_take_all_memory() -> None:
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x", "GNU.sparse.realsize": "9"}
    few, _, _ = images_of(archive_of(b"1\n0\n2\n".ljust(512, b"\0") + b"ab", **sparse))
    assert few == [("x", b"ab" + bytes(7)), ("y.jpg", b"2")]
    found, said, _ = images_of(archive_of(b"1000000000\n" + b"1\n" * 700_000, **sparse))
    assert found == []
    assert "a header of more than 1,048,576 bytes" in said[0]


def test_headers_that_name_headers_end_somewhere() -> None:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 5
    found, said, _ = images_of((name.tobuf(tarfile.GNU_FORMAT) + b"abcde".ljust(512, b"\0")) * 1500)
    assert (found, len(said)) == ([], 1)


@pytest.mark.parametrize("mtime", ["inf", "-inf", "nan", "1e300", "-5"])
def test_a_time_that_is_none_loses_no_picture(mtime: str) -> None:
    assert images_of(archive_of(b"1", mtime=mtime))[:2] == ([("x.jpg", b"1"), ("y.jpg", b"2")], [])


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
@pytest.mark.parametrize("at", [0.3, 0.6])
def test_where_an_archive_is_cut_off_it_says_so(compression: str, at: float) -> None:
    members = {f"{number}.jpg": photo(number) for number in range(10)}
    whole = tar_of(members, compression)
    found, said, _ = images_of(whole[: int(len(whole) * at)])
    assert found == [*members.items()][: len(found)]
    assert len(found) < 10
    assert len(said) == 1
    assert said[0].startswith("standard input: the tar archive is damaged or cut off a")


def test_an_archive_that_ends_between_members_is_cut_off_too() -> None:
    # tarfile itself takes this for the end.
    whole = tar_of({"a.jpg": b"1", "b.jpg": b"2"})
    found, said, _ = images_of(whole[:1024])
    assert found == [("a.jpg", b"1")]
    assert "cut off after 'a.jpg': there is no end mark" in said[0]


def test_damage_in_a_header_is_no_silent_end() -> None:
    whole = bytearray(tar_of({"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3"}))
    whole[1024 + 10] ^= 0xFF
    found, said, _ = images_of(bytes(whole))
    assert found == [("a.jpg", b"1")]
    assert "damaged or cut off after 'a.jpg'" in said[0]


@given(st.data())
def test_no_damage_raises(data: st.DataObject) -> None:
    compression = data.draw(st.sampled_from(["", "gz", "bz2", "xz"]))
    whole = bytearray(tar_of({"a.jpg": b"1" * 700, "b" * 150: b"2", "c.jpg": b"3"}, compression))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    found, said, _ = images_of(bytes(whole))
    assert len(said) <= 1
    assert len(found) + len(said) >= 1


def test_of_two_files_with_its_name_the_one_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(photo(1))
    (tmp_path / "empty.tgz").write_bytes(b"")
    for name in ("x.tar", "empty.tgz"):
        with pytest.raises(Misconfigured, match=f"{name}: this is no tar archive that can be read"):
            find_images([str(tmp_path / name)], archive_bytes=1 << 20)


def test_an_archive_is_known_by_its_name_where_it_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(tar_of({"a.jpg": b"1"}, "gz"))
    named = find_images([str(tmp_path / "x.tar.gz")], archive_bytes=1 << 20)
    assert named.total is None
    assert [image.image_id for image in named] == ["x.tar.gz/a.jpg"] == [image.image_id for image in named]
    within = find_images([str(tmp_path)], archive_bytes=1 << 20)
    assert [image.image_id for image in within] == ["x.tar.gz"]
    assert [image.image_id for image in find_images([str(tmp_path / "x.tar.gz")])] == ["x.tar.gz"]


def test_a_compression_that_is_not_read_is_told_with_what_to_do() -> None:
    with pytest.raises(Misconfigured, match=r"zstd -dc x\.tar\.zst \| neardup feed -"):
        is_archive("x.tar.zst")


@pytest.mark.parametrize("head", [b"", b"a.jpg\nb.jpg\n", b"x" * 512, photo(1)[:512], b"a\0b\0" * 128])
def test_what_begins_no_archive(head: bytes) -> None:
    assert not begins_archive(head)
