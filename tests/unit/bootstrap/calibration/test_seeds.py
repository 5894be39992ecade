import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from bootstrap.calibration.edits import EDITS, MOVING_EDITS, SIDE_PX, edit_distances, edited
from bootstrap.calibration.looking import AGREEMENTS
from bootstrap.calibration.radius import FEWEST_IMAGES, Calibration
from bootstrap.calibration.seeds import SecondLook, calibrate_seeds
from bootstrap.calibration.wording import radius_origin
from bootstrap.seeds.describe import describe_seeds
from neardup.decoding.decode import decode
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors.base import Descriptor
from neardup.descriptors.dct import DctDescriptor
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.relation.rule import Relation
from neardup.sources.images import BrokenImage, BytesImage, SourceImage
from neardup.types import Pixels, Symmetry, Variant
from tests.support.drawings import cropped, jpeg_of, photo

pytestmark = pytest.mark.slow

DCT = DctDescriptor()
LIMITS = DecodeLimits()


def coarse(number: int, side_px: int = 96, cells: int = 8) -> Pixels:
    noise = np.random.default_rng(number).integers(0, 255, (cells, cells, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((side_px, side_px), Image.Resampling.BICUBIC))


def card(number: int) -> Pixels:
    """Return one of many cards: the same frame, bar and labels, with other words and numbers."""
    random = np.random.default_rng([5, number])
    image = Image.new("RGB", (320, 200), (235, 240, 250))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(20)
    draw.rectangle((4, 4, 315, 195), outline=(20, 40, 90), width=3)
    draw.rectangle((4, 4, 315, 44), fill=(20, 40, 90))
    draw.text((14, 10), "MEMBERSHIP CARD", (255, 255, 255), font)
    for line, label in enumerate(("Name", "City", "Number")):
        words = "".join(chr(97 + letter) for letter in random.integers(0, 26, 12))
        draw.text((14, 58 + 44 * line), label, (90, 90, 90), font)
        draw.text((110, 58 + 44 * line), words, (0, 0, 0), font)
    return np.asarray(image, dtype=np.uint8)


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def images(count: int, picture: Callable[[int], Pixels] = coarse) -> list[SourceImage]:
    return [BytesImage(f"{number}.png", png(picture(number))) for number in range(count)]


def calibrated(seeds: Sequence[SourceImage], descriptor: Descriptor = DCT, comparisons: int = 1) -> Calibration:
    described = describe_seeds(seeds, descriptor)
    ids = [image.image_id for image in described.images]
    return calibrate_seeds(seeds, ids, described.descriptors, descriptor, 1e-6, comparisons=comparisons)


class TestSeeds:
    def test_different_images_are_calibrated(self) -> None:
        found = calibrated(images(110))
        assert found.method == "pairs"
        assert found.images == 110
        assert found.edits["0.99"] < found.radius < 1.0
        assert found.warning == ""

    def test_names_and_order_do_not_matter(self) -> None:
        pictures = [png(coarse(number)) for number in range(104)]
        one = [BytesImage(f"a/{number}", data) for number, data in enumerate(pictures)]
        two = [BytesImage(f"{number}.x", data) for number, data in enumerate(reversed(pictures))]
        assert calibrated(one).document() == calibrated(two).document()

    def test_copies_do_not_count(self) -> None:
        pictures = [coarse(number) for number in range(104)]
        again = [
            BytesImage(f"{number}.jpg", next(iter(edited(Image.fromarray(p))))) for number, p in enumerate(pictures)
        ]
        once = [BytesImage(f"{number}.png", png(picture)) for number, picture in enumerate(pictures)]
        alone, both = calibrated(once), calibrated(once + again)
        assert (alone.images, both.images) == (104, 104)
        assert both.radius == pytest.approx(alone.radius, rel=0.02)

    def test_symmetries_make_the_radius_smaller(self) -> None:
        seeds = images(104)
        assert calibrated(seeds, comparisons=8).radius < calibrated(seeds).radius

    def test_too_few_take_the_default(self) -> None:
        found = calibrated(images(12))
        assert (found.method, found.radius, found.images) == ("default", DCT.default_radius, 12)
        assert f"the seed set has 12 different images and calibration needs {FEWEST_IMAGES}" in found.warning
        assert "measured on photos" in found.warning

    def test_one_image_many_times_takes_the_default(self) -> None:
        data = png(coarse(0))
        found = calibrated([BytesImage(str(number), data) for number in range(300)])
        assert (found.method, found.images) == ("default", 1)

    def test_a_descriptor_without_a_measured_radius_says_that_it_guesses(self) -> None:
        descriptor = PixelsDescriptor(8)
        descriptor.radius_is_measured = False
        assert "is a guess" in calibrated(images(12), descriptor).warning

    def test_seeds_that_are_gone_by_then_take_the_default(self) -> None:
        seeds = images(104)
        described = describe_seeds(seeds, DCT)
        gone = [BrokenImage(seed.image_id, FileNotFoundError(2, "No such file")) for seed in seeds]
        ids = [image.image_id for image in described.images]
        found = calibrate_seeds(gone, ids, described.descriptors, DCT, 1e-6)
        assert found.method == "default"
        assert "could not be read again" in found.warning

    @pytest.mark.parametrize("descriptor", [DCT, PixelsDescriptor(8)], ids=["dct", "pixels"])
    @pytest.mark.parametrize(
        "picture",
        [
            pytest.param(lambda number: np.full((1, 1, 3), number, np.uint8), id="1 px"),
            pytest.param(lambda number: coarse(number, 1 + number % 8), id="1 to 8 px"),
            pytest.param(lambda number: np.full((40, 40, 3), number, np.uint8), id="flat grey"),
            pytest.param(lambda number: np.repeat(coarse(number)[..., :1], 3, axis=2), id="grey"),
            pytest.param(lambda number: coarse(0) // 2 + np.uint8(number // 2), id="one scene"),
        ],
    )
    def test_odd_seeds_give_some_radius(self, picture: Callable[[int], Pixels], descriptor: Descriptor) -> None:
        found = calibrated(images(110, picture), descriptor)
        assert 0.0 <= found.radius <= 2.0
        assert found.method in {"pairs", "edits", "default"}
        assert (found.method == "pairs") or found.warning


def with_looks(seeds: Sequence[SourceImage], *, match_flips: bool = False) -> Calibration:
    relation = Relation(0.0, agreement=AGREEMENTS[0], match_flips=match_flips)
    described = describe_seeds(seeds, DCT, relation)
    ids = [image.image_id for image in described.images]
    second_look = SecondLook(described.compared, relation)
    return calibrate_seeds(
        seeds, ids, described.descriptors, DCT, 1e-6, comparisons=1 + match_flips, second_look=second_look
    )


def edits_of(number: int) -> list[Pixels]:
    """Return a picture and three copies, each with more than a light edit."""
    picture = photo(number)
    covered = picture.copy()
    covered[-40:] = 255
    return [picture, cropped(picture, 0.08), jpeg_of(picture // 2 + 60, 30), covered]


class TestSecondLook:
    def test_cards_of_one_layout_do_not_make_the_radius_small(self) -> None:
        seeds = [*images(60, card), *(BytesImage(f"{number}.jpg", png(photo(number))) for number in range(60))]
        found = with_looks(seeds)
        assert found.looked > 60 * 59 // 4  # most cards are near one another
        assert (found.method, found.radius) == ("shown", DCT.candidate_radius)
        assert found.images > 115
        assert found.agreement in AGREEMENTS
        assert found.found is not None
        assert found.found >= 0.9

    def test_many_pairs_make_it_a_sample(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bootstrap.calibration.copies.MOST_LOOKED", 100)
        monkeypatch.setattr("bootstrap.calibration.looking.MOST_LOOKED", 100)
        found = with_looks(
            [*images(30, card), *(BytesImage(f"{number}.jpg", png(photo(number))) for number in range(200))]
        )
        assert (found.images + found.copied, found.sampled_from) == (115, 230)
        assert f"from {found.images} different images, a sample of 230 seeds" in radius_origin(found.document())

    def test_too_few_take_the_default_and_the_least_agreement(self) -> None:
        found = with_looks(images(12, photo))
        assert (found.method, found.radius, found.agreement) == ("default", DCT.default_radius, AGREEMENTS[0])

    def test_a_candidate_that_nobody_measured_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seeds = images(104, photo)
        assert with_looks(seeds).warning == ""
        monkeypatch.setattr(DCT, "radius_is_measured", False)
        assert with_looks(seeds).warning.startswith("the radius 0.36 is the most that is taken, a guess")

    def test_mirrored_images_are_looked_at_where_they_match(self) -> None:
        seeds = images(104, photo)
        mirrored = [BytesImage("m.png", png(np.ascontiguousarray(photo(0)[:, ::-1])))]
        assert with_looks([*seeds, *mirrored], match_flips=True).method == "shown"


class TestCopies:
    @pytest.mark.parametrize(
        ("measure", "copied"),
        # Isolation alone sees 229 of the 312. Together with looks only those within the candidate radius matter.
        [pytest.param(calibrated, 280, id="distances"), pytest.param(with_looks, 200, id="second look")],
    )
    def test_a_seed_set_full_of_copies_is_told_and_keeps_its_radius(
        self, measure: Callable[[Sequence[SourceImage]], Calibration], copied: int
    ) -> None:
        pictures = [
            (f"{number:03d}-{copy}.png", each) for number in range(104) for copy, each in enumerate(edits_of(number))
        ]
        full = [BytesImage(name, png(picture)) for name, picture in pictures]
        alone, among_copies = measure(full[::4]), measure(full)
        assert (alone.images, alone.copied) == (104, 0)
        assert among_copies.copied > copied
        # A few heavy copies are not recognised, and take something off the radius.
        assert among_copies.radius > 0.5 * alone.radius
        of_one = [len({name[:3] for name in group}) == 1 for group in among_copies.copies]
        assert sum(of_one) > 0.95 * len(of_one)
        [*_, told] = among_copies.warnings
        assert told.startswith(
            f"{among_copies.copied} of {among_copies.images + among_copies.copied} images were taken"
        )
        assert ", ".join(among_copies.copies[0][:4]) in told
        assert told.endswith("bootstrap again from its uniques alone")


class TestEdits:
    def test_every_edit_can_be_decoded(self) -> None:
        copies = [decode(copy) for copy in edited(Image.fromarray(coarse(0)))]
        assert len(copies) == len(EDITS) + len(MOVING_EDITS)
        assert [copy.shape for copy in copies].count((48, 48, 3)) == 1

    @pytest.mark.parametrize("side_px", [1, 2, 8, 31])
    def test_small_images_are_not_moved(self, side_px: int) -> None:
        copies = [decode(copy) for copy in edited(Image.fromarray(coarse(0, side_px)))]
        assert [copy.shape for copy in copies] == [(side_px, side_px, 3)] * len(EDITS)

    def test_large_images_are_shrunk_first(self) -> None:
        assert decode(next(edited(Image.new("RGB", (4000, 1000))))).shape == (SIDE_PX // 4, SIDE_PX, 3)

    def test_distances_are_those_of_the_images_asked_for(self) -> None:
        seeds = images(3)
        described = describe_seeds(seeds, DCT)
        originals = {"1.png": Variant(Symmetry.NONE, described.descriptors[1])}
        found = edit_distances(seeds, originals, DCT, limits=LIMITS, workers=2)
        distances = found.l2
        assert np.isinf(found.passes_up_to).all()  # nobody looked
        assert len(distances) == len(EDITS) + len(MOVING_EDITS)
        assert distances[0] == 0.0  # PNG
        assert 0.0 < distances[-1] < DCT.default_radius
        assert distances.tolist() == sorted(distances.tolist())

    def test_nothing_asked_for_reads_nothing(self) -> None:
        broken = [BrokenImage("0", OSError("never read"))]
        assert len(edit_distances(broken, {}, DCT, limits=LIMITS, workers=1)) == 0
