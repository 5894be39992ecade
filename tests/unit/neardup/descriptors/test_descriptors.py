"""What every descriptor does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import bootstrap.settings
import consumer.folder.settings
from neardup.descriptors import DESCRIPTORS, SPECS, load_descriptor
from neardup.descriptors.base import Descriptor, thumbnail, unit_float16
from neardup.descriptors.names import Entry
from neardup.descriptors.pca import fit_pca
from neardup.descriptors.projected import ProjectedDescriptor
from neardup.errors import Misconfigured, Undescribable
from neardup.search.distance import l2_distances
from neardup.settings.options import options_of
from neardup.settings.profiles import PROFILES
from tests.support.pictures import GENERATED, flat, generated

WEIGHTLESS = [
    *(form for entry in DESCRIPTORS.values() if entry.no_weights for form in entry.forms if form.islower()),
    *("pixels:320", "pixels:1"),
]
DOCUMENTATION = Path(__file__).resolve().parents[4] / "docs/descriptors.md"
PROJECTED = "projected"
NETWORK = pytest.param("keras:MobileNetV3Small", marks=[pytest.mark.tensorflow, pytest.mark.timeout(600)])


@pytest.fixture(scope="module", params=[*WEIGHTLESS, PROJECTED, NETWORK])
def descriptor(request: pytest.FixtureRequest) -> Descriptor:
    if request.param != PROJECTED:
        weights = None if request.param in WEIGHTLESS else "none"
        return load_descriptor(request.param, weights)
    raw = load_descriptor("pixels:8")
    seeds = raw.describe([raw.prepare(generated(seed)) for seed in range(20)])
    return ProjectedDescriptor(raw, fit_pca(seeds, 6))


@pytest.fixture(scope="module")
def prepared(descriptor: Descriptor) -> list[NDArray[np.uint8]]:
    return [descriptor.prepare(pixels) for pixels in GENERATED]


class TestUniversal:
    def test_shape_type_norm(self, descriptor: Descriptor, prepared: list[NDArray[np.uint8]]) -> None:
        rows = descriptor.describe(prepared)
        assert rows.shape == (len(prepared), descriptor.dimension)
        assert rows.dtype == np.float16
        assert np.isfinite(rows).all()
        assert np.linalg.norm(rows.astype(np.float64), axis=1) == pytest.approx(1.0, abs=2.0**-10)

    def test_prepared_images_have_one_shape(self, prepared: list[NDArray[np.uint8]]) -> None:
        assert {(each.shape, each.dtype.name) for each in prepared} == {(prepared[0].shape, "uint8")}

    def test_deterministic(self, descriptor: Descriptor, prepared: list[NDArray[np.uint8]]) -> None:
        again = [descriptor.prepare(pixels) for pixels in GENERATED]
        assert descriptor.describe(again).tobytes() == descriptor.describe(prepared).tobytes()

    def test_input_is_left_alone(self, descriptor: Descriptor) -> None:
        pixels = GENERATED[0].copy()
        one = descriptor.prepare(pixels).copy()
        before = one.copy()
        descriptor.describe([one])
        assert np.array_equal(pixels, GENERATED[0])
        assert np.array_equal(one, before)

    def test_the_same_singly_and_in_a_batch(self, descriptor: Descriptor, prepared: list[NDArray[np.uint8]]) -> None:
        together = descriptor.describe(prepared)
        singly = np.concatenate([descriptor.describe([each]) for each in prepared])
        assert singly.tobytes() == together.tobytes()

    def test_order_within_a_batch_does_not_count(
        self, descriptor: Descriptor, prepared: list[NDArray[np.uint8]]
    ) -> None:
        forwards, backwards = descriptor.describe(prepared), descriptor.describe(prepared[::-1])
        assert np.array_equal(forwards, backwards[::-1])

    def test_an_empty_batch(self, descriptor: Descriptor) -> None:
        rows = descriptor.describe([])
        assert rows.shape == (0, descriptor.dimension)
        assert rows.dtype == np.float16

    def test_different_images_lie_apart(self, descriptor: Descriptor, prepared: list[NDArray[np.uint8]]) -> None:
        if descriptor.dimension > 3:
            rows = descriptor.describe(prepared[:2])
            assert l2_distances(rows[:1], rows[1:])[0, 0] > 0.05

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2), (64, 64)])
    def test_every_size_is_described(self, descriptor: Descriptor, size: tuple[int, int]) -> None:
        rows = descriptor.describe([descriptor.prepare(generated(1, *size))])
        assert np.isfinite(rows).all()

    def test_what_a_command_line_needs(self, descriptor: Descriptor) -> None:
        assert descriptor.spec.partition(":")[0] in DESCRIPTORS
        assert 0 < descriptor.default_radius < 2
        assert descriptor.reduce_to_px > 0
        assert descriptor.fingerprint.startswith(descriptor.spec.partition(":")[0])

    def test_the_documentation_says_the_same(self, descriptor: Descriptor) -> None:
        if descriptor.spec in {"dct", "pixels:32", "pixels:320"}:
            name = descriptor.spec.removesuffix(":32")
            size = f"{descriptor.dimension:,} | {2 * descriptor.dimension:,}"
            assert f"| `{name}` | {size} | {descriptor.default_radius:g} |" in DOCUMENTATION.read_text("utf-8")


class TestFlatImages:
    """Black, white and grey have no texture; they must not be described by noise."""

    @pytest.mark.parametrize("level", [0, 1, 128, 255])
    def test_finite_and_of_unit_norm(self, descriptor: Descriptor, level: int) -> None:
        row = descriptor.describe([descriptor.prepare(flat(level, level, level))])[0]
        assert np.linalg.norm(row.astype(np.float64)) == pytest.approx(1.0, abs=2.0**-10)

    @pytest.mark.parametrize("level", [0, 128, 255])
    def test_equal_ones_are_duplicates_whatever_their_size(self, descriptor: Descriptor, level: int) -> None:
        images = [flat(level, level, level, *size) for size in ((100, 100), (300, 200))]
        rows = descriptor.describe([descriptor.prepare(pixels) for pixels in images])
        assert l2_distances(rows[:1], rows[1:])[0, 0] == 0.0

    def test_flat_and_textured_lie_apart(self, descriptor: Descriptor, prepared: list[NDArray[np.uint8]]) -> None:
        if descriptor.spec in {"dct", "pixels:32", "pixels:320"}:
            rows = descriptor.describe([descriptor.prepare(flat(128, 128, 128)), prepared[0]])
            assert l2_distances(rows[:1], rows[1:])[0, 0] > descriptor.default_radius


def test_pixels_makes_black_the_same_as_grey() -> None:
    # All zeros have no direction; brightness scales out of all other grey images.
    pixels = load_descriptor("pixels")
    rows = pixels.describe([pixels.prepare(flat(level, level, level)) for level in (0, 1, 77, 255)])
    assert (l2_distances(rows, rows) == 0).all()


@pytest.mark.parametrize("spec", ["dct", "pixels"])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 17, 64, 300])
def test_a_batch_of_any_size_gives_the_same_bits(spec: str, count: int) -> None:
    descriptor = load_descriptor(spec)
    shape = (300, *descriptor.prepare(GENERATED[0]).shape)
    noise = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    singly = np.concatenate([descriptor.describe([each]) for each in noise])
    batches = [descriptor.describe(list(noise[start : start + count])) for start in range(0, 300, count)]
    assert np.concatenate(batches).tobytes() == singly.tobytes()


class TestNames:
    def test_each_stands_first_in_its_forms(self) -> None:
        for name, entry in DESCRIPTORS.items():
            assert {form.partition(":")[0] for form in entry.forms} == {name}

    @pytest.mark.parametrize("name", DESCRIPTORS)
    def test_each_refuses_what_is_none_of_its_forms(self, name: str) -> None:
        with pytest.raises(Misconfigured, match="descriptor") as caught:
            load_descriptor(f"{name}::")
        assert f"{name}::" in str(caught.value)

    @pytest.mark.parametrize(("name", "entry"), [each for each in DESCRIPTORS.items() if each[1].no_weights])
    def test_a_weights_file_is_refused_before_anything_is_loaded(self, name: str, entry: Entry) -> None:
        with pytest.raises(Misconfigured, match=f"'{name}:x' takes no weights file: {entry.no_weights}; leave"):
            load_descriptor(f"{name}:x", "weights.h5")

    def test_profiles_name_descriptors(self) -> None:
        assert {settings["descriptor"] for settings in PROFILES.values()} <= set(DESCRIPTORS)

    def test_settings_know_them_without_loading_any(self) -> None:
        script = (
            "import sys, bootstrap.settings, consumer.settings\n"
            "print([name for name in ('numpy', 'PIL', 'asyncio', 'ssl') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
        assert done.stdout == "[]\n"


class TestLoading:
    @pytest.mark.parametrize(
        "spec",
        [
            *("", "sift", "DCT", "dct:64", "pixels:0", "pixels:-1", "pixels:1025", "pixels:x", "pixels:²", "vgg16:1"),
            *("keras", "keras:", "keras::flat", "keras:VGG16:max", "keras:VGG16:flat:x", "file", "file:"),
        ],
    )
    def test_unknown_specs_are_refused_by_name(self, spec: str) -> None:
        with pytest.raises(Misconfigured, match="descriptor") as caught:
            load_descriptor(spec)
        assert repr(spec) in str(caught.value)

    @pytest.mark.parametrize(("spec", "near"), [("pixel", "pixels"), ("DCT", "dct"), ("VGG-16", "vgg16")])
    def test_a_near_name_is_offered(self, spec: str, near: str) -> None:
        with pytest.raises(Misconfigured, match=f"did you mean {near}\\?$"):
            load_descriptor(spec)

    @pytest.mark.parametrize("settings", [bootstrap.settings.Settings, consumer.folder.settings.FolderSettings])
    def test_help_names_them_all(self, settings: type[object]) -> None:
        texts = {option.flag: option.text for _, option in options_of(settings)}
        assert SPECS in texts["--descriptor"]

    @pytest.mark.parametrize("spec", ["dct", "pixels:32", "pixels:320", "pixels:1024"])
    def test_a_spec_loads_the_descriptor_that_says_it(self, spec: str) -> None:
        assert load_descriptor(spec).spec == spec

    def test_pixels_alone_means_its_default_side(self) -> None:
        assert load_descriptor("pixels").fingerprint == load_descriptor("pixels:32").fingerprint

    def test_the_article_has_its_threshold(self) -> None:
        assert load_descriptor("pixels:320").default_radius == 0.023

    def test_fingerprints_are_stable_and_differ(self) -> None:
        specs = ["dct", "pixels:31", "pixels:32", "pixels:320"]
        fingerprints = [load_descriptor(spec).fingerprint for spec in specs]
        assert fingerprints == [load_descriptor(spec).fingerprint for spec in specs]
        assert len(set(fingerprints)) == len(specs)


class TestUnit:
    def test_rows_are_scaled_to_unit_length(self) -> None:
        assert unit_float16(np.array([[3, 4], [0, -7]], dtype=np.float32)).tolist() == [
            [np.float16(0.6), np.float16(0.8)],
            [0.0, -1.0],
        ]

    def test_zeros_get_the_even_direction(self) -> None:
        assert unit_float16(np.zeros((1, 4), dtype=np.float32)).tolist() == [[0.5] * 4]

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_refused(self, value: float) -> None:
        with pytest.raises(Undescribable):
            unit_float16(np.array([[1, 2], [value, 1]], dtype=np.float32))

    def test_tiny_and_huge_rows(self) -> None:
        rows = unit_float16(np.array([[1e-30, 0], [3e38, 3e38]], dtype=np.float32))
        assert rows.tolist() == [[1.0, 0.0], [np.float16(np.sqrt(0.5))] * 2]


class TestThumbnail:
    @pytest.mark.parametrize("size", [(300, 200), (37, 91), (10, 10)])
    def test_a_flat_image_stays_flat(self, size: tuple[int, int]) -> None:
        assert np.array_equal(thumbnail(flat(10, 20, 30, *size), 16), flat(10, 20, 30, 16, 16))

    def test_the_mean_is_kept(self) -> None:
        small = thumbnail(GENERATED[0], 32)
        assert small.mean(axis=(0, 1)) == pytest.approx(GENERATED[0].mean(axis=(0, 1)), abs=2)

    def test_fine_detail_is_averaged_not_sampled(self) -> None:
        checkerboard = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
        pixels = np.repeat(checkerboard[:, :, np.newaxis], 3, axis=2)
        assert np.abs(thumbnail(pixels, 32).astype(int) - 127).max() <= 2
