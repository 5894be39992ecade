"""The steps of a decider: from messages of the descriptor topic to verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from consumer.handler import Described, Judge, Outcome
from consumer.messages import ImageMessage, checked_id
from neardup.errors import BadDescription, BadInput, IndexMismatch, Misconfigured, RelationMismatch
from neardup.index.base import Index, IndexMeta, require_fit
from neardup.relation.rule import Relation
from neardup.types import Query
from neardup.wire_described import DescribedImage, decode_described, made_for

_Item = tuple[ImageMessage, str | None, Query | BadInput]


@dataclass(frozen=True, slots=True)
class Read(Described):
    """A batch that was read; the messages are those of the images.

    Attributes
    ----------
    came_in
        The messages that were read, in the same order.
    made_for
        What its images were described for, each with the key of the first of them.
    """

    came_in: Sequence[ImageMessage] = ()
    made_for: Mapping[str, str] = field(default_factory=dict)


class DecidingSteps:
    """Reads described images, and has the index decide; see `consumer.handler.Steps`.

    Parameters
    ----------
    index
        The index.
    judge
        Decides by it.
    """

    has_idle = True

    def __init__(self, index: Index, judge: Judge) -> None:
        self._index = index
        self._judge = judge

    def describe(self, messages: Sequence[ImageMessage]) -> Read:
        """Read a batch.

        Raises
        ------
        Misconfigured
            A message was written by another version of neardup.
        """
        read = [_read(message) for message in messages]
        keys = {each.made_for: each.query.key for each in reversed(read) if isinstance(each, DescribedImage)}
        return Read(tuple(map(_item, messages, read)), came_in=messages, made_for=keys)

    def decide(self, described: Described) -> list[Outcome]:
        """Let the index decide the batch.

        Raises
        ------
        IndexMismatch
            An image was described for another descriptor, or another relation, than the index has.
        RedisUnavailable
            Call again: what was decided stays decided.
        """
        read = cast("Read", described)  # what we have read
        if read.made_for.keys() - {made_for(self._index.meta)}:
            self._index.stats()  # follows the index: they may be for a generation that we have not heard of
            self._refuse_others(read)
        try:
            return self._judge.decide(_fitting(read, self._index.meta))
        except RelationMismatch:
            # Another generation has come meanwhile.
            self._refuse_others(read)
            raise

    def _refuse_others(self, read: Read) -> None:
        meta = self._index.meta
        wanted = made_for(meta)
        for made, key in read.made_for.items():
            if made != wanted:
                raise IndexMismatch(
                    f"{key} was described for {made}, but index {meta.name!r}, generation {meta.generation}, compares "
                    f"{wanted}: let describers of this index describe it again, and move this group's offset past "
                    "what was described before; or bring back the index that it was described for, with "
                    "neardup index rollback"
                )


def _read(message: ImageMessage) -> DescribedImage | BadInput:
    try:
        image = decode_described(message.value)
        checked_id(image.query.image_id)
    except BadInput as error:
        return error
    return image


def _item(message: ImageMessage, read: DescribedImage | BadInput) -> _Item:
    if isinstance(read, BadInput):
        return message, None, read
    source = read.source
    place = (source.topic, source.partition, source.offset, source.timestamp_ms)
    return ImageMessage(*place, source.key, None, read.passed), read.uri, read.query


def _fitting(read: Read, meta: IndexMeta) -> Read:
    """Return the batch with what does not hold what it was described for as bad, in the message that it came in."""
    relation, items = meta.relation, []
    for item, message in zip(read.items, read.came_in, strict=True):
        wrong = _misfit(item[2], meta.dimension, relation)
        items.append(item if wrong is None else (message, None, wrong))
    return replace(read, items=tuple(items))


def _misfit(query: Query | BadInput, dimension: int, relation: Relation) -> BadDescription | None:
    if isinstance(query, BadInput):
        return None
    if len(query.descriptor) != dimension:
        return BadDescription(f"a described image has {len(query.descriptor)} numbers, not {dimension}")
    try:
        require_fit([query], relation)
    except Misconfigured as error:
        return BadDescription(str(error))
    return None
