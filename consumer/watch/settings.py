"""The settings of the live view."""

from collections.abc import Iterator
from dataclasses import dataclass

from consumer.settings import KafkaSettings
from neardup.settings.kafka import dead_letters_topic_option, verdicts_topic_option
from neardup.settings.options import option, refuse
from neardup.settings.parsers import integer
from neardup.settings.subjects import RUNNING, TOPICS

LOCAL = "127.0.0.1"
PAGE_PORT = 8088
_HIGHEST_PORT = 65_535


def address(text: str) -> tuple[str, int]:
    """Parse ``HOST:PORT``, or one of both, with IPv6 in brackets."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon and port.isdecimal():
        host = LOCAL
    elif not colon:
        host, port = host or port, str(PAGE_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise ValueError(f"it should be HOST:PORT, such as {LOCAL}:{PAGE_PORT}; port 0 takes a free one")
    return host, int(port)


@dataclass(frozen=True)
class WatchSettings(KafkaSettings):
    """All settings of the live view, ``neardup watch``."""

    verdicts_topic: str = verdicts_topic_option()
    dead_letters_topic: str = dead_letters_topic_option()
    group: str = option("--group", "Kafka consumer group", "neardup", subject=TOPICS, common=True)
    page: tuple[str, int] | None = option(
        "--page",
        f"show a web page instead, on this HOST:PORT; without a value on {LOCAL}:{PAGE_PORT}",
        None,
        address,
        subject=RUNNING,
        common=True,
        bare=f"{LOCAL}:{PAGE_PORT}",
    )
    last: int = option(
        "--last",
        "how many of the outcomes that are there already are shown first, at most, of each partition",
        20,
        integer(0, 10_000),
        subject=RUNNING,
        common=True,
    )

    def check(self) -> None:
        """Refuse topics that are one and the same: each message has one meaning."""
        refuse(self._contradictions())

    def _contradictions(self) -> Iterator[str]:
        names = {"--images-topic": self.topic, "--verdicts-topic": self.verdicts_topic}
        for flag, name in names.items():
            if name == self.dead_letters_topic:
                yield f"--dead-letters-topic: {name!r} is {flag}, too"
        if self.topic == self.verdicts_topic:
            yield f"--verdicts-topic: {self.topic!r} is --images-topic, too"
