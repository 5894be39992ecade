"""Servers that the tests share, each found or started once in a process of the run, and the order of files."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from demo.services import (
    KafkaProgram,
    KafkaServer,
    Kubeconform,
    PrometheusProgram,
    RedisProgram,
    ServiceFailed,
    ServiceUnavailable,
    find_chromium,
    find_helm,
    find_kafka_program,
    find_kubeconform,
    find_prometheus_program,
    find_redis_program,
    open_kafka,
    open_redis,
)
from tests.support.brokers import AS_KAFKA_COMES, OFTEN_CLEANED
from tests.support.redis_cluster import two_nodes
from tests.support.transports import KafkaRig


def pytest_configure() -> None:
    """Let nobody's clock decide, and Ctrl-C reach the programs that tests start.

    Hypothesis fails what takes long, which on a busy machine anything may. A shell ignores SIGINT for what it runs in
    the background, and so would all that is started here.
    """
    settings.register_profile("neardup", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("neardup")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first: where workers share the files, none is left alone with a long one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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
def prometheus_program() -> PrometheusProgram:
    """Program of a Prometheus, and of the tool that checks its files."""
    with missing_skips():
        return find_prometheus_program(os.environ, print)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Program of a browser, to look at pages with."""
    with missing_skips():
        return find_chromium(os.environ, print)


@pytest.fixture(scope="session")
def helm() -> Path:
    """Program that renders the chart."""
    with missing_skips():
        return find_helm(os.environ, print)


@pytest.fixture(scope="session")
def kubeconform() -> Kubeconform:
    """Program that checks what is rendered."""
    with missing_skips():
        return find_kubeconform(os.environ, print)


@pytest.fixture(scope="session")
def redis_cluster_url(redis_program: RedisProgram) -> Iterator[str]:
    """URL of a Redis Cluster that the tests share: use keys of your own."""
    with two_nodes(redis_program) as url:
        yield url


@pytest.fixture(scope="session")
def default_kafka_address(kafka_program: KafkaProgram) -> Iterator[str]:
    """Address of a Kafka with its own defaults: topics create themselves, and messages end at 1 MiB."""
    with KafkaServer(kafka_program, {**AS_KAFKA_COMES, **OFTEN_CLEANED}) as server:
        yield server.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_admin(kafka_address: str) -> Iterator[KafkaAdminClient]:
    """Give a client for topics and groups of the shared Kafka."""
    with KafkaAdminClient(bootstrap_servers=kafka_address) as admin:
        yield admin


@pytest.fixture
def kafka_producer(kafka_address: str) -> Iterator[KafkaProducer]:
    """Give a client that publishes whatever a test likes."""
    with KafkaProducer(bootstrap_servers=kafka_address, max_request_size=2**25) as producer:
        yield producer


@pytest.fixture
def kafka(kafka_address: str, kafka_admin: KafkaAdminClient, kafka_producer: KafkaProducer) -> Iterator[KafkaRig]:
    """Give topics and a group of the test's own on the shared Kafka."""
    rig = KafkaRig(kafka_address, kafka_admin, kafka_producer)
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture(autouse=True)
def _no_log_of_an_earlier_test() -> None:
    """Take away what a command that ran in this process logs to: the stream of an earlier test, closed by now."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if type(each) is logging.StreamHandler]:
        root.removeHandler(handler)
