"""Members as the verdict topic tells of them: the only place of this package that knows Kafka."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from neardup.errors import CorruptIndex, KafkaUnavailable, Misconfigured
from neardup.index.base import IndexMeta
from neardup.index.codec import decode_member
from neardup.kafka_refusals import refusals_told
from neardup.settings.kafka import KafkaConnection
from neardup.types import Descriptors, Member, Verdict

MEMBER_HEADER = "member"
"""Of a unique's verdict: its record in the index, as `neardup.index.codec.encode_member` writes it."""
_TIMEOUT_MS = 10_000
_SILENCE_S = 30.0
"""After this long without a record, and not at the end, the broker counts as away."""
_BATCH = 500
_NORM_SLACK = 2e-3
_FATAL = (
    AuthorizationError,
    InvalidTopicError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)


class NotRestorable(Exception):
    """A unique's verdict that is of no use, and why in a few words."""


def member_of_verdict(record: Any, meta: IndexMeta) -> tuple[Member, int] | None:  # noqa: ANN401 - kafka has no types
    """Return the member that a verdict tells of, and the generation that decided; None if it is none of this index.

    Raises
    ------
    NotRestorable
        It tells of one that cannot be put back.
    """
    headers = dict(record.headers)
    if headers.get("verdict") != Verdict.UNIQUE.value.encode():
        return None
    try:
        document = json.loads(record.value)
        name, generation = document["index"]["name"], int(document["index"]["generation"])
        fingerprint = document["descriptor"]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise NotRestorable("the verdict cannot be read") from exc
    if name != meta.name:
        return None
    if fingerprint != meta.fingerprint:
        raise NotRestorable("described by another descriptor")
    return _member(headers.get(MEMBER_HEADER), meta), generation


def _member(stored: bytes | None, meta: IndexMeta) -> Member:
    if not stored:
        raise NotRestorable("without the member header")
    try:
        member = decode_member(stored, meta.dimension)
    except CorruptIndex as exc:
        raise NotRestorable("the member header cannot be read") from exc
    if abs(_norm(member.descriptor) - 1.0) > _NORM_SLACK:
        raise NotRestorable("the member header holds no unit vector")
    if not meta.relation.has_thumbnails:
        return replace(member, thumbnail=None)
    if member.thumbnail is None:
        raise NotRestorable("the member header holds no thumbnail")
    return member


def _norm(descriptor: Descriptors) -> float:
    return float(np.linalg.norm(descriptor.astype(np.float64)))


def read_verdicts(kafka: KafkaConnection, topic: str, since_ms: int) -> Iterator[Sequence[Any]]:
    """Iterate over the records of a topic, in batches, from a moment to where it ends now.

    Raises
    ------
    KafkaUnavailable, Misconfigured
        It cannot be read, or is not there.
    """
    consumer = _consumer(kafka)
    with _translated_errors():
        try:
            known = consumer.partitions_for_topic(topic)
            if not known:
                raise Misconfigured(f"--verdicts: there is no topic {topic!r}, or we may not describe it")
            places = [TopicPartition(topic, partition) for partition in sorted(known)]
            yield from _read(consumer, places, since_ms)
        finally:
            consumer.close()


def _read(consumer: Any, places: list[Any], since_ms: int) -> Iterator[Sequence[Any]]:  # noqa: ANN401 - as above
    consumer.assign(places)
    ends = consumer.end_offsets(places)
    first = consumer.offsets_for_times(dict.fromkeys(places, since_ms))
    for place in places:
        found = first.get(place)
        consumer.seek(place, found.offset if found else ends[place])
    heard_at = time.monotonic()
    while any(consumer.position(place) < ends[place] for place in places):
        polled = consumer.poll(timeout_ms=1000, max_records=_BATCH)
        if polled:
            heard_at = time.monotonic()
            yield [record for place, records in polled.items() for record in records if record.offset < ends[place]]
        elif time.monotonic() - heard_at > _SILENCE_S:
            raise KafkaUnavailable(f"Kafka gave nothing for {_SILENCE_S:.0f} s before the end of the topic")


def _consumer(kafka: KafkaConnection) -> Any:  # noqa: ANN401 - as above
    try:
        with refusals_told(login=kafka.security_protocol.startswith("SASL")), _translated_errors():
            return KafkaConsumer(**_config(kafka))
    except (ValueError, TypeError, AssertionError) as exc:
        raise Misconfigured(f"Kafka settings: {exc}") from exc


def _config(kafka: KafkaConnection) -> dict[str, Any]:
    return {
        **kafka.client_config(),
        "group_id": None,
        "client_id": "neardup-repair",
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "max_partition_fetch_bytes": kafka.max_message_bytes,
        "bootstrap_timeout_ms": _TIMEOUT_MS,
        "metrics_enabled": False,
    }


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except _FATAL as exc:
        raise Misconfigured(f"Kafka refused us: {type(exc).__name__}: {exc}") from exc
    except KafkaError as exc:
        raise KafkaUnavailable(f"Kafka does not serve: {type(exc).__name__}: {exc}") from exc
