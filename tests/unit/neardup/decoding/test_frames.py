"""Of animations and pages the first with something to see counts, put together as viewers do."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, TiffImagePlugin

from neardup.decoding.decode import EXIF_ORIENTATION, decode, decode_file
from neardup.decoding.frames import MOST_COUNTED, MOST_FRAMES, coarse_contrast
from neardup.decoding.limits import DecodeLimits
from neardup.types import Pixels
from tests.support.animations import Frame, gif, png, webp
from tests.support.pictures import generated

SIZE = (64, 48)
WHITE, BLACK = Image.new("RGB", SIZE, "white"), Image.new("RGB", SIZE)
PICTURE, OTHER = (Image.fromarray(generated(seed, *SIZE)) for seed in (1, 2))
ANIMATED = ["GIF", "WEBP", "PNG", "AVIF"]
WRITERS = {"gif": gif, "png": png, "webp": webp}
Writer = Callable[[tuple[int, int], list[Frame]], bytes]


def saved(frames: list[Image.Image], image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, image_format, save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


def shows(pixels: Pixels, image: Image.Image) -> bool:
    """Return whether pixels are the image but for what lossy encoding changes."""
    assert pixels.shape == (image.height, image.width, 3)
    return float(np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"), dtype=int)).mean()) < 8


def faded(share: float, ground: Image.Image = BLACK) -> Image.Image:
    return Image.blend(ground, PICTURE, share)


class TestWhatCounts:
    @pytest.mark.parametrize("image_format", [*ANIMATED, "TIFF"])
    def test_the_first_frame_with_contrast(self, image_format: str) -> None:
        found = decode_file(saved([WHITE, BLACK, PICTURE, OTHER], image_format))
        assert shows(found.pixels, PICTURE)
        assert found.frames == 4

    @pytest.mark.parametrize("image_format", ANIMATED)
    @pytest.mark.parametrize("ground", [BLACK, WHITE], ids=["from black", "from white"])
    def test_a_fade_counts_once_it_is_seen(self, image_format: str, ground: Image.Image) -> None:
        frames = [faded(share, ground) for share in (0, 0.1, 0.5, 0.7, 1)]
        assert shows(decode(saved(frames, image_format, duration=80)), frames[2])

    @pytest.mark.parametrize("image_format", [*ANIMATED, "TIFF"])
    def test_a_first_frame_with_contrast_is_all_that_is_decoded(self, image_format: str) -> None:
        assert shows(decode(saved([PICTURE, OTHER], image_format)), PICTURE)

    @pytest.mark.parametrize("image_format", [*ANIMATED, "TIFF"])
    def test_the_one_with_most_where_none_has_enough(self, image_format: str) -> None:
        frames = [BLACK, faded(0.05), faded(0.1), faded(0.02)]
        found = decode(saved(frames, image_format, duration=80))
        # Frames differ by a few grey levels: their contrast tells them apart.
        contrasts = [coarse_contrast(frame) for frame in frames]
        assert coarse_contrast(Image.fromarray(found)) == pytest.approx(max(contrasts), rel=0.2)

    def test_a_form_is_no_cover_sheet(self) -> None:
        cover, form, page = (Image.new("L", (620, 877), 255) for _ in range(3))
        ImageDraw.Draw(cover).rectangle((50, 50, 570, 150), outline=0, width=3)
        for line in range(12):
            ImageDraw.Draw(form).rectangle((150, 100 + 60 * line, 490, 130 + 60 * line), outline=0, width=2)
            ImageDraw.Draw(page).rectangle((50, 60 + 60 * line, 300 + 20 * line, 85 + 60 * line), fill=0)
        assert shows(decode(saved([cover, page], "TIFF")), page)
        assert shows(decode(saved([form, page], "TIFF")), form)

    @pytest.mark.parametrize("image_format", ["WEBP", "PNG"])
    def test_a_sticker_that_begins_empty(self, image_format: str) -> None:
        sticker = Image.new("RGBA", SIZE)
        ImageDraw.Draw(sticker).ellipse((10, 10, 50, 40), fill=(220, 60, 60, 255))
        on_white = WHITE.copy()
        on_white.paste(sticker, mask=sticker)
        found = decode(saved([Image.new("RGBA", SIZE), sticker], image_format, lossless=True))
        assert shows(found, on_white)

    def test_a_heic_names_the_one_that_counts(self) -> None:
        pytest.importorskip("pillow_heif").register_heif_opener()
        found = decode_file(saved([WHITE, PICTURE], "HEIF", primary_index=0))
        assert shows(found.pixels, WHITE)
        assert found.frames == 2

    @pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "MPO"])
    def test_a_still_is_one(self, image_format: str) -> None:
        buffer = io.BytesIO()
        WHITE.save(buffer, image_format)
        found = decode_file(buffer.getvalue())
        assert found.frames == 1
        assert shows(found.pixels, WHITE)


class TestBounds:
    @pytest.mark.parametrize("image_format", ANIMATED)
    @pytest.mark.parametrize(("blank_ms", "expected"), [(4800, PICTURE), (5200, WHITE)], ids=["within", "beyond"])
    def test_of_time(self, image_format: str, blank_ms: int, expected: Image.Image) -> None:
        data = saved([WHITE, PICTURE], image_format, duration=[blank_ms, 100])
        assert shows(decode(data), expected)

    @pytest.mark.parametrize("make", WRITERS.values(), ids=WRITERS)
    @pytest.mark.parametrize(("blank", "expected"), [(MOST_FRAMES - 1, PICTURE), (MOST_FRAMES, WHITE)])
    def test_of_frames(self, make: Writer, blank: int, expected: Image.Image) -> None:
        small = (16, 16)
        frames = [*[WHITE.resize(small)] * blank, PICTURE.resize(small)]
        found = decode_file(make(small, [Frame(frame, duration_ms=20) for frame in frames]))
        assert shows(found.pixels, expected.resize(small))
        assert found.frames == blank + 1

    @pytest.mark.parametrize("image_format", [*ANIMATED, "TIFF"])
    @pytest.mark.parametrize(("of_frames", "expected"), [(1, WHITE), (2, PICTURE)])
    def test_of_pixels(self, image_format: str, of_frames: int, expected: Image.Image) -> None:
        limits = DecodeLimits(max_pixels=of_frames * SIZE[0] * SIZE[1])
        assert shows(decode(saved([WHITE, PICTURE], image_format), limits=limits), expected)

    def test_of_a_page_s_pixels(self) -> None:
        limits = DecodeLimits(max_pixels=3 * SIZE[0] * SIZE[1])
        data = saved([WHITE, PICTURE.resize((128, 96))], "TIFF")
        assert shows(decode(data, limits=limits), WHITE)

    def test_of_what_is_counted(self) -> None:
        frames = [Frame(WHITE.resize((1, 1)))] * (MOST_COUNTED + 5)
        assert decode_file(gif((1, 1), frames)).frames == MOST_COUNTED

    def test_a_gif_s_frame_of_no_time_is_shown_as_long_as_browsers_do(self) -> None:
        frames = [Frame(WHITE, duration_ms=0)] * 60
        assert shows(decode(gif(SIZE, [*frames[:45], Frame(PICTURE)])), PICTURE)
        assert shows(decode(gif(SIZE, [*frames, Frame(PICTURE)])), WHITE)


class TestAsViewersShowIt:
    @pytest.mark.parametrize("make", WRITERS.values(), ids=WRITERS)
    @pytest.mark.parametrize("more", [0, 2])
    def test_where_a_first_frame_does_not_reach_is_white(self, make: Writer, more: int) -> None:
        seen = WHITE.resize((96, 80))
        seen.paste(PICTURE, (20, 10))
        frames = [Frame(PICTURE, 20, 10), *[Frame(OTHER, 0, 0)] * more]
        data = png(seen.size, frames, not_shown=BLACK.resize(seen.size)) if make is png else make(seen.size, frames)
        found = decode_file(data)
        assert shows(found.pixels, seen)
        assert found.frames == 1 + more

    @pytest.mark.parametrize(("after", "left"), [(0, "#e0e0e0"), (1, "#e0e0e0"), (2, "white"), (3, "#ffffd0")])
    def test_what_a_frame_of_a_gif_leaves(self, after: int, left: str) -> None:
        assert_leaves(gif, after, left)

    @pytest.mark.parametrize(("after", "left"), [(0, "#e0e0e0"), (1, "white"), (2, "#ffffd0")])
    def test_what_a_frame_of_a_png_leaves(self, after: int, left: str) -> None:
        assert_leaves(png, after, left)

    @pytest.mark.parametrize(("after", "left"), [(0, "#e0e0e0"), (1, "white")])
    def test_what_a_frame_of_a_webp_leaves(self, after: int, left: str) -> None:
        assert_leaves(webp, after, left)

    def test_a_png_s_picture_for_other_viewers_is_not_seen(self) -> None:
        data = png(SIZE, [Frame(PICTURE)], not_shown=OTHER)
        assert shows(decode(data), PICTURE)
        assert decode_file(data).frames == 1

    def test_a_png_is_turned_by_its_exif(self) -> None:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6
        data = saved([WHITE, PICTURE], "PNG", exif=exif)
        assert shows(decode(data), PICTURE.transpose(Image.Transpose.ROTATE_270))

    # Pillow's writer closes its file once more as it goes, which Python 3.13 tells.
    @pytest.mark.filterwarnings("ignore:Exception ignored.*AppendingTiffWriter:pytest.PytestUnraisableExceptionWarning")
    def test_smaller_forms_and_masks_are_no_pages(self, tmp_path: Path) -> None:
        file = tmp_path / "pages.tiff"
        with TiffImagePlugin.AppendingTiffWriter(file, new=True) as writer:
            for image, kind in ((WHITE, 0), (OTHER.resize((32, 24)), 1), (OTHER, 4), (PICTURE, 2)):
                image.save(writer, "TIFF", tiffinfo={254: kind})
                writer.newFrame()
        found = decode_file(file.read_bytes())
        assert found.frames == 2
        assert shows(found.pixels, PICTURE)


def assert_leaves(make: Writer, after: int, left: str) -> None:
    """Show a light square, clear up after it, and show a dark one elsewhere, which is the first with contrast."""
    ground, light, dark = "#ffffd0", Image.new("RGB", (16, 16), "#e0e0e0"), Image.new("RGB", (16, 16))
    frames = [Frame(Image.new("RGB", SIZE, ground)), Frame(light, 4, 4, after), Frame(dark, 40, 20)]
    seen = Image.new("RGB", SIZE, ground)
    seen.paste(left, (4, 4, 20, 20))
    seen.paste("black", (40, 20, 56, 36))
    found = decode(make(SIZE, frames))
    assert np.abs(found.astype(int) - np.asarray(seen, dtype=int)).max() <= 3


class TestDamage:
    @pytest.mark.parametrize("make", [gif, png])
    def test_frames_behind_a_broken_one_are_left_out(self, make: Writer) -> None:
        whole, begun = make(SIZE, [Frame(WHITE), Frame(PICTURE)]), make(SIZE, [Frame(WHITE)])
        pixels = whole.index(b"x\x9c", len(begun)) if make is png else len(begun) + 30
        broken = whole[:pixels] + bytes(len(whole) - pixels)
        found = decode_file(broken)
        assert shows(found.pixels, WHITE)

    def test_a_tiff_that_ends_within_its_second_page(self) -> None:
        whole = saved([WHITE, PICTURE], "TIFF")
        assert shows(decode(whole[: len(whole) - 200]), WHITE)
