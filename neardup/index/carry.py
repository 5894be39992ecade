"""Carries members of the live generation over into the next one, while consumers keep adding to it."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from neardup.errors import CorruptIndex, IndexMismatch, Misconfigured
from neardup.index.base import IndexMeta
from neardup.index.live import Live, find_live, read_splits
from neardup.index.stored.codec import decode_member, head_key, split_record
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.events import Appended, Event, Rewritten, Split
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.scripts import FellBehind, GenerationChanged, GenerationScripts, Position
from neardup.relation.kept import Parts
from neardup.types import Member

_PAGE = 64
_MISSING = {
    Parts.THUMBNAIL: "its members have no thumbnails, which local change compares",
    Parts.LOOK: "its members have no looks, which a second look compares",
    Parts.THUMBNAIL | Parts.LOOK: "its members have neither thumbnails nor looks, which it would compare",
}


@dataclass(frozen=True, slots=True)
class News:
    """What has changed among the members of the generation before.

    Attributes
    ----------
    added
        Members not told of before.
    removed
        Keys of members told of before that were removed on request.
    """

    added: list[Member] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def followed_by(self, later: "News") -> "News":
        """Return both as one."""
        gone, known = set(later.removed), {member.key for member in self.added}
        stayed = [member for member in self.added if member.key not in gone]
        return News(stayed + later.added, self.removed + [key for key in later.removed if key not in known])


class Predecessor:
    """What a new generation replaces: the live generation, or nothing.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index.
    meta
        Of the live generation; None when there is none.
    progress
        Told how many members were read since the last call.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        meta: IndexMeta | None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._client: Any = client
        self._keys = IndexKeys(name)
        self.meta = meta
        self.generation = meta.generation if meta else 0
        self._scripts = GenerationScripts(client, self._keys, self.generation)
        self._progress = progress
        self._position: Position | None = None
        self._known: set[bytes] = set()

    @property
    def position(self) -> Position:
        """How far `news` has followed its events."""
        return self._position or Position(0)

    @property
    def keys(self) -> AbstractSet[bytes]:
        """Keys of the members that there are, as far as `news` has told of them."""
        return self._known

    def skip(self) -> None:
        """Carry nothing over of what there is by now; what comes later is news.

        Raises
        ------
        Misconfigured
            Another generation is live now.
        """
        if self.meta is None:
            return
        try:
            self._position = self._scripts.latest()
        except GenerationChanged:
            raise Misconfigured(another_finished(self._keys.name)) from None

    def news(self) -> News:
        """Return what was not returned before: first all members, then what was committed or removed since.

        Raises
        ------
        Misconfigured
            Another generation is live now: members would be missing.
        CorruptIndex
            A record is invalid.
        """
        if self.meta is None:
            return News()
        try:
            return self._read_news()
        except GenerationChanged:
            raise Misconfigured(another_finished(self._keys.name)) from None
        except CorruptIndex as exc:
            raise CorruptIndex(f"{exc}; it cannot be carried over: repair the index, or start afresh") from exc

    def _read_news(self) -> News:
        if self._position is None:
            return self._read_all()
        try:
            events = self._scripts.new_events(self._position)
        except FellBehind:
            return self._read_again()
        return self._told(events).followed_by(News(self._read_cells(_moved(events))))

    def _told(self, events: Iterable[Event]) -> News:
        added: dict[bytes, Member] = {}
        removed: list[str] = []
        for event in events:
            if isinstance(event, Appended):
                added |= {member.key.encode(): member for member in self._unknown([event.record])}
            elif isinstance(event, Rewritten):
                for key in self._known.intersection(event.removed):
                    self._known.remove(key)
                    if added.pop(key, None) is None:
                        removed.append(key.decode())
        return News(list(added.values()), removed)

    def _read_all(self) -> News:
        # The position comes first: what happens while the members are read is followed up afterwards, by key.
        self._position = self._scripts.latest()
        meta = cast("IndexMeta", self.meta)
        with translated_errors():
            splits = int(self._client.llen(self._keys.splits(meta.generation)))
        return News(self._read_cells(range(meta.clusters + 2 * splits))).followed_by(self._read_news())

    def _read_again(self) -> News:
        """Return how the members differ from those told of before, when the log no longer says it."""
        before, self._known = self._known, set()
        news = self._read_all()
        added = [member for member in news.added if member.key.encode() not in before]
        return News(added, [key.decode() for key in before - self._known])

    def _read_cells(self, cells: Iterable[int]) -> list[Member]:
        found: list[Member] = []
        wanted = list(cells)
        for start in range(0, len(wanted), _PAGE):
            with translated_errors():
                pipeline = self._client.pipeline(transaction=False)
                for cell in wanted[start : start + _PAGE]:
                    pipeline.lrange(self._keys.cell(self.generation, cell), 0, -1)
                for records in pipeline.execute():
                    found += self._unknown(records)
                    self._progress(len(records))
        return found

    def _unknown(self, records: Iterable[bytes]) -> list[Member]:
        dimension = cast("IndexMeta", self.meta).dimension
        found = []
        for record in records:
            key = head_key(split_record(record, dimension)[0])
            if key not in self._known:
                self._known.add(key)
                found.append(decode_member(record, dimension))
        return found


def _moved(events: Iterable[Event]) -> list[int]:
    """Return the cells whose members may have been elsewhere when the cells were read."""
    cells: dict[int, None] = {}
    for event in events:
        if isinstance(event, Split):
            cells |= {event.low: None, event.high: None}
        elif isinstance(event, Rewritten):
            cells[event.cell] = None
    return list(cells)


def another_finished(name: str) -> str:
    """Return the message for a bootstrap that finished too late."""
    return f"another bootstrap of index {name!r} finished while this one ran, or a rollback did: it stays as it is now"


def find_predecessor(client: redis.Redis, name: str, fingerprint: str, parts: Parts = Parts.NOTHING) -> Predecessor:
    """Return what is live, to carry its members over.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index.
    fingerprint
        Of the next generation's descriptor; descriptors of another cannot be compared with its own.
    parts
        What the next generation needs of each member besides its descriptor; what was not kept cannot be made.

    Raises
    ------
    IndexMismatch
        They cannot be carried over, or another version of neardup wrote them.
    CorruptIndex
        The live generation cannot be read: only ``--fresh`` replaces it.
    """
    live = find_whole(client, name)
    if live is None:
        return Predecessor(client, name, None)
    check_carrying(live.meta, fingerprint, parts)
    return Predecessor(client, name, live.meta)


def check_carrying(meta: IndexMeta, fingerprint: str, parts: Parts) -> None:
    """Refuse a generation whose members another one cannot have.

    Parameters
    ----------
    meta
        Of the generation that has them.
    fingerprint, parts
        Of the other one, as in `find_predecessor`.

    Raises
    ------
    IndexMismatch
        They were described in another way, or lack what is compared.
    """
    meta.check_descriptor(fingerprint)
    missing = parts & ~meta.relation.parts
    if missing:
        raise IndexMismatch(_MISSING[missing])


def find_whole(client: redis.Redis, name: str) -> Live | None:
    """Return the head of the live generation, as `find_live`; the splits, which tell its cells, are in order."""
    live = find_live(client, name)
    if live is not None:
        read_splits(client, live)
    return live
