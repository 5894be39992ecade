"""Parts of files: which bytes, and what is no part."""

from pathlib import Path

import pytest

from consumer.claim_checks.reader import UriReader
from consumer.claim_checks.spans import Span, divided
from neardup.errors import TooManyBytes, UriNotAllowed, UriUnreadable


@pytest.fixture
def shard(tmp_path: Path) -> str:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/0.tar").write_bytes(bytes(range(100)))
    (tmp_path / "secret").write_bytes(b"secret")
    return f"file://{tmp_path}/data/0.tar"


def test_a_part_is_these_bytes_both_ends_included(shard: str) -> None:
    with UriReader([shard.removesuffix("0.tar")], 10) as reader:  # the whole of it would be too large
        assert reader.read(f"{shard}#bytes=0-9") == bytes(range(10))
        assert reader.read(f"{shard}#bytes=99-99") == b"c"
        assert reader.read(f"{shard}#bytes=90-99") == bytes(range(90, 100))
        with pytest.raises(TooManyBytes, match="names 11 bytes; the limit is 10"):
            reader.read(f"{shard}#bytes=0-10")
        for part in ("91-100", "100-100", "999999999999999999-999999999999999999"):
            with pytest.raises(UriUnreadable, match=r"it ends before|Invalid argument"):
                reader.read(f"{shard}#bytes={part}")


@pytest.mark.parametrize(
    "part",
    [
        "",
        "5",
        "5-",
        "-5",
        "9-5",
        "0x1-5",
        "1-5,7-9",
        " 1-5",
        "01-05",
        "1-5\n",
        "1-5#bytes=1-5",
        "1-" + "9" * 40,
        "\u0663-\u0665",
    ],
)
def test_what_is_written_otherwise_is_not_allowed(shard: str, part: str) -> None:
    with UriReader([shard], 10) as reader, pytest.raises(UriNotAllowed, match="#bytes=FIRST-LAST"):
        reader.read(f"{shard}#bytes={part}")


def test_a_part_leads_nowhere_else(shard: str) -> None:
    folder = shard.removesuffix("0.tar")
    with UriReader([folder], 10) as reader:
        for address in (f"{folder}../secret", "file:///etc/passwd", "http://host/x", "#bytes=0-5"):
            with pytest.raises(UriNotAllowed):
                reader.read(f"{address}#bytes=0-5")


def test_a_uri_is_divided_once() -> None:
    assert divided("s3://bucket/a.jpg") == ("s3://bucket/a.jpg", None)
    assert divided("s3://bucket/a.tar#bytes=512-612") == ("s3://bucket/a.tar", Span(512, 612))
    assert Span(512, 612).fragment == "#bytes=512-612"
    assert Span(512, 612).size_bytes == 101
