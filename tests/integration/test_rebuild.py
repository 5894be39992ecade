"""A second bootstrap of an index: what it inherits, what it refuses to drop, and what it says beforehand."""

import dataclasses
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from PIL import Image

from bootstrap.__main__ import main
from bootstrap.generation.inheritance import INHERITED, MADE_ANEW
from bootstrap.seeds.projecting import describe_projected
from neardup.descriptors import load_descriptor
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.carry import Predecessor
from neardup.index.live import live_generation
from neardup.index.redis import RedisIndex
from neardup.index.stored.keys import IndexKeys
from neardup.settings.profiles import CAMERA_LOCAL_CHANGE, CAMERA_RADIUS
from neardup.types import Query

pytestmark = pytest.mark.redis

VISITORS = 24
SCENES = 16


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    return file.getvalue()


def scene(number: int) -> Image.Image:
    coarse = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)


def with_visitor(number: int) -> Image.Image:
    """Return one scene with somebody at this place of it."""
    picture = scene(0)
    left, top = 15 * (number % 6), 22 * (number // 6)
    picture.paste((250, 250, 250) if number % 2 else (5, 5, 5), (left, top, left + 12, top + 18))
    return picture


def written(folder: Path, pictures: Sequence[Image.Image]) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        (folder / f"{folder.name}-{number:03d}.jpg").write_bytes(jpeg(picture))
    return folder


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """Return what one camera saw: nothing but visitors changes."""
    return written(tmp_path / "watched", [with_visitor(number) for number in range(VISITORS)])


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return written(tmp_path / "scenes", [scene(number) for number in range(1, 1 + SCENES)])


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """Return a single picture that is like none of the others."""
    return written(tmp_path / "one", [scene(99)])


@dataclass
class Ran:
    """A bootstrap that has ended: its exit code, and what it said."""

    code: int
    out: str
    err: str

    def line(self, subject: str) -> str:
        """Return what the summary says of a subject; empty if nothing."""
        found = re.search(rf"^{re.escape(subject)} {{2,}}(.*)$", self.out, re.MULTILINE)
        return found[1] if found else ""

    def refusal(self) -> tuple[int, int]:
        """Return how many members would be dropped, and of how many."""
        found = re.search(r"(\d+) of its (\d+) members would be dropped", self.err + self.out)
        assert found
        return int(found[1]), int(found[2])


Bootstrap = Callable[..., Ran]


@pytest.fixture
def bootstrap(redis_url: str, name: str, capsys: pytest.CaptureFixture[str]) -> Bootstrap:
    def run(*arguments: object, **environ: str) -> Ran:
        given = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": name, "NEARDUP_DECODE_TIMEOUT": "off", **environ}
        code = main([*map(str, arguments)], {**given, "NEARDUP_WORKERS": "1"})
        return Ran(code, *capsys.readouterr())

    return run


def members(client: redis.Redis, name: str) -> set[str]:
    return {member.image_id for member in RedisIndex(client, name).members()}


def meta(client: redis.Redis, name: str) -> IndexMeta:
    return RedisIndex(client, name).meta


def stored(client: Any, name: str) -> dict[bytes, tuple[bytes, int]]:  # noqa: ANN401 - types are too wide
    """Return every byte that Redis has of an index, and what is left of each key's time in hours."""
    found = list(client.scan_iter(match=IndexKeys(name).pattern))
    return {key: (client.dump(key), client.pttl(key) // 3_600_000) for key in found}


# -- the cases that destroyed an index --------------------------------------------------------------------------------


def test_one_picture_more_leaves_a_camera_s_index_as_it_is(
    bootstrap: Bootstrap, client: redis.Redis, name: str, watched: Path, one: Path
) -> None:
    bootstrap(watched, "--profile", "camera")
    before, relation = members(client, name), meta(client, name).relation
    assert len(before) > VISITORS / 2
    ran = bootstrap(one)
    assert (ran.code, members(client, name)) == (0, before | {"one-000.jpg"})
    assert meta(client, name).relation == relation
    assert ran.line("inherited") == (
        f"local change {CAMERA_LOCAL_CHANGE:g}, agreement off, match-flips off, match-rotations off, match-parts off, "
        f"descriptor dct, projection off, radius {CAMERA_RADIUS:g}; from generation 1"
    )
    assert not ran.line("changed")


def test_what_would_drop_frames_of_a_camera_is_refused_with_counts(
    bootstrap: Bootstrap, client: redis.Redis, name: str, watched: Path, one: Path
) -> None:
    bootstrap(watched, "--profile", "camera")
    before = members(client, name)
    refused = bootstrap(one, "--local-change", "off")
    assert refused.code == 2
    dropped, of = refused.refusal()
    assert of == len(before)
    assert f"(local change {CAMERA_LOCAL_CHANGE:g} -> any) they duplicate others" in refused.err
    assert "allow it by --allow-dropping" in refused.err
    assert (members(client, name), meta(client, name).generation) == (before, 1)
    done = bootstrap(one, "--local-change", "off", "--allow-dropping")
    assert done.code == 0
    assert len(members(client, name)) == len(before) - dropped + 1
    assert done.line("changed") == f"local change {CAMERA_LOCAL_CHANGE:g} -> any"
    assert done.line("dropped").startswith(f"{dropped} of {of} members: ")


def test_a_larger_radius_is_refused_where_members_are_within_it(
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path, one: Path
) -> None:
    bootstrap(scenes, "--radius", "0.3")
    before = members(client, name)
    harmless = bootstrap(one, "--radius", "0.31")
    assert (harmless.code, harmless.line("changed")) == (0, "radius 0.3 -> 0.31")
    refused = bootstrap(one, "--radius", "1.4")
    dropped, of = refused.refusal()
    assert (refused.code, of) == (2, len(before) + 1)
    assert "(radius 0.31 -> 1.4)" in refused.err
    assert (meta(client, name).radius, len(members(client, name))) == (0.31, of)
    assert bootstrap(one, "--radius", "1.4", "--allow-dropping").code == 0
    assert len(members(client, name)) == of - dropped
    assert 0 < dropped < of


def test_another_descriptor_is_refused_before_a_seed_is_read(
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path, one: Path
) -> None:
    bootstrap(scenes)
    before = members(client, name)
    (one / "one-000.jpg").write_bytes(b"no image")  # whose reading would be told
    refused = bootstrap(one, "--descriptor", "pixels:8")
    assert (refused.code, refused.refusal()) == (2, (len(before), len(before)))
    assert "they were described by dct (" in refused.err
    assert (members(client, name), meta(client, name).descriptor) == (before, "dct")


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        (["--local-change", "2.5"], "its members have no thumbnails, which local change compares"),
        (["--agreement", "auto"], "its members have no looks, which a second look compares"),
    ],
    ids=["thumbnails", "looks"],
)
def test_what_was_not_kept_is_refused(  # noqa: PLR0917 - fixtures
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path, one: Path, setting: list[str], why: str
) -> None:
    bootstrap(scenes)
    refused = bootstrap(one, *setting)
    assert (refused.code, refused.refusal()) == (2, (SCENES, SCENES))
    assert why in refused.err
    assert meta(client, name).generation == 1


def test_another_version_s_generation_is_refused(
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path, one: Path
) -> None:
    bootstrap(scenes)
    key = IndexKeys(name).metadata(1)
    text = client.get(key)
    assert isinstance(text, bytes)
    client.set(key, re.sub(rb'"format_version":\d+', b'"format_version":1', text))
    refused = bootstrap(one)
    assert (refused.code, refused.refusal()) == (2, (SCENES, SCENES))
    assert bootstrap(one, "--allow-dropping").code == 0
    assert members(client, name) == {"one-000.jpg"}


def test_a_file_with_another_descriptor_is_refused(
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path, tmp_path: Path
) -> None:
    file = tmp_path / "index.json"
    bootstrap(scenes, "--descriptor", "pixels:8", "--index", f"{name}.other", "--export", file)
    bootstrap(scenes)
    try:
        refused = bootstrap("--import", file, "--descriptor", "pixels:8")
        assert (refused.code, refused.refusal()) == (2, (SCENES, SCENES))
        assert bootstrap("--import", file, "--descriptor", "pixels:8", "--allow-dropping").code == 0
        assert meta(client, name).descriptor == "pixels:8"
    finally:
        for key in client.scan_iter(match=IndexKeys(f"{name}.other").pattern):
            client.delete(key)


def test_what_comes_too_late_for_the_first_look_is_refused_as_well(  # noqa: PLR0917 - fixtures
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap(scenes, "--radius", "0.05")
    index = RedisIndex(client, name)
    flip = GenerationBuild._try_to_flip
    (first, *_) = index.members()
    moved = first.descriptor.astype(np.float64)
    moved[0] += 0.1
    late = (moved / np.linalg.norm(moved)).astype(np.float16)

    def decide_and_flip(build: GenerationBuild, predecessor: Predecessor | None) -> bytes:
        index.decide([Query("t-0-0", "late", late)])
        return flip(build, predecessor)

    monkeypatch.setattr(GenerationBuild, "_try_to_flip", decide_and_flip)
    refused = bootstrap(one, "--radius", "0.3")
    assert (refused.code, refused.refusal()) == (2, (1, SCENES + 1))
    assert "late" in members(client, name)
    assert meta(client, name).generation == 1


@pytest.mark.parametrize(
    ("meanwhile", "says"),
    [
        (["--radius", "0.05"], "another bootstrap of index"),
        (["--descriptor", "pixels:8", "--allow-dropping"], "was built with descriptor pixels-1:8x8-bilinear, but"),
    ],
)
def test_what_was_inherited_has_to_be_live_still(  # noqa: PLR0917 - fixtures
    bootstrap: Bootstrap,
    client: redis.Redis,
    name: str,
    scenes: Path,
    one: Path,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Sequence[str],
    says: str,
) -> None:
    bootstrap(scenes)

    def rebuild_and_describe(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as it is given
        monkeypatch.setattr("bootstrap.generation.job.describe_projected", describe_projected)
        assert bootstrap(scenes, *meanwhile).code == 0
        return describe_projected(*arguments, **options)

    monkeypatch.setattr("bootstrap.generation.job.describe_projected", rebuild_and_describe)
    ran = bootstrap(one)
    assert ran.code == 2
    assert says in ran.err
    assert (meta(client, name).generation, len(members(client, name))) == (2, SCENES)


# -- what is inherited ------------------------------------------------------------------------------------------------

OTHER_THAN_DEFAULT = {
    "descriptor": ["--descriptor", "pixels:4", "--radius", "0.1"],
    "pca": ["--project", "5", "--whiten", "--radius", "0.1"],
    "radius": ["--radius", "0.123"],
    "calibration": [],
    "local_change": ["--local-change", "7"],
    "agreement": ["--agreement", "0.4"],
    "match_flips": ["--match-flips"],
    "match_rotations": ["--match-rotations"],
    "match_parts": ["--match-parts", "--agreement", "0.3"],
}
"""By each field that is inherited: settings that make it another one than the default."""


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(IndexMeta)])
def test_each_field_is_inherited_or_made_anew(  # noqa: PLR0917 - fixtures
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path, one: Path, field: str
) -> None:
    if field in MADE_ANEW:
        assert field not in INHERITED
        return
    assert bootstrap(scenes, *OTHER_THAN_DEFAULT[field]).code == 0
    before = meta(client, name)
    assert bootstrap(one).code == 0
    after = meta(client, name)
    assert after.generation == 2
    if field != "calibration":
        plain = IndexMeta("", 0, "dct", load_descriptor("dct").fingerprint, 128, load_descriptor("dct").default_radius)
        assert getattr(before, field) != getattr(plain, field)
    assert {each: getattr(after, each) for each in INHERITED} == {each: getattr(before, each) for each in INHERITED}


@pytest.mark.parametrize(
    ("made", "said", "environ", "expected"),
    [
        (["--match-flips"], ["--no-match-flips"], {}, {"match_flips": False}),
        (["--match-flips"], [], {"NEARDUP_MATCH_FLIPS": "0"}, {"match_flips": False}),
        (["--match-parts", "--agreement", "0.3"], ["--no-match-parts"], {}, {"match_parts": False, "agreement": 0.3}),
        (["--agreement", "0.3"], ["--match-parts"], {}, {"match_parts": True, "agreement": 0.3}),
        (["--local-change", "7"], ["--local-change", "6"], {}, {"local_change": 6.0, "match_flips": False}),
        (["--radius", "0.2"], [], {"NEARDUP_RADIUS": "0.1"}, {"radius": 0.1, "calibration": {}}),
        (["--radius", "0.123"], ["--profile", "camera"], {}, {"radius": 0.123, "local_change": None}),
        (["--match-flips"], ["--fresh"], {}, {"match_flips": False}),
    ],
)
def test_what_is_said_wins_and_a_profile_says_nothing(  # noqa: PLR0917 - fixtures
    bootstrap: Bootstrap,
    client: redis.Redis,
    name: str,
    scenes: Path,
    one: Path,
    made: Sequence[str],
    said: Sequence[str],
    environ: dict[str, str],
    expected: dict[str, object],
) -> None:
    bootstrap(scenes, *made)
    ran = bootstrap(one, *said, **environ)
    assert ran.code == 0, ran.err
    assert {field: getattr(meta(client, name), field) for field in expected} == expected
    assert bool(ran.line("inherited")) == ("--fresh" not in said)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, ["--match-parts"]),
        ([], ["--match-parts"]),
        ([], ["--match-parts", "--agreement", "off"]),
        (["--match-parts", "--agreement", "0.3"], ["--agreement", "off"]),
        (["--agreement", "0.3"], ["--fresh", "--match-parts"]),
    ],
    ids=["a first index", "an index without", "said to be off", "inherited without a look", "afresh"],
)
def test_parts_without_a_second_look_are_refused_before_a_seed_is_read(  # noqa: PLR0917 - fixtures
    bootstrap: Bootstrap,
    client: redis.Redis,
    name: str,
    scenes: Path,
    one: Path,
    made: Sequence[str] | None,
    said: Sequence[str],
) -> None:
    if made is not None:
        bootstrap(scenes, *made)
    ran = bootstrap(one, *said)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "match-parts works only with a second look, and agreement is off" in ran.err
    assert live_generation(client, name) == (None if made is None else 1)


