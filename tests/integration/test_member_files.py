"""What the tools for members read and write as files: pictures, exports, and members that were removed."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from PIL import Image

import bootstrap.__main__
import bootstrap.index
from bootstrap.live.reading import LiveGeneration
from bootstrap.live.verify import Verification
from bootstrap.tool import EXIT_NO_MEMBER
from neardup.cli.running import EXIT_MISCONFIGURED
from neardup.index.redis import RedisIndex
from neardup.types import Query, Verdict
from tests.support.live_index import remove_keys

pytestmark = pytest.mark.redis

Document = dict[str, Any]
PHOTOS = 8
FLIP = Image.Transpose.FLIP_LEFT_RIGHT


def scene(number: int) -> Image.Image:
    coarse = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def saved(picture: Image.Image, path: Path) -> Path:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    return path


class Place:
    """An index of photos, and the commands on it."""

    def __init__(self, url: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.name = name
        self.folder = folder
        self._environ = {"NEARDUP_REDIS_URL": url, "NEARDUP_INDEX": name}
        self._capsys = capsys
        self.photos = folder / "photos"
        self.photos.mkdir()
        for number in range(PHOTOS):
            saved(scene(number), self.photos / f"{number}.png")

    def bootstrap(self, *arguments: object) -> None:
        assert bootstrap.__main__.main(list(map(str, arguments)), {**self._environ, "NEARDUP_WORKERS": "1"}) == 0
        self._capsys.readouterr()

    def run(self, *arguments: object) -> tuple[int, str, str]:
        code = bootstrap.index.main(list(map(str, arguments)), self._environ)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def document(self, *arguments: object) -> Document:
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, out + err
        document: Document = json.loads(out)
        return document


@pytest.fixture
def place(
    redis_url: str, name: str, client: redis.Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Place]:
    made = Place(redis_url, name, tmp_path, capsys)
    made.bootstrap(made.photos, "--radius", "0.3", "--match-flips", "--local-change", "5")
    yield made
    remove_keys(client, f"{name}-2")


# -- explain -----------------------------------------------------------------------------------------------------------


def test_a_file_is_compared_with_a_member_in_each_symmetry(place: Place) -> None:
    mirrored = saved(scene(3).transpose(FLIP), place.folder / "mirrored.png")
    document = place.document("explain", mirrored, "3.png")
    assert (document["image"]["is"], document["other"]["is"]) == ("file", "member")
    assert (document["verdict"], document["symmetry"]) == ("duplicate", "mirror")
    distances = {each["symmetry"]: each["distance"] for each in document["compared"]}
    assert distances["mirror"] < document["radius"] < distances["none"]
    assert document["local_change"] <= document["most_local_change"] == 5
    assert document["symmetries_not_compared"] == []
    code, out, _ = place.run("explain", mirrored, "3.png")
    assert code == 0
    assert f"{mirrored} is a duplicate of 3.png" in out
    assert "nearest after mirror" in out


def test_its_verdict_is_that_of_the_index(place: Place) -> None:
    changed = scene(2)
    changed.paste((250, 250, 250), (20, 120, 60, 200))
    visitor = saved(changed, place.folder / "visitor.png")
    document = place.document("explain", visitor, "2.png")
    assert (document["verdict"], document["local_change"] > 5) == ("unique", True)
    assert "is beyond 5.0" in document["why"]
    assert place.document("neighbours", visitor)["verdict"] == document["verdict"]
    still = saved(scene(2), place.folder / "still.png")
    assert place.document("explain", still, "2.png")["verdict"] == place.document("neighbours", still)["verdict"]


def test_two_files_and_two_members(place: Place) -> None:
    one, other = place.photos / "0.png", place.photos / "1.png"
    files, members = place.document("explain", one, other), place.document("explain", "0.png", "1.png")
    assert (files["image"]["is"], members["image"]["is"]) == ("file", "member")
    stored = {each["symmetry"]: each["distance"] for each in files["compared"]}
    assert members["distance"] == stored["none"]
    assert members["symmetries_not_compared"] == ["mirror"]
    assert "give its file to compare it after mirror" in place.run("explain", "0.png", "1.png")[1]


def test_a_picture_of_both(place: Place) -> None:
    pytest.importorskip("matplotlib")
    mirrored, png = saved(scene(3).transpose(FLIP), place.folder / "mirrored.png"), place.folder / "pair.png"
    arguments = ["explain", mirrored, "3.png", "--picture", png]
    code, _, err = place.run(*arguments)
    assert (code, not png.exists()) == (EXIT_MISCONFIGURED, True)
    assert err == "--picture: '3.png' is no file here, and the index has no pixels: add --image-b FILE\n"
    assert place.run(*arguments, "--image-b", place.photos / "3.png")[0] == 0
    with Image.open(png) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 600
        pixels = np.asarray(drawn.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5000  # photos, and not an empty frame
    for wrong in (place.folder / "missing.png", Path(__file__)):
        code, _, err = place.run(*arguments, "--image-b", wrong)
        assert (code, str(wrong) in err) == (EXIT_MISCONFIGURED, True)
    code, _, err = place.run("explain", mirrored, mirrored, "--picture", place.folder / "no" / "pair.png")
    assert (code, err.startswith("--picture: cannot write ")) == (EXIT_MISCONFIGURED, True)


def test_a_name_of_several_members_has_to_be_a_key(place: Place, client: redis.Redis) -> None:
    [member] = [each for each in RedisIndex(client, place.name).members() if each.image_id == "0.png"]
    rows = np.roll(np.stack([member.descriptor]), 1, axis=1)
    twin = Query("t-0-0", "0.png", rows[0], kept=member.kept)
    assert [each.verdict for each in RedisIndex(client, place.name, options=_as_stored()).decide([twin])] == [
        Verdict.UNIQUE
    ]
    code, _, err = place.run("explain", "0.png", "1.png")
    assert code == EXIT_MISCONFIGURED
    assert err == "2 members have the image id '0.png': name one by its key, seed:0.png, t-0-0\n"
    assert place.run("explain", "seed:0.png", "t-0-0")[0] == 0


def _as_stored() -> Any:  # noqa: ANN401 - options of an index
    from neardup.index.redis import RedisIndexOptions  # noqa: PLC0415 - for this alone

    return RedisIndexOptions(as_stored=True)


def test_what_is_neither_a_member_nor_a_file(place: Place) -> None:
    code, out, err = place.run("explain", "0.png", "nobody.png")
    assert (code, out) == (EXIT_NO_MEMBER, "what is no member has to be an image file\n")
    assert err == "no member has the image id or the key 'nobody.png'\n"


# -- export, remove --save ---------------------------------------------------------------------------------------------


def test_what_is_exported_gives_the_same_verdicts_when_it_is_imported(place: Place, client: redis.Redis) -> None:
    streamed = saved(scene(50), place.folder / "streamed.png")
    place.photos.joinpath("streamed.png").write_bytes(streamed.read_bytes())
    place.bootstrap(place.photos, "--radius", "0.3", "--match-flips", "--local-change", "5")
    file = place.folder / "index.json"
    done = place.document("export", file)
    assert (done["members"], done["bytes"]) == (PHOTOS + 1, file.stat().st_size)
    place.bootstrap("--import", file, "--index", f"{place.name}-2")
    one, other = LiveGeneration(client, place.name).meta, LiveGeneration(client, f"{place.name}-2").meta
    assert (one.relation, one.fingerprint, one.seed) == (other.relation, other.fingerprint, one.seed)
    assert members_of(client, place.name) == members_of(client, f"{place.name}-2")
    for number in range(PHOTOS + 2):
        for variant in (scene(number), scene(number).transpose(FLIP)):
            probe = saved(variant, place.folder / "probe.png")
            here = place.document("neighbours", probe)
            there = place.document("neighbours", probe, "--index", f"{place.name}-2")
            for answer in (here, there):
                del answer["cell"]  # sketches are found anew
            assert here == there
    assert Verification(client, f"{place.name}-2").run()["holds"]


def members_of(client: redis.Redis, name: str) -> dict[str, tuple[str, bytes, bytes]]:
    return {
        each.key: (
            each.image_id,
            each.descriptor.tobytes(),
            b"" if each.kept is None else each.kept.tobytes(),
        )
        for each in RedisIndex(client, name).members()
    }


def test_a_removal_is_undone_by_an_import(place: Place, client: redis.Redis) -> None:
    before, file = members_of(client, place.name), place.folder / "removed.json"
    assert place.run("remove", "0.png", "1.png", "--save", file)[0] == 0
    assert len(members_of(client, place.name)) == PHOTOS - 2
    place.bootstrap("--import", file)
    assert members_of(client, place.name) == before
    assert Verification(client, place.name).run()["holds"]


@pytest.mark.parametrize("tool", [["export"], ["remove", "0.png", "--save"]], ids=["export", "remove"])
def test_a_file_that_cannot_be_written_is_told_and_nothing_is_done(tool: list[str], place: Place) -> None:
    named = {"export": "FILE", "remove": "--save"}[tool[0]]
    for file in (place.folder, place.folder / "no" / "index.json"):
        code, _, err = place.run(*tool, file)
        assert (code, err.startswith(f"{named}: ")) == (EXIT_MISCONFIGURED, True)
    assert place.document("stats")["members"] == PHOTOS
