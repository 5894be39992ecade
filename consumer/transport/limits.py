"""Whether the topic of unique images takes every message that the image topic does."""

import logging
from collections.abc import Mapping
from typing import Any

from consumer.settings import ServiceSettings
from neardup.kafka.topics import largest_batch_bytes, missing_topics

_log = logging.getLogger(__name__)


def warn_of_narrow_topic(config: Mapping[str, Any], settings: ServiceSettings) -> None:
    """Warn if unique images may be too large for their topic: the first one that is would end the service.

    Parameters
    ----------
    config
        Of an admin client.
    settings
        Which topics. Nothing is said of one that is not there (yet), or whose limit the brokers keep from us.
    """
    if settings.unique_topic is None or missing_topics(config, [settings.unique_topic]):
        return
    taken, given = (largest_batch_bytes(config, topic) for topic in (settings.unique_topic, settings.topic))
    if taken is not None and given is not None and taken < given:
        _log.warning(
            "topic %r takes messages of %d bytes, topic %r of %d: a unique image that is too large for the first will "
            "end this service; raise max.message.bytes of %r to 1 MiB more than that of the other",
            *(settings.unique_topic, taken, settings.topic, given, settings.unique_topic),
        )
