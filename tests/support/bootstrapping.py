"""The batch job as a function: its settings, a seed set, and all that it stored."""

import json
from pathlib import Path

import redis

from bootstrap.settings import Settings
from neardup.index.stored.keys import IndexKeys
from tests.support.processes import photo

SCENES = 90


def twice_each(folder: Path) -> Path:
    """Fill a folder with pictures of so many scenes, each twice, and files that are none; return it."""
    for number in range(SCENES):
        (folder / f"{number:03d}.jpg").write_bytes(photo(number))
        (folder / f"{number:03d}-again.jpg").write_bytes(photo(number, 60))
    (folder / "broken.jpg").write_bytes(photo(0)[:900])
    (folder / "empty.png").touch()
    return folder


def settings(client: redis.Redis, index: str, seeds: Path, **others: object) -> Settings:
    connection = client.connection_pool.connection_kwargs
    url = f"redis://{connection['host']}:{connection['port']}/{connection['db']}"
    return Settings(seeds=(str(seeds),), redis_url=url, index=index, radius=0.2, clusters=20, **others)  # type: ignore[arg-type]


def content(client: redis.Redis, index: str) -> dict[str, object]:
    """Return all that an index stores, but for its name and the time at which it was built."""
    found: dict[str, object] = {}
    for key in sorted(client.scan_iter(match=IndexKeys(index).pattern)):
        kind = client.type(key)
        if kind == b"string":
            value: object = client.get(key)
        elif kind == b"list":
            value = client.lrange(key, 0, -1)
        elif kind == b"set":
            value = sorted(client.smembers(key))
        else:
            raise AssertionError(f"{key!r} is a {kind!r}")
        name = key.decode().replace(index, "")
        if name.endswith(":meta"):
            value = {field: each for field, each in json.loads(value).items() if field not in {"name", "created_at"}}  # type: ignore[arg-type]
        found[name] = value
    return found
