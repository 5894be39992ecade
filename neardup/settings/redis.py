"""Settings to reach an index in Redis, shared by every command that does."""

from dataclasses import dataclass

from neardup.settings.options import option
from neardup.settings.subjects import REDIS


@dataclass(frozen=True)
class RedisSettings:
    """Which index, and where; shared by every command that has one."""

    redis_url: str = option(
        "--redis",
        "Redis, as redis://, rediss:// (TLS) or unix:// URL; redis+cluster:// for a cluster, redis+sentinel:// where "
        "Sentinel names the primary (rediss+ for TLS)",
        "redis://127.0.0.1:6379/0",
        subject=REDIS,
        common=True,
        env="NEARDUP_REDIS_URL",
        secret=True,
    )
    redis_password: str | None = option(
        "--redis-password",
        "password for Redis, if the URL has none",
        None,
        subject=REDIS,
        secret=True,
    )
    index: str = option("--index", "name of the index in Redis", "default", subject=REDIS, common=True)
