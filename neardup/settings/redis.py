"""How to reach Redis, as settings: one declaration for every command that does."""

from typing import Any

from neardup.settings.options import option


def redis_url_option() -> Any:  # noqa: ANN401 - stands where a field's default stands, as `option` does
    """Declare the field `redis_url` of a settings dataclass."""
    return option(
        "--redis",
        "Redis, as redis://, rediss:// (TLS) or unix:// URL; redis+cluster:// and rediss+cluster:// for a cluster",
        "redis://127.0.0.1:6379/0",
        env="NEARDUP_REDIS_URL",
        secret=True,
    )


def redis_password_option() -> Any:  # noqa: ANN401 - as above
    """Declare the field `redis_password` of a settings dataclass."""
    return option(
        "--redis-password", "password for Redis, when the URL holds the user alone or nobody", None, secret=True
    )
