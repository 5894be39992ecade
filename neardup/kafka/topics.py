"""What the brokers say of a topic, asked by an admin client: its question never creates the topic."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import LeaderNotAvailableError, NoError, UnknownTopicOrPartitionError, for_code

from neardup.kafka.client import Client
from neardup.kafka.errors import translated_errors

_LIMIT = "max.message.bytes"


def missing_topics(config: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return which of the topics do not exist.

    Parameters
    ----------
    config
        Of any of our clients: how to reach Kafka. What an admin client does not know is left out.
    names
        Topics; none is created, whatever the brokers do by themselves.

    Raises
    ------
    KafkaUnavailable
        No broker answers.
    Misconfigured
        We may not describe one of them, or its name cannot be one.
    """
    with _admin(config) as admin:
        found = {topic["name"]: for_code(topic["error_code"]) for topic in admin.describe_topics(list(names))}
        for name in names:
            # A topic that was just created has no leader yet.
            if found[name] not in {NoError, LeaderNotAvailableError, UnknownTopicOrPartitionError}:
                raise found[name](f"topic {name!r}")
    return [name for name in names if found[name] is UnknownTopicOrPartitionError]


def largest_batch_bytes(config: Mapping[str, Any], name: str) -> int | None:
    """Return the topic's ``max.message.bytes``; None where the brokers keep it from us (right DescribeConfigs).

    Brokers hold it against a batch as it is written: a message has its headers and some 70 bytes more.

    Raises
    ------
    KafkaUnavailable, Misconfigured
        As `missing_topics`.
    """
    with _admin(config) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, name, [_LIMIT])
        found = admin.describe_configs([resource], config_filter="all")["topic"][name]
    return int(found[_LIMIT]["value"]) if _LIMIT in found else None


@contextmanager
def _admin(config: Mapping[str, Any]) -> Iterator[Any]:
    known = {name: value for name, value in config.items() if name in KafkaAdminClient.DEFAULT_CONFIG}
    client = Client(KafkaAdminClient, lambda: known)
    with translated_errors(), closing(client.get()) as admin:
        yield admin
