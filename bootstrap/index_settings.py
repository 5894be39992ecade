"""What the tools for a live index can be told."""

from dataclasses import dataclass

from neardup.settings.kafka import KafkaConnection
from neardup.settings.options import option, refuse
from neardup.settings.parsers import duration_or_off, integer, one_of
from neardup.settings.redis import redis_password_option, redis_url_option

COMMANDS = ("stats", "show", "neighbours", "verify", "repair")
_WITH_TARGET = {"show": "an image id or a key", "neighbours": "an image file"}
_MILLION = 1_000_000


def duration(text: str) -> str:
    """Return a time such as ``24h`` as it is; refuse what is none."""
    try:
        seconds = duration_or_off(text)
    except ValueError:
        seconds = None
    if seconds is None:
        raise ValueError("it should be a whole number with s, m, h or d, such as 24h")
    return text


@dataclass(frozen=True, kw_only=True)
class IndexSettings(KafkaConnection):
    """All settings of ``python -m bootstrap.index``; those of Kafka are for ``repair``."""

    command: str = option("COMMAND", "stats, show, neighbours, verify or repair", parse=one_of(*COMMANDS))
    target: str | None = option("TARGET", "show: an image id or a key; neighbours: an image file", None)
    redis_url: str = redis_url_option()
    redis_password: str | None = redis_password_option()
    index: str = option("--index", "name of the index in Redis", "default")
    as_json: bool = option("--json", "print one JSON document in place of lines", default=False)
    limit: int = option("--limit", "neighbours: how many members to list", 10, integer(1, 10_000))
    descriptor: str | None = option(
        "--descriptor", "neighbours: file:PATH when the model of the index lies elsewhere on this machine", None
    )
    weights: str | None = option(
        "--weights", "neighbours: weights file of the index's descriptor, when it has weights", None
    )
    sample: int | None = option(
        "--sample",
        "verify: compare this many members with all others, in place of every member",
        None,
        integer(1, _MILLION),
    )
    max_cluster: int = option(
        "--max-cluster",
        "verify: members above which a cluster is called large; repair: above which it is divided",
        300,
        integer(2, _MILLION),
    )
    retention_s: int | None = option(
        "--retention",
        "how long a member counts, as the consumers are told: 90m, 12h, 30d (default: off)",
        None,
        duration_or_off,
        env="NEARDUP_RETENTION",
    )
    verdicts: str = option("--verdicts", "repair: topic of the verdicts", "verdicts")
    since: str = option("--since", "repair: how far back to read the verdicts: 30m, 24h, 7d", "24h", duration)
    dry_run: bool = option("--dry-run", "repair: only say what would be done", default=False)

    @property
    def since_s(self) -> int:
        """How far back to read the verdicts, in seconds."""
        return duration_or_off(self.since) or 0

    def check(self) -> None:
        """Refuse settings that contradict one another.

        Raises
        ------
        Misconfigured
            With every contradiction, a line each.
        """
        refuse(self._contradictions_of_command())

    def _contradictions_of_command(self) -> list[str]:
        wrong = []
        wanted = _WITH_TARGET.get(self.command)
        if wanted and not self.target:
            wrong.append(f"TARGET: {self.command} needs {wanted}")
        if self.target and not wanted:
            wrong.append(f"TARGET: {self.command} takes none, got {self.target!r}")
        if self.sample is not None and self.command != "verify":
            wrong.append(f"--sample: does not go together with {self.command}")
        if self.dry_run and self.command != "repair":
            wrong.append(f"--dry-run: does not go together with {self.command}")
        return wrong
