import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bootstrap.generation.jsonstream
from bootstrap.generation.importing import import_snapshot
from bootstrap.generation.jsonstream import JsonObjectReader
from bootstrap.generation.snapshot import Snapshot, _float16_texts, export_snapshot, require_writable
from bootstrap.seeds.analyse import analyse_seeds
from bootstrap.seeds.describe import DescribedSeeds, SeedImage
from neardup.descriptors.base import unit_float16
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.errors import Misconfigured
from neardup.relation.rule import Relation
from tests.support.indexes import thumbnail, with_relation

PIXELS = PixelsDescriptor(4)


def snapshot_of(count: int = 30) -> Snapshot:
    random = np.random.default_rng(0)
    rows = unit_float16(random.uniform(0, 255, (count, PIXELS.dimension)).astype(np.float32))
    described = DescribedSeeds([SeedImage(f"日本/{number}.jpg", number) for number in range(count)], rows)
    return analyse_seeds(described, PIXELS, clusters=3, radius=0.01).snapshot()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "index.json"
    export_snapshot(snapshot_of(), path)
    return path


def test_round_trip_is_exact(exported: Path) -> None:
    before, after = snapshot_of(), import_snapshot(exported, PIXELS)
    assert after.cells.centroids.tobytes() == before.cells.centroids.tobytes()
    assert after.clusters.tolist() == before.clusters.tolist()
    for one, other in zip(before.members, after.members, strict=True):
        assert one.descriptor.tobytes() == other.descriptor.tobytes()
        assert (one.key, one.image_id, one.captured_at_ms) == (other.key, other.image_id, other.captured_at_ms)
    assert after.meta.seed == {"images": 30, "unique": 30, "duplicates": 0, "unreadable": 0, "carried": 0}
    assert (after.meta.radius, after.meta.fingerprint) == (0.01, PIXELS.fingerprint)


def camera_snapshot() -> Snapshot:
    """Return a snapshot whose members have thumbnails; their relation has every switch on."""
    snapshot = snapshot_of()
    relation = Relation(0.01, local_change=2.5, match_flips=True, match_rotations=True)
    members = [replace(each, kept=thumbnail((number, 3))) for number, each in enumerate(snapshot.members[:25])]
    return Snapshot(with_relation(snapshot.meta, relation), snapshot.cells, members, snapshot.clusters[:25])


def test_thumbnails_and_the_relation_come_back(tmp_path: Path) -> None:
    before, path = camera_snapshot(), tmp_path / "camera.json"
    export_snapshot(before, path)
    after = import_snapshot(path, PIXELS)
    assert after.meta.relation == before.meta.relation
    for one, other in zip(before.members, after.members, strict=True):
        assert one.kept is not None
        assert other.kept is not None
        assert np.array_equal(one.kept, other.kept)


