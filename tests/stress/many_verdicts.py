"""A report of very many verdicts: ``python -m tests.stress.many_verdicts 1000000``, by ``make report-check``.

The verdicts are made up, and name a few real pictures over and over. The report is written by the command line.
"""

import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neardup.cli import main as neardup
from neardup.report.writing import LARGEST_BYTES
from tests.support.processes import photo
from tests.support.report_sources import document_in
from tests.support.verdict_lines import RADIUS, duplicate, line, unique

_PICTURES = 500
_EVERY = 5
"""One of so many is a duplicate."""


def write_verdicts(folder: Path, count: int) -> Path:
    """Write so many verdicts of a run in folder mode, and the pictures that they name."""
    for number in range(_PICTURES):
        (folder / f"{number}.jpg").write_bytes(photo(number))
    path = folder / "verdicts.jsonl"
    with path.open("wb") as file:
        file.writelines(_lines(folder, count))
    return path


def _lines(folder: Path, count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    now_ms = int(time.time() * 1000) + 1000
    source = {"topic": "files", "partition": 0, "offset": 0, "timestamp": now_ms}
    # Made of two templates: to make JSON of each would take longer than the report.
    one = line(unique(0, "files", image_id="NAME", uri="URI", distance=-1, source=source))
    other = line(duplicate(0, 0, "files", image_id="NAME", uri="URI", distance=-1, source=source, duplicate_of="OTHER"))
    uris = [(folder / f"{number}.jpg").as_uri().encode() for number in range(_PICTURES)]
    distances = rng.uniform(size=count).tolist()
    others = (rng.uniform(size=count) ** 2).tolist()
    for number, (share, of) in enumerate(zip(distances, others, strict=True)):
        is_duplicate = number % _EVERY == _EVERY - 1
        text = other if is_duplicate else one
        distance = RADIUS * share if is_duplicate else RADIUS + 1e-9 + share
        if is_duplicate:
            text = text.replace(b"OTHER", _name(_unique_before(number, of)).encode())
        text = text.replace(b'"distance":-1', f'"distance":{distance}'.encode())
        yield text.replace(b"NAME", _name(number).encode()).replace(b"URI", uris[number % _PICTURES]) + b"\n"


def _unique_before(number: int, share: float) -> int:
    """Return a unique image before a duplicate."""
    of = int(share * number)
    return of - 1 if of % _EVERY == _EVERY - 1 else of


def _name(number: int) -> str:
    return f"camera {number % 97:02}/2026-01/{number:07}.jpg"


def check(count: int) -> str:
    """Write a report of so many verdicts, look at it, and return what it came to."""
    with tempfile.TemporaryDirectory() as folder:
        verdicts, page = write_verdicts(Path(folder), count), Path(folder) / "report.html"
        begun = time.monotonic()
        code = neardup(["report", str(verdicts), "--output", str(page)], {})
        took_s = time.monotonic() - begun
        assert code == 0
        size, document = page.stat().st_size, document_in(page)
    duplicates = count // _EVERY
    assert document["counts"] == {"images": count, "unique": count - duplicates, "duplicate": duplicates, "bad": 0}
    histogram = document["histogram"]
    assert sum(histogram["counts"]) + histogram["beyond"] == count
    shown = len(document["images"]["name"])
    assert size <= LARGEST_BYTES, f"{size} bytes"
    assert document["sampled"] == ({"shown": shown, "of": count} if shown < count else None)
    thumbs = len(document["thumbs"])
    assert thumbs >= min(count, 1000)
    assert re.search(r"\d+ of \d+ images shown have a thumbnail", json.dumps(document["notes"])) or thumbs == shown
    most_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told = f"{count} verdicts: {shown} shown, {thumbs} thumbnails, {size / 1e6:.1f} MB, in {took_s:.0f} s"
    return f"{told}, with up to {most_mib} MiB of memory"


if __name__ == "__main__":
    sys.stdout.write(f"{check(int(sys.argv[1]))}\n")
