"""Made-up sources of reports."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from neardup.report.entry import About, Bad, Entry, Judged, Kind, Missing, Place, Read

RADIUS = 0.36


def judged(
    name: str, of: str | None = None, distance: float | None = None, *, ruled_out: bool = False, cluster: int = -1
) -> Judged:
    """Return an image as a source knows it; a duplicate, if it says of which."""
    entry = Entry(name, name, of is not None, of, of, distance, cluster, "", None, None, Place())
    return Judged(entry, RADIUS, "no-such-descriptor", is_ruled_out=ruled_out)


@dataclass(frozen=True)
class Made:
    """A source of these."""

    all: Sequence[Judged | Bad] = ()
    data: dict[str, bytes] = field(default_factory=dict)
    rule: frozenset[str] = frozenset()
    about: About = field(default_factory=lambda: About(Kind.BOOTSTRAP, "made up"))

    def read(self) -> Iterator[Judged | Bad]:
        return iter(self.all)

    def notes(self) -> Sequence[str]:
        return ["made up"]

    def kept(self) -> frozenset[str]:
        return self.rule

    def images(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Read]]:
        for entry in entries:
            yield entry, partial(self._read, entry.name)

    def _read(self, name: str) -> bytes | Exception:
        return self.data.get(name) or Missing("made up without a picture")


def document_in(page: Path) -> dict[str, Any]:
    """Return the document that a page was made of."""
    found = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found
    document: dict[str, Any] = json.loads(found[1])
    return document
