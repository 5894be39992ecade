"""CSV files with rows that are not what they seem: quotes that are not closed, and more columns than the header."""

import csv
import io
import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.backfill.entries import Entry, Step
from tests.unit.consumer.backfill.test_listings import listed, refused, steps_of, uris

UNCLOSED = "a quote that it opens is not closed"
MISSING = "a quote may be missing"


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def told(path: Path, steps: list[Step]) -> list[tuple[int, str]]:
    """Return the lines that are refused, and why."""
    return [(int(place.removeprefix(f"{path}, line ")), why) for place, why in refused(steps)]


def goes_on(path: Path) -> bool:
    """Return whether a table goes on behind any of its entries."""
    [listing] = listed(path)
    steps = [*listing.steps(None)]
    return all(
        [*listing.steps(json.loads(json.dumps(step.position)))] == steps[at + 1 :] for at, step in enumerate(steps)
    )


ROWS = [f"https://ex.org/{number:05d}.jpg,caption {number}" for number in range(10_000)]


@pytest.mark.parametrize("quoted", [0, 1])
def test_a_quote_that_is_not_closed_costs_one_row(tmp_path: Path, quoted: int) -> None:
    rows = [",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS] if quoted else [*ROWS]
    rows[100] = '"https://ex.org/00100.jpg,caption' if quoted else 'https://ex.org/00100.jpg,"caption'
    path = written(tmp_path / "big.csv", ["uri,caption", *rows])
    steps = steps_of(path)
    assert uris(steps) == [row.split(",")[0] for row in ROWS if "00100" not in row]
    assert told(path, steps) == [(102, UNCLOSED)]


@pytest.mark.parametrize("behind", ["c.jpg,three", 'c.jpg,"three"', '"c.jpg",three', 'c.jpg,""', "c.jpg,"])
def test_the_row_behind_an_open_quote_is_published(tmp_path: Path, behind: str) -> None:
    for opening in ('b.jpg,"two', '"b.jpg,two', '"b.jpg', 'b.jpg,"', 'b.jpg,"two""'):
        path = written(tmp_path / "list.csv", ["uri,text", "a.jpg,one", opening, behind])
        steps = steps_of(path)
        assert uris(steps) == [f"file://{tmp_path}/{name}.jpg" for name in "ac"]
        assert told(path, steps) == [(3, UNCLOSED)]
        assert goes_on(path)


def test_many_open_quotes_cost_their_rows(tmp_path: Path) -> None:
    rows = [f'{row},"' if at % 3 == 1 else f"{row}," for at, row in enumerate(ROWS[:200])]
    path = written(tmp_path / "list.csv", ["uri,caption,more", *rows])
    steps = steps_of(path)
    assert {uri.rpartition("/")[2] for uri in uris(steps)} <= {f"{at:05d}.jpg" for at in range(200) if at % 3 != 1}
    assert len(steps) == 200
    assert goes_on(path)


def test_a_row_whose_quote_is_closed_by_another_row_is_refused_with_all_its_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path / "list.csv",
        ["uri,text", 'https://ex.org/1.jpg,"12', "https://ex.org/2.jpg,13", 'https://ex.org/3.jpg,5"', "4.jpg,7"],
    )
    steps = steps_of(path)
    assert uris(steps) == [f"file://{tmp_path}/4.jpg"]
    why = f"another row stands within a value of it; {MISSING}"
    assert told(path, steps) == [
        (2, why),
        *((number, f"it is part of the row that line 2 begins: {why}") for number in (3, 4)),
    ]
    assert goes_on(path)


