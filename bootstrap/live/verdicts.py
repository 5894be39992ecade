"""Members from the verdict topic."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from neardup.errors import CorruptIndex
from neardup.index.base import IndexMeta
from neardup.kafka.reading import Flags, read_topic
from neardup.relation.kept import narrowed, parts_of
from neardup.settings.kafka import KafkaConnection
from neardup.types import Descriptors, Member
from neardup.wire import UniqueVerdict, decode_unique

_NORM_SLACK = 2e-3


class NotRestorable(Exception):
    """A unique verdict that cannot be used; the message says why."""


def member_of_verdict(record: Any, meta: IndexMeta) -> tuple[Member, int] | None:  # noqa: ANN401 - kafka has no types
    """Return a verdict's member and the generation that decided; None if it is not of this index.

    Raises
    ------
    NotRestorable
        It tells of one that cannot be put back.
    """
    try:
        verdict = decode_unique(record.value, record.headers)
    except ValueError as exc:
        raise NotRestorable("the verdict cannot be read") from exc
    if verdict is None or verdict.index != meta.name:
        return None
    if verdict.fingerprint != meta.fingerprint:
        raise NotRestorable("described by another descriptor")
    return _member(verdict, meta), verdict.generation


def _member(verdict: UniqueVerdict, meta: IndexMeta) -> Member:
    try:
        member = verdict.member(meta.dimension)
    except CorruptIndex as exc:
        raise NotRestorable("the member header cannot be read") from exc
    if member is None:
        raise NotRestorable("without the member header")
    if abs(_norm(member.descriptor) - 1.0) > _NORM_SLACK:
        raise NotRestorable("the member header holds no unit vector")
    parts = meta.relation.parts
    if missing := parts & ~parts_of(member.kept):
        raise NotRestorable(f"the member header does not hold {missing}")
    return replace(member, kept=narrowed(member.kept, parts))


def _norm(descriptor: Descriptors) -> float:
    return float(np.linalg.norm(descriptor.astype(np.float64)))


def read_verdicts(
    kafka: KafkaConnection, topic: str, since_ms: int, tell: Callable[[str], object]
) -> Iterator[Sequence[Any]]:
    """Iterate over the records of the verdict topic, from a moment to where it ends now; tell what is gone of these.

    Raises
    ------
    KafkaUnavailable, Misconfigured
        It cannot be read, or is not there.
    """
    config = {
        **kafka.client_config(),
        "client_id": "neardup-repair",
        "max_partition_fetch_bytes": kafka.max_message_bytes,
    }
    return read_topic(config, topic, since_ms, flags=Flags("--verdicts-topic", "--since"), tell=tell)