def test_a_file_of_before_there_were_relations_is_read(exported: Path) -> None:
    fields = json.loads(exported.read_text("utf-8"))
    for name in ("local_change", "match_flips", "match_rotations"):
        del fields["meta"][name]
    exported.write_text(json.dumps(fields), "utf-8")
    assert import_snapshot(exported, PIXELS).meta.relation == Relation(0.01)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (
            lambda file: file["members"][3].pop("thumbnail"),
            "member 3 has nothing kept, not a thumbnail",
        ),
        (
            lambda file: file["meta"].update(local_change=None),
            "member 0 has a thumbnail kept, not nothing",
        ),
        (lambda file: file["meta"].update(local_change="2"), "its local_change '2' is neither null nor a number"),
        (lambda file: file["meta"].update(local_change=-1), "its local_change -1 is neither null nor a number"),
        (lambda file: file["meta"].update(match_flips=1), "its match_flips is neither true nor false"),
        (lambda file: file["members"][0].update(thumbnail="AAAA"), 'member 0: "thumbnail" has 3 bytes'),
        (lambda file: file["members"][0].update(thumbnail="é"), 'member 0: "thumbnail" is not base64'),
        (lambda file: file["members"][0].update(thumbnail=7), 'member 0: "thumbnail" is not base64'),
    ],
)
def test_a_wrong_relation_is_refused(tmp_path: Path, change: Callable[[Any], object], wrong: str) -> None:
    path = tmp_path / "camera.json"
    export_snapshot(camera_snapshot(), path)
    fields = json.loads(path.read_text("utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), "utf-8")
    with pytest.raises(Misconfigured, match=re.escape(wrong)):
        import_snapshot(path, PIXELS)


def test_every_float16_survives_its_text() -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = np.isfinite(values)
    texts = [text for text, good in zip(_float16_texts(), finite, strict=True) if good]
    back = np.array(json.loads(f"[{','.join(texts)}]"), dtype=np.float64).astype(np.float16)
    assert back.tobytes() == values[finite].tobytes()


def test_any_json_tool_may_have_rewritten_the_file(exported: Path) -> None:
    fields = json.loads(exported.read_text("utf-8"))
    exported.write_text(json.dumps(dict(reversed(fields.items())), indent=1), "utf-8")
    again = import_snapshot(exported, PIXELS)
    assert [member.image_id for member in again.members] == [member.image_id for member in snapshot_of().members]


def test_an_existing_file_is_replaced_only_when_all_is_written(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported.write_text("old")

    def fails(*_: object) -> Any:  # noqa: ANN401
        yield "{}"
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("bootstrap.generation.snapshot._member_texts", fails)
        with pytest.raises(KeyboardInterrupt):
            export_snapshot(snapshot_of(), exported)
    assert exported.read_text() == "old"
    assert [path.name for path in exported.parent.iterdir()] == ["index.json"]
    export_snapshot(snapshot_of(), exported)
    import_snapshot(exported, PIXELS)


def test_a_file_that_cannot_be_written_is_refused_before_and_after(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "x.json"):
        with pytest.raises(Misconfigured, match=r"^--export"):
            require_writable(path)
    with pytest.raises(Misconfigured, match="No such file"):
        export_snapshot(snapshot_of(3), tmp_path / "nowhere" / "x.json")


@pytest.mark.parametrize(
    ("wrong_ms", "told"),
    [
        (2_082_758_400_000, "2036-01-01T00:00:00.000+00:00"),
        (1_700_000_000_000_000, "1700000000000000, which would be a time in microseconds"),
        (1_700_000_000, "1700000000, which would be a time in seconds"),
        (-1_700_000_000_000, "1916-02-18T01:46:40.000+00:00"),
        (0, None),
        (-1, None),
        (1_700_000_000_000, None),
    ],
)
def test_a_wrong_time_is_told_and_kept_as_it_is(
    exported: Path, caplog: pytest.LogCaptureFixture, wrong_ms: int, told: str | None
) -> None:
    fields = json.loads(exported.read_text("utf-8"))
    for number, member in enumerate(fields["members"]):
        member["captured_at_ms"] = wrong_ms if number in {4, 5} else 1_700_000_000_000
    exported.write_text(json.dumps(fields), "utf-8")
    assert [each.captured_at_ms for each in import_snapshot(exported, PIXELS).members[4:7]] == [
        *(wrong_ms, wrong_ms, 1_700_000_000_000)
    ]
    assert [record.getMessage() for record in caplog.records] == (
        [f"the time of 2 of 30 members counts as unknown; the first is member 4, with captured_at_ms {told}"]
        if told
        else []
    )


def change_member(**fields: object) -> Callable[[dict[str, Any]], None]:
    return lambda file: file["members"][4].update(fields)


def change_meta(**fields: object) -> Callable[[dict[str, Any]], None]:
    return lambda file: file["meta"].update(fields)


def numbers(value: float, at: int = 0, count: int = PIXELS.dimension) -> list[float]:
    return [value if place == at else 0.0 for place in range(count)]


def move_to_another_cluster(file: dict[str, Any]) -> None:
    file["members"][4]["cluster"] = (file["members"][4]["cluster"] + 1) % 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_member(descriptor=numbers(float("nan"))), "member 4 holds NaN, infinity or a number too large"),
        (change_member(descriptor=numbers(70_000.0)), "member 4 holds NaN, infinity or a number too large"),
        (change_member(descriptor=numbers(2.0)), "member 4: its descriptor is not of length 1"),
        (change_member(descriptor=numbers(1.0, count=7)), "member 4 has 7 numbers, it should have 48"),
        (change_member(descriptor=["a"] * 48), "member 4 is not a list of numbers"),
        (change_member(descriptor=[[1.0]] * 48), "member 4 is not a list of numbers"),
        (change_member(descriptor=None), 'member 4: "descriptor" is missing or not of type list'),
        (change_member(cluster=3), "member 4: its cluster is not from 0 to 2"),
        (change_member(cluster=-1), "member 4: its cluster is not from 0 to 2"),
        (change_member(cluster=10**30), "member 4: its cluster is not from 0 to 2"),
        (change_member(cluster="1"), 'member 4: "cluster" is missing or not of type int'),
        (change_member(cluster=True), 'member 4: "cluster" is missing or not of type int'),
        (move_to_another_cluster, "member 4: its cluster is"),
        (change_member(captured_at_ms=2**63), 'member 4: "captured_at_ms" is out of range'),
        (change_member(key="seed:日本/3.jpg"), "two members have the key 'seed:日本/3.jpg'"),
        (change_member(image_id=""), 'member 4: "image_id" is empty or longer'),
        (change_member(image_id="\ud800"), 'member 4: "image_id" is not Unicode text'),
        (lambda file: file["members"].insert(4, 7), 'member 4: "key" is missing'),
        (lambda file: file["centroids"][1].__setitem__(0, float("inf")), "centroid 1 holds NaN"),
        (lambda file: file["centroids"][1].pop(), "centroid 1 has 47 numbers, it should have 48"),
        (lambda file: file.update(members=[]), '"members" is missing or empty'),
        (lambda file: file.update(centroids=7), "'7' stands where '\\[' should"),
        (lambda file: file.pop("centroids"), '"centroids" is missing or empty'),
        (lambda file: file.update(format="other"), "it is not an exported index"),
        (lambda file: file.pop("format"), "it is not an exported index"),
        (lambda file: file.update(format_version=2), "it has format version 2, this version reads 1"),
        (lambda file: file["meta"].pop("seed"), '"meta" has no seed'),
        (change_meta(dimension=7), "its dimension is 7, that of pixels:4 is 48"),
        (change_meta(radius=2.5), "its radius 2.5 is not a number from 0 to 2"),
        (change_meta(radius="a"), "its radius 'a' is not a number from 0 to 2"),
        (change_meta(seed=[]), '"seed" is not an object'),
    ],
)
def test_what_an_index_relies_on_is_checked(
    exported: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    fields = json.loads(exported.read_text("utf-8"))
    change(fields)
    exported.write_text(json.dumps(fields), "utf-8")
    with pytest.raises(Misconfigured, match=message) as error:
        import_snapshot(exported, PIXELS)
    assert str(error.value).startswith(f"--import: {exported}")
    assert "\n" not in str(error.value)


def test_another_descriptor_is_refused(exported: Path) -> None:
    with pytest.raises(Misconfigured, match=r"described by pixels:4 \(.*\), this process uses pixels:5"):
        import_snapshot(exported, PixelsDescriptor(5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends too early"),
        (b"hello", "stands where"),
        (b"[1]", "stands where"),
        (b'{"format": "neardup-index", "meta": {', "is not JSON"),
        (b'{"format": "neardup-index"} and more', "there is more after the end"),
        (b"{1: 2}", "stands where a name should"),
        (b'{"format" "neardup-index"}', "stands where ':' should"),
        (b'{"format": "\xff"}', "utf-8"),
        (b"\x89PNG\r\n\x1a\n", "utf-8"),
        (b'{"meta": ' + b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(Misconfigured, match=message):
        import_snapshot(path, PIXELS)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(exported: Path, part: float) -> None:
    content = exported.read_bytes()
    exported.write_bytes(content[: int(part * len(content))])
    with pytest.raises(Misconfigured, match=r"not JSON|ends too early"):
        import_snapshot(exported, PIXELS)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file or directory"):
        import_snapshot(tmp_path / "nothing.json", PIXELS)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4), st.integers(1, 5), st.booleans())
def test_reader_equals_json_whatever_the_chunks(fields: dict[str, Any], chunk: int, indented: bool) -> None:  # noqa: FBT001
    text = json.dumps(fields, indent=2 if indented else None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bootstrap.generation.jsonstream, "_CHUNK_CHARACTERS", chunk)
        reader = JsonObjectReader(io.StringIO(text))
        found = {
            name: list(reader.elements()) if isinstance(fields[name], list) else reader.value()
            for name in reader.names()
        }
    assert found == fields
