"""What a describer follows of an index: the head of its live generation."""

import pytest

from consumer.roles.head import LiveHead
from neardup.errors import IndexMismatch
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.relation.rule import Relation
from tests.support.indexes import RADIUS, build_generation, new_name

pytestmark = pytest.mark.redis


@pytest.fixture
def name() -> str:
    return new_name()


def test_another_generation_is_taken_up(redis_url: str, name: str) -> None:
    client = connect(redis_url)
    build_generation(client, name)
    head = LiveHead(client, name)
    build_generation(client, name, relation=Relation(RADIUS, local_change=9.0))
    assert (head.meta.generation, head.meta.relation.local_change) == (1, None)
    head.follow()
    assert (head.meta.generation, head.meta.relation.local_change) == (2, 9.0)


def test_one_of_the_same_number_is_taken_up_where_redis_was_emptied(redis_url: str, name: str) -> None:
    client = connect(redis_url)
    build_generation(client, name)
    head = LiveHead(client, name)
    for key in client.scan_iter(match=IndexKeys(name).pattern):
        client.delete(key)
    build_generation(client, name, relation=Relation(RADIUS, local_change=9.0))
    head.follow()
    assert (head.meta.generation, head.meta.relation.local_change) == (1, 9.0)


def test_one_of_another_descriptor_is_refused(redis_url: str, name: str) -> None:
    client = connect(redis_url)
    build_generation(client, name)
    head = LiveHead(client, name)
    build_generation(client, name, fingerprint="another")
    with pytest.raises(IndexMismatch):
        head.follow()