def test_a_radius_that_is_to_be_calibrated_is_not_inherited(
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path
) -> None:
    bootstrap(scenes, "--radius", "0.123")
    ran = bootstrap(scenes, "--radius", "auto", "--allow-dropping")
    assert ran.code == 0, ran.err
    assert meta(client, name).calibration
    assert "radius" not in ran.line("inherited")


def test_another_descriptor_does_not_inherit_a_radius(
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path
) -> None:
    bootstrap(scenes, "--radius", "0.123", "--match-flips")
    ran = bootstrap(scenes, "--descriptor", "pixels:8", "--allow-dropping")
    after = meta(client, name)
    assert after.radius != 0.123
    assert after.match_flips
    assert ran.line("inherited") == (
        "local change any, agreement off, match-flips on, match-rotations off, match-parts off; from generation 1"
    )


# -- a dry run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "verdict", "dropped"),
    [
        ([], "", 0),
        (["--radius", "1.4"], "refused", None),
        (["--radius", "1.4", "--allow-dropping"], "", None),
        (["--descriptor", "pixels:8"], "refused", SCENES),
        (["--fresh"], "", SCENES),
    ],
)
def test_a_dry_run_tells_and_writes_nothing(  # noqa: PLR0917 - fixtures
    bootstrap: Bootstrap,
    client: redis.Redis,
    name: str,
    scenes: Path,
    one: Path,
    said: Sequence[str],
    verdict: str,
    dropped: int | None,
) -> None:
    bootstrap(scenes, "--radius", "0.3")
    bootstrap(scenes)  # so that there is a previous generation, too
    before = stored(client, name)
    told = bootstrap(one, *said, "--dry-run")
    assert told.code == 0
    assert stored(client, name) == before
    kept, gone, added = map(int, re.findall(r"\d+", told.line("members")))
    assert "nothing was written" in told.line("dry run")
    assert bool(told.line("refused")) == bool(verdict)
    assert bool(told.line("dropped")) == bool(gone)
    if dropped is None:
        assert 0 < gone < SCENES
        assert kept + gone == SCENES
    else:
        assert gone == dropped
    # It is what happens then.
    assert bootstrap(one, *said, "--allow-dropping").code == 0
    assert len(members(client, name)) == kept + added


def test_a_dry_run_knows_what_stays_as_it_is(bootstrap: Bootstrap, scenes: Path, one: Path) -> None:
    bootstrap(scenes, "--project", "5", "--match-flips", "--radius", "0.1")
    told = bootstrap(one, "--profile", "camera", "--dry-run")
    assert (told.code, told.line("changed"), told.line("dropped")) == (0, "", "")
    assert told.line("members") == f"{SCENES} kept, 0 dropped, 1 added"
    assert told.line("profile") == "camera, where the index itself says nothing"
    assert bootstrap(one, "--match-rotations", "--dry-run").line("changed") == "match-rotations off -> on"


def test_a_dry_run_without_an_index_makes_none(
    bootstrap: Bootstrap, client: redis.Redis, name: str, scenes: Path
) -> None:
    told = bootstrap(scenes, "--dry-run")
    assert told.code == 0
    assert told.line("members") == f"0 kept, 0 dropped, {SCENES} added"
    assert not stored(client, name)
