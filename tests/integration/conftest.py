"""What the tests on a real Redis share."""

import uuid
from collections.abc import Iterator

import pytest
import redis

from neardup.index.stored.connection import connect
from tests.support.live_index import remove_keys


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as opened:
        yield opened


@pytest.fixture
def name(client: redis.Redis) -> Iterator[str]:
    """Name of an index of this test's own."""
    chosen = f"test-{uuid.uuid4().hex}"
    yield chosen
    remove_keys(client, chosen)
