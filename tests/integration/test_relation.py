"""From pictures to verdicts with symmetries and local change: bootstrap, generations, consumer, inspection."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from bootstrap.generation.job import Outcome as JobOutcome
from bootstrap.generation.job import run
from bootstrap.index import _LINES
from bootstrap.live.copies import copy_to
from bootstrap.live.explaining import Picture, explain
from bootstrap.live.inspection import neighbours, stats
from bootstrap.live.radius import set_radius
from bootstrap.live.reading import LiveGeneration
from bootstrap.live.repair import Repairing
from bootstrap.live.rollback import rollback
from bootstrap.live.verify import Verification
from bootstrap.member_lines import explain_lines
from bootstrap.settings import Settings
from consumer.claim_checks.reader import UriReader
from consumer.handler import Handler, Outcome, OutputTopics
from consumer.messages import ImageMessage
from consumer.metrics import Metrics
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodeHere
from neardup.descriptors import load_descriptor
from neardup.errors import IndexMismatch, Misconfigured
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.stored.codec import encode_member
from neardup.index.stored.keys import IndexKeys
from neardup.relation.kept import Parts, kept_of, parts_of, stored_kept
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.settings.reading import read_settings
from tests.support.drawings import photo

pytestmark = pytest.mark.redis

FLIP = Image.Transpose.FLIP_LEFT_RIGHT


class Job:
    """Runs the batch job on one index."""

    def __init__(self, redis_url: str, name: str) -> None:
        self._environ = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": name, "NEARDUP_WORKERS": "1"}

    def __call__(self, *arguments: object) -> JobOutcome:
        given = [*map(str, arguments)]
        radius = [] if {"--threshold", "--import", "--profile"} & set(given) else ["--radius", "0.3"]
        settings = read_settings(Settings, [*given, *radius], self._environ, prog="", description="")
        outcome = run(settings)
        assert outcome is not None
        return outcome


@pytest.fixture
def job(redis_url: str, name: str) -> Job:
    return Job(redis_url, name)


def scene(number: int) -> Image.Image:
    coarse = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def with_visitor(picture: Image.Image, left: int) -> Image.Image:
    changed = picture.copy()
    changed.paste((250, 250, 250), (left, 120, left + 40, 200))
    changed.paste((10, 10, 10), (left + 10, 130, left + 30, 190))
    return changed


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def written(folder: Path, pictures: Mapping[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for file_name, data in pictures.items():
        (folder / file_name).write_bytes(data)
    return folder


@pytest.fixture
def scraped(tmp_path: Path) -> Path:
    """Six scenes, and a mirrored, a turned and a compressed copy of three of them."""
    copies = {
        "0 mirrored.jpg": jpeg(scene(0).transpose(FLIP)),
        "1 turned.jpg": jpeg(scene(1).transpose(Image.Transpose.ROTATE_90)),
        "2 small.jpg": jpeg(scene(2), 40),
    }
    return written(tmp_path / "scraped", {f"{number}.jpg": jpeg(scene(number)) for number in range(6)} | copies)


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """One scene: still, compressed more, with a visitor at two places."""
    return written(
        tmp_path / "watched",
        {
            "a still.jpg": jpeg(scene(0)),
            "b still.jpg": jpeg(scene(0), 60),
            "c visitor.jpg": jpeg(with_visitor(scene(0), 20)),
            "d visitor.jpg": jpeg(with_visitor(scene(0), 220)),
            "e visitor.jpg": jpeg(with_visitor(scene(0), 220), 60),
        },
    )


def uniques_of(client: redis.Redis, name: str) -> list[str]:
    return sorted(member.image_id for member in RedisIndex(client, name).members())


def judged(client: redis.Redis, name: str, *images: bytes, first: int = 0) -> list[str]:
    """Return verdicts of a consumer, in one batch: the id of the member that each duplicates, or unique."""
    outcomes = outcomes_of(client, name, images, first)
    return [outcome.judged.decision.duplicate_of or "unique" if outcome.judged else "dead" for outcome in outcomes]


def outcomes_of(client: redis.Redis, name: str, images: Sequence[bytes], first: int = 0) -> list[Outcome]:
    index = RedisIndex(client, name)
    with ThreadPoolExecutor(1) as executor:
        handler = Handler(
            descriptor=load_descriptor(index.meta.descriptor, None),
            index=index,
            topics=OutputTopics("verdicts", "dead"),
            executor=executor,
            decoder=DecodeHere(DecodeLimits()),
            uris=UriReader([], 1),
            metrics=Metrics(),
        )
        batch = [ImageMessage("t", 0, offset, 0, None, image) for offset, image in enumerate(images, first)]
        return handler.decide(handler.describe(batch))


def assert_holds(client: redis.Redis, name: str) -> None:
    for sample in (None, 50):
        document = Verification(client, name, sample=sample).run()
        assert [check for check in document["checks"] if check["wrong"]] == []


@pytest.mark.parametrize(
    ("switches", "kept"),
    [
        ([], ["0 mirrored.jpg", "1 turned.jpg"]),
        (["--match-flips"], ["1 turned.jpg"]),
        (["--match-rotations"], ["0 mirrored.jpg"]),
        (["--match-flips", "--match-rotations"], []),
        (["--profile", "scraper", "--threshold", "0.4"], ["1 turned.jpg"]),
    ],
)
def test_seeds_and_stream_are_compared_in_the_same_way(  # noqa: PLR0917 - fixtures
    job: Job, client: redis.Redis, name: str, scraped: Path, switches: list[str], kept: list[str]
) -> None:
    originals = written(scraped.parent / "originals", {f"{n}.jpg": jpeg(scene(n)) for n in range(6)})
    # The copies come before what they are copies of, or after it, by their names: who comes first is the unique one.
    copies = {path.name: path.read_bytes() for path in sorted(scraped.iterdir()) if " " in path.name}
    outcome = job(scraped, *switches)
    assert outcome.assembly.unique == 6 + len(kept)
    job(originals, "--fresh", *switches)
    verdicts = dict(zip(copies, judged(client, name, *copies.values()), strict=True))
    assert {file: of for file, of in verdicts.items() if of != "unique"} == {
        file: f"{file[0]}.jpg" for file in copies if file not in kept
    }
    assert_holds(client, name)


def test_a_camera_is_told_what_has_changed(job: Job, client: redis.Redis, name: str, watched: Path) -> None:
    assert job(watched, "--threshold", "2").assembly.unique == 1
    outcome = job(watched, "--fresh", "--profile", "camera", "--threshold", "2")
    assert uniques_of(client, name) == ["a still.jpg", "c visitor.jpg", "d visitor.jpg"]
    assert outcome.result is not None
    assert outcome.result.duplicates.groups() == {0: [1], 3: [4]}
    news = [jpeg(with_visitor(scene(0), 120)), jpeg(with_visitor(scene(0), 120), 60), jpeg(scene(0), 75)]
    assert judged(client, name, *news) == ["unique", "t-0-0", "a still.jpg"]
    assert_holds(client, name)
    live = LiveGeneration(client, name)
    assert stats(live)["local_change"] == outcome.meta.local_change
    image = written(watched.parent / "one", {"f.jpg": jpeg(with_visitor(scene(0), 220), 50)}) / "f.jpg"
    document = neighbours(live, str(image), 10, None)
    assert (document["verdict"], document["duplicate_of"]) == ("duplicate", "d visitor.jpg")
    assert [near["local_change"] <= outcome.meta.local_change for near in document["neighbours"]].count(True) == 1


def test_verify_sees_members_that_are_duplicates(job: Job, client: redis.Redis, name: str, watched: Path) -> None:
    job(watched, "--local-change", "2.5", "--threshold", "2")
    index = RedisIndex(client, name)
    key = index._keys.cell(1, 0)
    (copied, *_) = index.members()
    build = index._read_cells([0])[0][0]
    # The same member under another key, behind the index's back.
    client.rpush(key, build.replace(copied.key.encode(), copied.key.encode()[:-1] + b"!"))
    wrong = {check["check"]: check["wrong"] for check in Verification(client, name).run()["checks"]}
    assert wrong["distances"] == 1


def test_thumbnails_are_carried_over_and_dropped_when_nobody_needs_them(
    job: Job, client: redis.Redis, name: str, watched: Path, caplog: pytest.LogCaptureFixture
) -> None:
    camera = ["--local-change", "2.5", "--threshold", "2"]
    job(watched, *camera)
    assert judged(client, name, jpeg(with_visitor(scene(0), 120))) == ["unique"]
    assert job(watched, *camera).assembly.kept == 4
    assert judged(client, name, jpeg(with_visitor(scene(0), 120), 60), first=1) == ["t-0-0"]
    assert all(member.kept is not None for member in RedisIndex(client, name).members())
    # Without local change all of these are one image: of those carried over the first stays.
    plain = job(watched, "--threshold", "2", "--local-change", "off", "--allow-dropping")
    assert (plain.assembly.kept, plain.assembly.left_out) == (1, 3)
    assert [member.kept for member in RedisIndex(client, name).members()] == [None]
    with caplog.at_level(logging.WARNING):
        back = job(watched, *camera, "--allow-dropping")
    assert back.assembly.kept == 0
    assert "its members have no thumbnails, which local change compares" in caplog.text
    assert uniques_of(client, name) == ["a still.jpg", "c visitor.jpg", "d visitor.jpg"]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Three scenes, each also compressed more; with a radius of 2 only a second look tells them apart."""
    pictures = {f"{number} {quality}.jpg": jpeg(scene(number), quality) for number in range(3) for quality in (90, 60)}
    return written(tmp_path / "mixed", pictures)


