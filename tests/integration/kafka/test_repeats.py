"""The same file again and again, through the real consumer: each message gets the outcome of its own."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import photo
from tests.support.stage import Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]


@pytest.fixture
def stage(kafka_address: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    index = f"repeats-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path / "seeds"), redis_url, index)
    stage = Stage(kafka_address, redis_url, index, 1)
    with stage.stack:
        yield stage


def letters_of(stage: Stage) -> dict[str, dict[str, bytes]]:
    """Return the dead letters' headers by the coordinates of their messages, without these."""
    found = {}
    for letter in stage.dead_reader.read_to_end():
        headers = dict(letter.headers)
        found[headers.pop("error.source").decode()] = headers
    return found


@pytest.mark.parametrize(("options", "spared"), [((), 4), (("--repeat-bytes", "0"), 0)])
def test_a_file_that_comes_again_is_judged_again_and_not_decoded(
    stage: Stage, options: tuple[str, ...], spared: int
) -> None:
    good, other = photo(fresh()), photo(fresh())
    cut = good[:-300]
    first = [stage.publish(image) for image in (good, cut, other, good, b"garbage", good)]
    stage.flush()
    with stage.service(*options) as service:
        stage.await_outcomes()
        later = [stage.publish(image) for image in (cut, good, b"garbage", other)]
        stage.flush()
        stage.await_outcomes()
        samples = service.metrics()
        assert service.program.stop() == 0
    documents, letters = stage.documents(), letters_of(stage)
    verdicts = [documents[place]["duplicate_of"] for place in [*first, *later] if place in documents]
    assert verdicts == [None, None, first[0], first[0], first[0], first[2]]
    assert set(letters) == {first[1], first[4], later[0], later[2]}
    assert letters[first[1]] == letters[later[0]]
    assert letters[first[4]] == letters[later[2]]
    assert {headers["error.reason"] for headers in letters.values()} == {b"truncated", b"undecodable"}
    assert samples["neardup_repeated_images_total", ()] == spared
