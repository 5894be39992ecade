"""How far a backfill came: the place behind the latest batch that went through, and what was refused on the way."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.backfill.entries import Position, Refused
from consumer.feeding.state import StateFile

MOST_LISTED = 10_000
"""Refused lines that are remembered; the others are only counted."""
_COMMAND = "neardup backfill"
_TABLES = """
CREATE TABLE progress (listing INTEGER, fingerprint TEXT, position TEXT, published INTEGER, refused INTEGER);
CREATE TABLE pending (listing INTEGER, fingerprint TEXT, position TEXT, published INTEGER, refused INTEGER);
CREATE TABLE refusals (batch INTEGER, place TEXT, why TEXT);
CREATE TABLE done (listing INTEGER PRIMARY KEY, fingerprint TEXT);
INSERT INTO progress VALUES (0, '', 'null', 0, 0);
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is behind us.

    Attributes
    ----------
    listing
        How many listings are done.
    fingerprint, position
        Of the one that is being read, and where to go on in it; None at its beginning.
    published, refused
        How many images and lines, in all.
    """

    listing: int = 0
    fingerprint: str = ""
    position: Position | None = None
    published: int = 0
    refused: int = 0


class ProgressFile(StateFile):
    """The progress in a file.

    Parameters
    ----------
    path
        The file; see `StateFile`.
    listings
        What is read, and how.
    topic
        Where it is published.

    Raises
    ------
    Misconfigured
        As `StateFile`.
    """

    def __init__(self, path: Path, listings: str, topic: str) -> None:
        super().__init__(path, _TABLES, _of(listings, topic), _COMMAND)

    def progress(self) -> Progress:
        """Return how far it came."""
        with self._explained():
            listing, fingerprint, position, *counts = self._file.execute("SELECT * FROM progress").fetchone()
        return Progress(listing, fingerprint, json.loads(position), *counts)

    def on_its_way(self) -> int:
        """Return how many images are in a batch that was noted and not ended: only Kafka knows of them."""
        with self._explained():
            found = self._file.execute(
                "SELECT pending.published - progress.published FROM pending, progress"
            ).fetchone()
        return int(found[0]) if found else 0

    def begin(self, progress: Progress, refused: Sequence[Refused]) -> int:
        """Note how far it will be once the next batch went through, and return the batch's number."""
        with self._explained(), self._change():
            number = self._next_number()
            self._file.execute("DELETE FROM pending")
            self._file.execute("INSERT INTO pending VALUES (?, ?, ?, ?, ?)", _values(progress))
            self._list(number, refused)
        return number

    def end(self, *, went_through: bool) -> None:
        """Make what was noted of the latest batch what is known, or forget it."""
        with self._explained(), self._change():
            if went_through:
                self._file.execute("DELETE FROM progress")
                self._file.execute("INSERT INTO progress SELECT * FROM pending")
            else:
                self._file.execute("DELETE FROM refusals WHERE batch = ?", (self._number(),))
            self._file.execute("DELETE FROM pending")

    def remember(self, progress: Progress, refused: Sequence[Refused] = ()) -> None:
        """Note how far it is where nothing was published."""
        with self._explained(), self._change():
            self._list(self._next_number(), refused)
            self._file.execute("DELETE FROM progress")
            self._file.execute("INSERT INTO progress VALUES (?, ?, ?, ?, ?)", _values(progress))

    def finish(self, fingerprint: str) -> None:
        """Note that the listing that is being read is done, as it was."""
        done = self.progress()
        with self._explained():
            self._file.execute("REPLACE INTO done VALUES (?, ?)", (done.listing, fingerprint))
        self.remember(Progress(done.listing + 1, published=done.published, refused=done.refused))

    def finished(self, listing: int) -> str:
        """Return the fingerprint of a listing that is done."""
        with self._explained():
            found = self._file.execute("SELECT fingerprint FROM done WHERE listing = ?", (listing,)).fetchone()
        return str(found[0]) if found else ""

    def restart(self) -> None:
        """Forget all progress."""
        with self._explained(), self._change():
            for table in ("refusals", "pending", "done"):
                self._file.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
            self._file.execute("DELETE FROM progress")
            self._file.execute("INSERT INTO progress VALUES (?, ?, ?, ?, ?)", _values(Progress()))

    def refusals(self) -> Iterator[tuple[str, str]]:
        """Iterate over what was refused: place and reason."""
        with self._explained():
            yield from self._file.execute("SELECT place, why FROM refusals ORDER BY rowid").fetchall()

    def _list(self, number: int, refused: Sequence[Refused]) -> None:
        if refused:
            [listed] = self._file.execute("SELECT count(*) FROM refusals").fetchone()
            rows = [(number, each.place, each.why) for each in refused[: max(0, MOST_LISTED - listed)]]
            self._file.executemany("INSERT INTO refusals VALUES (?, ?, ?)", rows)


class DryProgress(ProgressFile):
    """The progress as a file has it, taken on in memory: the file stays as it is, and none is made.

    Parameters
    ----------
    path, listings, topic
        As of `ProgressFile`.

    Raises
    ------
    Misconfigured
        As `StateFile`.
    """

    def __init__(self, path: Path, listings: str, topic: str) -> None:
        self.path = path
        self._feed = _COMMAND
        self._file = sqlite3.connect(":memory:", isolation_level=None)
        try:
            with self._explained():
                if path.exists():
                    self._copy(path)
                self._open(_TABLES, _of(listings, topic))
        except BaseException:
            self._file.close()
            raise

    def _copy(self, path: Path) -> None:
        # Not mode=ro: who was killed within a change left a journal, without which the file says nothing.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0.5)) as there:
            there.execute("BEGIN")
            there.execute("SELECT 1 FROM sqlite_master")  # says that it is in use; a backup would wait for ever
            there.backup(self._file)


def _of(listings: str, topic: str) -> dict[str, str]:
    return {"listings": listings, "topic": topic}


def _values(progress: Progress) -> tuple[Any, ...]:
    position = json.dumps(progress.position)
    return progress.listing, progress.fingerprint, position, progress.published, progress.refused