OUTLINE_RED = (214, 39, 40)
LOOKED_AT = ["--agreement", "auto", "--threshold", "2"]


def test_a_second_look_tells_scenes_apart(job: Job, client: redis.Redis, name: str, mixed: Path) -> None:
    assert job(mixed, "--threshold", "2").assembly.unique == 1
    outcome = job(mixed, "--fresh", *LOOKED_AT)
    assert uniques_of(client, name) == ["0 60.jpg", "1 60.jpg", "2 60.jpg"]
    news = [jpeg(scene(7)), jpeg(scene(7), 60), jpeg(scene(1), 75)]
    outcomes = outcomes_of(client, name, news)
    assert [each.judged and each.judged.decision.duplicate_of for each in outcomes] == [None, "t-0-0", "1 60.jpg"]
    documents = [json.loads(sent.value or b"") for each in outcomes for sent in each.outgoing]
    assert documents[0]["edit"] is None
    assert all(abs(document["edit"]["turned"]) < 1 for document in documents[1:])
    assert all(document["agreement"] >= document["agreement_needed"] for document in documents[1:])
    # A message that comes again says the same to the last byte.
    again = [json.loads(sent.value or b"") for each in outcomes_of(client, name, news) for sent in each.outgoing]
    moments = dict.fromkeys(("decided_at", "latency_ms"))
    assert [document | moments for document in again] == [document | moments for document in documents]
    assert_holds(client, name)
    live = LiveGeneration(client, name)
    assert stats(live)["agreement"] == outcome.meta.agreement == DEFAULT_AGREEMENT
    document = neighbours(live, str(mixed / "2 90.jpg"), 10, None)
    assert (document["verdict"], document["duplicate_of"]) == ("duplicate", "2 60.jpg")
    lines = list(_LINES["neighbours"](document))
    assert sum("agreement" in line and "is needed" in line for line in lines) == len(document["neighbours"])
    agreed = [near["agreement"] >= near["agreement_needed"] for near in document["neighbours"]]
    assert agreed == [near["image_id"] == "2 60.jpg" for near in document["neighbours"]]


