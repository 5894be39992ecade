"""A picture inside a larger one: bootstrap, consumer, generations, files, inspection."""

import json
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from bootstrap.live.explaining import explain
from bootstrap.live.inspection import neighbours, stats
from bootstrap.live.reading import LiveGeneration
from bootstrap.member_lines import explain_lines
from neardup.errors import Misconfigured
from neardup.index.redis import RedisIndex
from neardup.types import Pixels
from tests.integration.test_relation import Job, assert_holds, judged, outcomes_of, uniques_of, written
from tests.support.drawings import dark_photo, pale_photo
from tests.support.forms import collage
from tests.support.odd_files import encoded

pytestmark = pytest.mark.redis

PARTS = ["--agreement", "0.3", "--match-parts"]
LEFT_HALF, RIGHT_HALF = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]
HALVES = {"none": (LEFT_HALF, RIGHT_HALF), "mirror": (RIGHT_HALF, LEFT_HALF)}


@pytest.fixture
def job(redis_url: str, name: str) -> Job:
    return Job(redis_url, name)


def png(pixels: Pixels) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG")


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """Two scenes, then one beside another: the last shows the second."""
    larger = collage(pale_photo(2), dark_photo(1))
    return written(
        tmp_path / "seeds", {"0.png": png(dark_photo(0)), "1.png": png(dark_photo(1)), "2 larger.png": png(larger)}
    )


def test_seeds_and_the_stream_are_compared_by_their_parts(
    job: Job, client: redis.Redis, name: str, seeds: Path
) -> None:
    job(seeds, "--agreement", "0.3")
    assert uniques_of(client, name) == ["0.png", "1.png", "2 larger.png"]
    assert judged(client, name, png(collage(pale_photo(3), dark_photo(0)))) == ["unique"]
    job(seeds, "--fresh", *PARTS)
    assert uniques_of(client, name) == ["0.png", "1.png"]
    news = [png(collage(pale_photo(4), dark_photo(0))), png(dark_photo(4)), png(collage(pale_photo(4), dark_photo(5)))]
    outcomes = outcomes_of(client, name, news, first=1)
    found = [each.judged and each.judged.decision.duplicate_of for each in outcomes]
    assert found == ["0.png", None, "t-0-2"]
    document = json.loads(outcomes[0].outgoing[0].value or b"")
    assert document["symmetry"] == "none"
    assert document["edit"]["inset"] == pytest.approx(RIGHT_HALF, abs=0.02)
    assert document["edit"]["box"] == pytest.approx([0.0, 0.0, 1.0, 1.0], abs=0.02)
    assert_holds(client, name)


def test_members_are_carried_into_a_generation_with_parts_and_out_of_it(
    job: Job, client: redis.Redis, name: str, seeds: Path
) -> None:
    job(seeds / "0.png", "--agreement", "0.3")
    assert judged(client, name, png(dark_photo(4))) == ["unique"]
    assert job(seeds / "1.png", "--match-parts").assembly.kept == 2
    assert RedisIndex(client, name).meta.match_parts
    assert judged(client, name, png(collage(pale_photo(5), dark_photo(4))), first=1) == ["t-0-0"]
    assert job(seeds / "1.png", "--no-match-parts").assembly.kept == 3
    assert judged(client, name, png(collage(pale_photo(6), dark_photo(4))), first=2) == ["unique"]
    assert_holds(client, name)


def test_an_exported_index_is_imported_with_its_parts(
    job: Job, client: redis.Redis, name: str, seeds: Path, tmp_path: Path
) -> None:
    file = tmp_path / "index.json"
    before = job(seeds, *PARTS, "--export", file).meta
    after = job("--import", file, "--fresh").meta
    assert after.relation == before.relation
    assert judged(client, name, png(collage(pale_photo(5), dark_photo(0)))) == ["0.png"]
    text = file.read_text("utf-8")
    file.write_text(text.replace('"agreement": 0.3', '"agreement": null'), "utf-8")
    with pytest.raises(Misconfigured, match=r"index.json: its match_parts is true, but it takes no second look"):
        job("--import", file, "--fresh")


def test_inspection_tells_by_which_part(job: Job, client: redis.Redis, name: str, seeds: Path, tmp_path: Path) -> None:
    job(seeds, *PARTS, "--match-flips")
    live = LiveGeneration(client, name)
    assert stats(live)["match_parts"] is True
    file = str(written(tmp_path / "news", {"n.png": png(collage(pale_photo(5), dark_photo(1)))}) / "n.png")
    near = neighbours(live, file, 1, None)
    assert (near["verdict"], near["duplicate_of"]) == ("duplicate", "1.png")
    assert near["neighbours"][0]["distance"] < 0.2
    told = explain(live, file, "1.png")
    assert (told["verdict"], told["symmetry"]) == ("duplicate", "none")
    assert told["part"] == pytest.approx(RIGHT_HALF, abs=0.01)
    for symmetry, halves in HALVES.items():
        whole, *parts = [each["part"] for each in told["compared"] if each["symmetry"] == symmetry]
        assert whole is None
        assert np.allclose(parts, halves, atol=0.01)
    lines = list(explain_lines(told))
    assert any(line.startswith("as it came, 50-100 % across, 0-100 % down") for line in lines)
    assert not told["parts_not_compared"]
    stored = explain(live, "0.png", "1.png")
    assert (stored["parts_not_compared"], len(stored["compared"])) == (True, 1)
    assert list(explain_lines(stored))[-1] == (
        "A is stored only as it came; give its file to compare it after mirror, by its parts, too."
    )
    assert np.isfinite([each["distance"] for each in told["compared"]]).all()
