"""What tests of a module share: an index, a folder for consumers, and places for their messages."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.dying import Consumers
from tests.support.stage import Stage, bootstrap, seed_folder


@pytest.fixture(scope="module")
def index(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of an index of the module's own."""
    name = f"faults-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path_factory.mktemp("faults") / "seeds"), redis_url, name)
    return name


@pytest.fixture(scope="module")
def consumers(tmp_path_factory: pytest.TempPathFactory) -> Consumers:
    """Give what starts consumers that die where they are told to."""
    return Consumers(tmp_path_factory.mktemp("consumers"))


@pytest.fixture(scope="module")
def make_stage(kafka_address: str, redis_url: str, index: str) -> Iterator[Callable[..., Stage]]:
    """Give what makes a place with topics of so many partitions."""
    with ExitStack() as stack:

        def make(partitions: int, **more: Any) -> Stage:  # noqa: ANN401 - as `Stage` takes them
            stage = Stage(kafka_address, redis_url, index, partitions, **more)
            stack.enter_context(stage.stack)
            return stage

        yield make