@pytest.mark.parametrize("sample", [None, 100])
def test_verify_warns_of_members_that_agree_by_the_points_stored_of_them_alone(
    job: Job, client: redis.Redis, name: str, tmp_path: Path, sample: int | None
) -> None:
    whole, half = photo(0), photo(0)
    half[:, 130:] = photo(1)[:, 130:]
    job(written(tmp_path / "one", {"a.jpg": jpeg(Image.fromarray(whole), 90)}), *LOOKED_AT)
    (stored,) = RedisIndex(client, name).members()
    # The same place, behind the index's back: such a pair may have been told apart, by points that nobody stored.
    pretender = replace(stored, key="pretender", image_id="pretender", kept=stored_kept(kept_of(half, Parts.LOOK)))
    client.rpush(IndexKeys(name).cell(1, 0), encode_member(pretender))
    document = Verification(client, name, sample=sample).run()
    wrong = {check["check"]: (check["holds"], check["wrong"]) for check in document["checks"]}
    assert wrong["distances"] == ("yes", 0)
    assert wrong["looks"] == ("warning", 1)
    # What agrees everywhere was never told apart.
    client.rpush(IndexKeys(name).cell(1, 0), encode_member(replace(stored, key="copy")))
    document = Verification(client, name, sample=sample).run()
    wrong = {check["check"]: (check["holds"], check["wrong"]) for check in document["checks"]}
    assert wrong["distances"] == ("no", 1)