def test_no_rest_of_a_broken_value_is_taken_for_a_name(tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", ["uri", '"a', 'b"', '"c', 'd"x', 'say "e".jpg', '"say ""f"".jpg"'])
    steps = steps_of(path)
    assert uris(steps) == [f"file://{tmp_path}/say%20%22f%22.jpg"]
    assert [number for number, _ in told(path, steps)] == [2, 3, 4, 5, 6]
    assert told(path, steps)[-1][1] == "its URI has a quote that is not doubled"
    assert goes_on(path)


def test_values_may_have_line_breaks_where_they_are_no_names(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(
        b'text,uri,id\r\n"one\r\n\r\ntwo, ""three""\r\n",1.jpg,a\r\n"x\ny",2.jpg,b\n"see\nhttps://ex.org/3\n","\n3.jpg\n",c\n'
        b'z,4.jpg,"d\ne"\nz,5.jpg,f\n'
    )
    steps = steps_of(path)
    assert [step.image_id for step in steps if isinstance(step, Entry)] == ["a", "b", "c", "f"]
    assert uris(steps) == [f"file://{tmp_path}/{number}.jpg" for number in (1, 2, 3, 5)]
    assert [number for number, _ in told(path, steps)] == [13, 14]
    assert goes_on(path)


def test_a_row_over_lines_is_read_no_further_than_a_value_may_be_long(tmp_path: Path) -> None:
    breaks = ['"' + "x" * 1000, *["y" * 1000 for _ in range(140)], 'z",1.jpg', '"fits', 'well",2.jpg']
    long = "x" * (2 << 20)
    path = written(tmp_path / "list.csv", ["text,uri", *breaks, f'{long},3.jpg"', ",4.jpg", ',"5.jpg', long, "6,6.jpg"])
    steps = steps_of(path)
    assert uris(steps) == [f"file://{tmp_path}/{number}.jpg" for number in (1, 2, 4, 6)]
    reasons = told(path, steps)
    assert reasons[0] == (2, UNCLOSED)
    assert reasons[1:141] == [(number, "it has 1 column, the header 2") for number in range(3, 143)]
    too_long = "it has more than 1,048,576 bytes"
    assert reasons[141:] == [(146, too_long), (148, UNCLOSED), (149, too_long)]


@pytest.mark.parametrize(
    ("head", "row", "columns"),
    [
        ("uri,id", "https://ex.org/a,b.jpg,2", "3 columns, the header 2"),
        ("uri", "https://ex.org/a,b.jpg", "2 columns, the header 1"),
        ("uri,id", "https://ex.org/a.jpg,2,", "3 columns, the header 2"),
        ("id;uri", "2;https://ex.org/a;b.jpg", "3 columns, the header 2"),
        ("id,uri", "https://ex.org/a.jpg", "1 column, the header 2"),
    ],
)
def test_a_row_with_more_columns_than_the_header_or_without_that_of_the_uri_is_refused(
    tmp_path: Path, head: str, row: str, columns: str
) -> None:
    path = written(tmp_path / "list.csv", [head, row])
    steps = steps_of(path)
    assert uris(steps) == []
    assert told(path, steps) == [(2, f"it has {columns}")]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (';,",https://ex.org/0.jpg,",;"', "it has an odd number of quotes"),
        ('x,"https://ex.org/0.jpg,"\n', "it has 2 columns, the header 3"),
        ('5" disc,https://ex.org/0.jpg,', ""),
        ('"5"" disc",https://ex.org/0.jpg,', ""),
        ('the "best",https://ex.org/0.jpg,', ""),
    ],
)
def test_quotes_have_to_match_where_a_value_is_quoted(tmp_path: Path, row: str, why: str) -> None:
    path = written(tmp_path / "list.csv", ["text,uri,more", row])
    steps = steps_of(path)
    assert uris(steps) == ([] if why else ["https://ex.org/0.jpg"])
    assert told(path, steps) == ([(2, why)] if why else [])


def test_a_row_may_end_before_columns_that_would_be_empty(tmp_path: Path) -> None:
    steps = steps_of(written(tmp_path / "list.csv", ["uri,id,captured_at", "https://ex.org/a.jpg"]))
    assert uris(steps) == ["https://ex.org/a.jpg"]


TEXTS = st.text('ab ,;"', max_size=12) | st.text('ab ;"\n', max_size=12)
"""None with commas and line breaks: without its quote such a one may stand for any rows."""


@given(st.lists(TEXTS, max_size=12), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.data())
def test_a_lost_quote_publishes_no_name_that_was_not_there(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], quoting: Literal[0, 1], data: st.DataObject
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, quoting=quoting, lineterminator="\n")
    writer.writerow(["text", "uri", "more"])
    wanted = [f"https://ex.org/{number}.jpg" for number in range(len(texts))]
    writer.writerows([text, uri, text[::-1]] for text, uri in zip(texts, wanted, strict=True))
    path = tmp_path_factory.mktemp("quotes") / "list.csv"
    path.write_text(file.getvalue())
    assert uris(steps_of(path)) == wanted
    head, _, body = file.getvalue().partition("\n")
    quotes = [at for at, character in enumerate(body) if character == '"']
    if quotes:
        lost = data.draw(st.sampled_from(quotes))
        path.write_text(f"{head}\n{body[:lost]}{body[lost + 1 :]}")
        assert set(uris(steps_of(path))) <= set(wanted)
        assert goes_on(path)
