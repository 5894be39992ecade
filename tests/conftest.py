"""Servers that the tests share, each found or started once a run."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from demo.services import (
    KafkaProgram,
    RedisProgram,
    ServiceFailed,
    ServiceUnavailable,
    find_kafka_program,
    find_redis_program,
    open_kafka,
    open_redis,
)
from tests.support.redis_cluster import two_nodes


@contextmanager
def missing_skips() -> Iterator[None]:
    """Skip where a service cannot be had; fail where REQUIRE_SERVICES=1 says that it must be."""
    try:
        yield
    except ServiceUnavailable as error:
        if isinstance(error, ServiceFailed) or os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kafka_address() -> Iterator[str]:
    """Address (host:port) of the Kafka that the tests share: use topics and groups of your own."""
    with ExitStack() as stack:
        with missing_skips():
            address = stack.enter_context(open_kafka(os.environ, print))
        yield address


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of the Redis that the tests share: use keys of your own."""
    with ExitStack() as stack:
        with missing_skips():
            url = stack.enter_context(open_redis(os.environ, print))
        yield url


@pytest.fixture(scope="session")
def kafka_program() -> KafkaProgram:
    """Program for a KafkaServer of the test's own, to stop and to kill."""
    with missing_skips():
        return find_kafka_program(os.environ, print)


@pytest.fixture(scope="session")
def redis_program() -> RedisProgram:
    """Program for a RedisServer of the test's own, to stop and to kill."""
    with missing_skips():
        return find_redis_program(os.environ, print)


@pytest.fixture(scope="session")
def redis_cluster_url(redis_program: RedisProgram) -> Iterator[str]:
    """URL of a Redis Cluster that the tests share: use keys of your own."""
    with two_nodes(redis_program) as url:
        yield url