def test_looks_are_carried_over_alone_and_beside_thumbnails_and_dropped_when_nobody_needs_them(
    job: Job, client: redis.Redis, name: str, mixed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def held() -> list[Parts]:
        return sorted({parts_of(member.kept) for member in RedisIndex(client, name).members()})

    both = [*LOOKED_AT, "--local-change", "200"]
    job(mixed, *both)
    assert judged(client, name, jpeg(scene(7))) == ["unique"]
    assert (job(mixed, *both).assembly.kept, held()) == (4, [Parts.THUMBNAIL | Parts.LOOK])
    assert (job(mixed, *LOOKED_AT, "--local-change", "off").assembly.kept, held()) == (4, [Parts.LOOK])
    assert judged(client, name, jpeg(scene(7), 60), first=1) == ["t-0-0"]
    plain = job(mixed, "--threshold", "2", "--agreement", "off", "--allow-dropping")
    assert (plain.assembly.kept, plain.assembly.left_out, held()) == (1, 3, [Parts.NOTHING])
    with caplog.at_level(logging.WARNING):
        assert job(mixed, *LOOKED_AT, "--allow-dropping").assembly.kept == 0
    assert "its members have no looks, which a second look compares" in caplog.text
    assert uniques_of(client, name) == ["0 60.jpg", "1 60.jpg", "2 60.jpg"]


def test_looks_stay_through_another_radius_a_copy_and_a_way_back(
    job: Job, client: redis.Redis, name: str, mixed: Path
) -> None:
    relation = job(mixed, *LOOKED_AT).meta.relation
    before = {member.key: encode_member(member) for member in RedisIndex(client, name).members()}
    set_radius(client, name, 1.9, "test", keep_ms=60_000, dry_run=False)
    index = RedisIndex(client, name)
    assert index.meta.relation == replace(relation, radius=1.9)
    assert {member.key: encode_member(member) for member in index.members()} == before
    copy_to(client, name, client, f"{name}-copy", "test", overwrite=False)
    assert RedisIndex(client, f"{name}-copy").meta.relation == index.meta.relation
    assert judged(client, name, jpeg(scene(7))) == ["unique"]
    rollback(client, name, keep_ms=60_000)
    assert RedisIndex(client, name).meta.relation == relation
    assert judged(client, name, jpeg(scene(7), 60), first=1) == ["t-0-0"]
    assert_holds(client, name)


def test_looks_of_another_version_are_refused_until_it_is_bootstrapped_again(
    job: Job, client: redis.Redis, name: str, mixed: Path
) -> None:
    before = job(mixed, *LOOKED_AT).meta
    key = RedisIndex(client, name)._keys.metadata(before.generation)
    client.set(key, json.dumps(json.loads(before.to_json()) | {"look_version": 99}))
    with pytest.raises(IndexMismatch, match=r"its looks have version 99, .* bootstrap it again"):
        RedisIndex(client, name)
    with pytest.raises(Misconfigured, match="its looks have version 99"):
        job(mixed, *LOOKED_AT)
    assert job(mixed, *LOOKED_AT, "--allow-dropping").assembly.kept == 0
    assert uniques_of(client, name) == ["0 60.jpg", "1 60.jpg", "2 60.jpg"]


def test_explain_tells_what_a_second_look_finds(
    job: Job, client: redis.Redis, name: str, mixed: Path, tmp_path: Path
) -> None:
    job(mixed, *LOOKED_AT, "--match-flips")
    live = LiveGeneration(client, name)
    mirrored = written(tmp_path / "copies", {"m.jpg": jpeg(scene(1).transpose(FLIP), 80)}) / "m.jpg"
    files = str(mixed / "1 60.jpg"), str(mixed / "0 60.jpg")
    alike = explain(live, str(mirrored), "1 60.jpg", picture=Picture(tmp_path / "alike.png", (None, files[0])))
    assert (alike["verdict"], alike["symmetry"], alike["edit"]["mirrored"]) == ("duplicate", "mirror", True)
    assert f"agreement {alike['agreement']:g}, {alike['agreement_needed']:g} is needed" in alike["why"]
    lines = "\n".join(explain_lines(alike))
    assert "A mirrored, shows all of the earlier image" in lines
    assert all(f"agreement {one['agreement']:g}, {one['agreement_needed']:g}" in lines for one in alike["compared"])
    unlike = explain(live, files[0], "0 60.jpg")
    assert (unlike["verdict"], unlike["edit"] is None) == ("unique", unlike["agreement"] == 0.0)
    assert unlike["agreement"] < unlike["agreement_needed"]
    job(mixed, "--threshold", "2", "--agreement", "off", "--match-flips", "--allow-dropping")
    [kept] = uniques_of(client, name)
    plain = explain(
        LiveGeneration(client, name), str(mirrored), kept, picture=Picture(tmp_path / "plain.png", (None, files[0]))
    )
    assert "agreement" not in plain
    assert (plain["least_agreement"], "edit" in "\n".join(explain_lines(plain))) == (None, False)
    red = [count_of(OUTLINE_RED, tmp_path / picture) for picture in ("alike.png", "plain.png")]
    assert red[0] > 100 > red[1]


def count_of(colour: tuple[int, int, int], picture: Path) -> int:
    return int((np.asarray(Image.open(picture).convert("RGB")) == colour).all(axis=2).sum())


@pytest.mark.parametrize("switch", ["--local-change=2.5", "--match-flips", "--agreement=auto"])
def test_lost_members_are_put_back_by_the_relation(
    job: Job, client: redis.Redis, name: str, watched: Path, switch: str
) -> None:
    job(watched, switch, "--threshold", "2" if switch == "--local-change=2.5" else "0.3")
    outcomes = outcomes_of(client, name, [jpeg(with_visitor(scene(0), 120)), jpeg(scene(7)), jpeg(scene(0))])
    lost = {
        member.key: encode_member(member)
        for member in RedisIndex(client, name).members()
        if member.key.startswith("t-0-")
    }
    assert lost
    live = LiveGeneration(client, name)
    for record in lost.values():
        assert sum(live.client.lrem(live.keys.cell(live.number, cell), 0, record) for cell in live.layout().leaves) == 1
    for dry_run in (True, False):
        generation = LiveGeneration(client, name)
        repairing = Repairing(generation, client, RedisIndexOptions(), dry_run=dry_run)
        repairing.take([sent for outcome in outcomes for sent in outcome.outgoing])
        report = repairing.report
        assert (report.restored, report.conflicts, report.not_restorable) == (len(lost), [], {})
    assert {each.key: encode_member(each) for each in RedisIndex(client, name).members() if each.key in lost} == lost


def test_an_exported_index_is_imported_with_its_looks(job: Job, client: redis.Redis, name: str, mixed: Path) -> None:
    file = mixed.parent / "index.json"
    before = job(mixed, *LOOKED_AT, "--local-change", "200", "--export", file).meta
    after = job("--import", file, "--fresh").meta
    assert after.relation == before.relation
    assert judged(client, name, jpeg(scene(2), 75), jpeg(scene(7))) == ["2 60.jpg", "unique"]
    file.write_text(file.read_text("utf-8").replace('"look_version": ', '"look_version": 9'), "utf-8")
    with pytest.raises(Misconfigured, match=r"index.json: its looks have version 9\d+"):
        job("--import", file, "--fresh")


def test_an_exported_index_is_imported_with_its_relation(
    job: Job, client: redis.Redis, name: str, watched: Path
) -> None:
    file = watched.parent / "index.json"
    before = job(watched, "--local-change", "2.5", "--match-flips", "--threshold", "2", "--export", file).meta
    after = job("--import", file, "--fresh").meta
    assert after.relation == before.relation
    assert judged(client, name, jpeg(with_visitor(scene(0), 220), 50).strip()) == ["d visitor.jpg"]
    mirrored = jpeg(with_visitor(scene(0), 220).transpose(FLIP), 70)
    assert judged(client, name, mirrored, first=1) == ["d visitor.jpg"]


def test_a_consumer_goes_on_with_a_generation_of_another_relation(
    job: Job, client: redis.Redis, name: str, scraped: Path
) -> None:
    originals = written(scraped.parent / "originals", {f"{n}.jpg": jpeg(scene(n)) for n in range(6)})
    job(originals)
    index = RedisIndex(client, name)
    with ThreadPoolExecutor(1) as executor:
        handler = Handler(
            descriptor=load_descriptor("dct", None),
            index=index,
            topics=OutputTopics("verdicts", "dead"),
            executor=executor,
            decoder=DecodeHere(DecodeLimits()),
            uris=UriReader([], 1),
            metrics=Metrics(),
        )
        mirrored = ImageMessage("t", 0, 7, 0, None, (scraped / "0 mirrored.jpg").read_bytes())
        described = handler.describe([mirrored])
        job(originals, "--match-flips")
        (outcome,) = handler.decide(described)
    assert outcome.judged is not None
    assert outcome.judged.decision.duplicate_of == "0.jpg"
    assert outcome.judged.decision.generation == 2
