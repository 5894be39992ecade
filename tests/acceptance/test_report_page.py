"""The report's page in a real browser, from disk: what it shows, what a person can do on it, and what it never does."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat
from playwright.sync_api import Browser, Locator, Page, expect

from bootstrap.marked.labels import read_labels
from tests.support.browser import PHONE, Visit, open_browser, visit, written
from tests.support.processes import photo, run
from tests.support.report_documents import HOSTILE, Document, document, few, hostile, large

pytestmark = pytest.mark.slow

TABS = ("groups", "pairs", "map", "clusters", "bad")


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with open_browser(chromium) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(few(), tmp_path_factory.mktemp("few"))


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Visit]:
    with visit(browser, report) as visited:
        yield visited


@pytest.fixture
def page(opened: Visit) -> Page:
    return opened.page


def counts(page: Page) -> dict[str, int]:
    """Return the numbers of the summary."""
    values = {name: page.locator(f"#count-{name} .value").inner_text() for name in ("unique", "duplicate", "groups")}
    return {name: int(value.replace(",", "")) for name, value in values.items()}


def set_radius(page: Page, radius: float) -> None:
    page.locator("#number").fill(str(radius))
    expect(page.locator("#setting")).to_have_text(f"--radius {radius}")


def groups(page: Page) -> list[list[str]]:
    """Return the names of each group, the one to keep first."""
    return [
        [name.inner_text().split("\n")[-1] for name in group.locator(".tile > .name bdi:last-child").all()]
        for group in page.locator(".group").all()
    ]


def seen(element: Locator) -> Image.Image:
    return Image.open(io.BytesIO(element.screenshot())).convert("RGB")


def light(image: Image.Image) -> float:
    """Return the mean of an image's grey levels."""
    return float(ImageStat.Stat(image.convert("L")).mean[0])


# The radius


def test_it_shows_the_run_as_it_was(page: Page) -> None:
    assert counts(page) == {"unique": 5, "duplicate": 4, "groups": 2}
    assert groups(page) == [
        ["lake.jpg", "lake-copy.jpg", "lake-bright.jpg", "lake-moved.jpg"],
        ["street.jpg", "street-copy.jpg"],
    ]
    expect(page.locator(".tile.kept .badge")).to_have_text(["keep", "keep"])
    expect(page.locator(".tile", has_text="lake-bright")).to_contain_text("0.180")
    expect(page.locator(".tile", has_text="lake-bright")).to_contain_text("20 grey levels brighter")
    expect(page.locator("#setting")).to_have_text("--radius 0.36")


def test_counts_groups_and_the_setting_follow_the_slider(page: Page) -> None:
    slider = page.locator("#slider")
    for _ in range(50):
        slider.press("ArrowRight")
    expect(page.locator("#setting")).to_have_text("--radius 0.41")
    # The image at 0.41 counts, since the radius is inclusive; the one that was told apart otherwise does not.
    assert counts(page) == {"unique": 4, "duplicate": 5, "groups": 2}
    assert groups(page)[1] == ["street.jpg", "street-copy.jpg", "square.jpg"]
    slider.press("Home")
    expect(page.locator("#setting")).to_have_text("--radius 0")
    assert counts(page) == {"unique": 8, "duplicate": 1, "groups": 1}
    slider.press("End")
    expect(page.locator("#setting")).to_have_text("--radius 1.2")
    assert counts(page) == {"unique": 2, "duplicate": 7, "groups": 1}
    expect(page.locator(".tile", has_text="square-too")).to_contain_text("by way of")
    page.locator("#reset").click()
    expect(page.locator("#setting")).to_have_text("--radius 0.36")
    assert counts(page) == {"unique": 5, "duplicate": 4, "groups": 2}


def test_a_click_on_the_histogram_moves_the_radius(page: Page) -> None:
    box = page.locator("#histogram").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 56 + (box["width"] - 76) / 2, box["y"] + 80)
    expect(page.locator("#setting")).to_have_text(re.compile(r"--radius (0\.59\d|0\.6|0\.60\d)$"))


def test_pairs_near_the_radius_come_first(page: Page) -> None:
    page.locator("#tab-pairs").click()
    first = page.locator(".pair").first
    expect(first).to_contain_text("0.350 duplicate")
    set_radius(page, 0.4)
    expect(first).to_contain_text("0.410 unique")
    expect(page.locator("#count-doubtful .value")).to_have_text("1")


def test_two_images_that_are_nearest_to_each_other_are_one_group(browser: Browser, tmp_path: Path) -> None:
    rows: list[Document] = [
        {"name": "one", "nearest": 1, "distance": 0.5},
        {"name": "two", "nearest": 0, "distance": 0.5},
    ]
    with visit(browser, written(document(rows), tmp_path)) as visited:
        set_radius(visited.page, 0.5)
        assert counts(visited.page) == {"unique": 1, "duplicate": 1, "groups": 1}
        assert groups(visited.page) == [["one", "two"]]


def test_the_image_that_others_duplicate_has_no_pair_to_mark_in_its_group(browser: Browser, tmp_path: Path) -> None:
    # A better copy is kept; what is nearest to the unique one is a stranger.
    rows: list[Document] = [
        {"name": "stranger"},
        {"name": "original", "nearest": 0, "distance": 0.9, "keep": 0},
        {"name": "better", "verdict": 1, "nearest": 1, "distance": 0.1, "keep": 1},
    ]
    with visit(browser, written(document(rows), tmp_path)) as visited:
        original = visited.page.locator(".tile", has_text="original")
        expect(original.locator(".badge")).to_have_text("unique")
        original.focus()
        original.press("s")
        expect(original.locator(".mark")).to_have_text("")
        original.press("Enter")
        expect(visited.page.locator("#compare")).to_contain_text("better")
        expect(visited.page.locator("#compare")).not_to_contain_text("stranger")


def test_an_image_that_was_there_before_is_shown_and_not_counted(browser: Browser, tmp_path: Path) -> None:
    made = document([{"name": "old.jpg"}, {"name": "copy.jpg", "verdict": 1, "nearest": 0, "distance": 0.1}])
    made["counts"] = {"images": 1, "unique": 0, "duplicate": 1, "bad": 0}
    made["images"]["outside"] = [1, 0]
    with visit(browser, written(made, tmp_path)) as visited:
        expect(visited.page.locator(".tile", has_text="old.jpg")).to_contain_text("there before")
        set_radius(visited.page, 0.05)
        assert counts(visited.page) == {"unique": 1, "duplicate": 0, "groups": 0}


def test_what_a_sample_cannot_count_is_read_off_the_histogram(browser: Browser, tmp_path: Path) -> None:
    rows: list[Document] = [{"name": "one"}, {"name": "two", "nearest": 0, "distance": 0.5}]
    histogram = {"edges": [0.0, 0.4, 0.8], "counts": [300, 200], "beyond": 500}
    whole = {"images": 1000, "unique": 710, "duplicate": 290, "bad": 0}
    made = document(rows, counts=whole, sampled={"shown": 2, "of": 1000}, histogram=histogram, radius=0.4)
    with visit(browser, written(made, tmp_path)) as visited:
        expect(visited.page.locator("#notes")).to_contain_text("2 of 1,000 images are shown")
        expect(visited.page.locator("#count-duplicate .value")).to_have_text("290")
        set_radius(visited.page, 0.6)
        expect(visited.page.locator("#count-duplicate .value")).to_have_text("about 390")


# A pair


def open_pair(page: Page, name: str) -> Locator:
    page.locator(".tile", has_text=name).click()
    return page.locator("#compare")


def difference(page: Page, name: str) -> float:
    """Return how light the difference view of a pair is."""
    dialog = open_pair(page, name)
    dialog.get_by_role("button", name="Difference").click()
    frame = dialog.locator(".frame-over")
    for image in frame.locator("img").all():
        image.evaluate("(image) => image.decode()")
    found = light(seen(frame))
    page.keyboard.press("Escape")
    return found


def test_a_group_opens_side_by_side_with_the_common_part(page: Page) -> None:
    dialog = open_pair(page, "lake-moved")
    expect(dialog.locator("h2")).to_have_text("Pair 3 of 3")
    expect(dialog.locator("figure")).to_have_count(2)
    expect(dialog.locator("polygon").first).to_have_attribute("points", "0,0 0.9,0 0.9,1 0,1")
    dialog.get_by_label("outline the common part").uncheck()
    expect(dialog.locator("polygon")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    expect(dialog).to_contain_text("lake-bright.jpg")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".tile", has_text="lake-moved")).to_be_focused()


def test_the_difference_is_black_for_a_copy_and_lies_on_the_common_part(page: Page) -> None:
    copy, brighter, moved = (difference(page, name) for name in ("lake-copy", "lake-bright", "lake-moved"))
    assert copy < 0.5
    assert brighter > 20
    # Moved by a tenth of the width, it would differ in every circle if it lay as it is: see the next test.
    assert moved < 20


def test_without_the_common_part_the_moved_copy_differs(browser: Browser, tmp_path: Path) -> None:
    made = few()
    made["images"]["outline"] = made["images"]["nearest_outline"] = [None] * 9
    with visit(browser, written(made, tmp_path)) as visited:
        assert difference(visited.page, "lake-moved") > 40


def test_flicker_shows_one_and_then_the_other(page: Page) -> None:
    dialog = open_pair(page, "lake-bright")
    page.keyboard.press("f")
    above = dialog.locator(".above")
    expect(above).not_to_have_class(re.compile("away"))
    expect(above).to_have_class(re.compile("away"))  # by itself
    dialog.get_by_role("button", name="Pause").click()
    frame = dialog.locator(".frame-over")
    one = light(seen(frame))
    dialog.get_by_role("button", name="Switch").click()
    two = light(seen(frame))
    assert abs(one - two) > 5
    expect(dialog.locator("#shown")).to_contain_text("lake")


def test_who_wants_less_motion_gets_no_flicker_by_itself(browser: Browser, report: Path) -> None:
    with visit(browser, report, reduced_motion="reduce") as visited:
        dialog = open_pair(visited.page, "lake-bright")
        visited.page.keyboard.press("f")
        expect(dialog.get_by_role("button", name="Play")).to_be_visible()


# Marks


def saved(page: Page, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator("#save").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def labels(path: Path) -> set[tuple[str, str, bool]]:
    """Return what calibration reads of a file."""
    return {(*label.images, label.same) for label in read_labels(path)}


MARKED = {
    ("trips/lake-copy.jpg", "trips/lake.jpg", True),
    ("trips/lake-moved.jpg", "trips/lake.jpg", False),
    ("square.jpg", "street.jpg", False),
}


def mark_some(page: Page) -> None:
    page.locator(".tile", has_text="lake-copy").focus()
    page.keyboard.press("s")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("d")
    page.locator("#tab-pairs").click()
    page.get_by_role("button", name="Different: square.jpg", exact=True).click()


def test_marks_are_saved_as_what_calibration_reads(page: Page, tmp_path: Path) -> None:
    mark_some(page)
    expect(page.locator("#marked")).to_have_text("1 same, 2 different")
    assert labels(saved(page, tmp_path)) == MARKED


def test_marks_outlast_the_page_and_are_loaded_elsewhere(browser: Browser, report: Path, tmp_path: Path) -> None:
    with visit(browser, report) as first:
        mark_some(first.page)
        first.page.reload()
        expect(first.page.locator("#marked")).to_have_text("1 same, 2 different")
        expect(first.page.locator(".tile", has_text="lake-copy")).to_contain_text("marked same")
        path = saved(first.page, tmp_path)
    with visit(browser, report) as second:
        expect(second.page.locator("#marked")).to_have_text("No marks yet")
        second.page.locator("#load").set_input_files(path)
        expect(second.page.locator("#said")).to_have_text("3 marks loaded.")
        expect(second.page.locator(".tile", has_text="lake-moved")).to_contain_text("marked different")
        second.page.locator("#undo").click()
        expect(second.page.locator("#marked")).to_have_text("No marks yet")


def test_a_wrong_group_is_all_of_its_pairs_and_can_be_taken_back(page: Page, tmp_path: Path) -> None:
    page.locator(".tile", has_text="street.jpg").focus()
    page.keyboard.press("w")
    expect(page.locator(".group").nth(1)).to_have_class(re.compile("is-wrong"))
    page.get_by_role("button", name="Wrong").first.click()
    path = saved(page, tmp_path)
    lake = {(f"trips/lake-{name}.jpg", "trips/lake.jpg", False) for name in ("copy", "bright", "moved")}
    assert labels(path) == {("street-copy.jpg", "street.jpg", False), *lake}
    page.get_by_role("button", name="Wrong").first.click()
    expect(page.locator("#marked")).to_have_text("0 same, 1 different")


def test_pairs_are_judged_one_after_another_by_keys_alone(page: Page, tmp_path: Path) -> None:
    page.locator("#tab-groups").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#judge").focus()
    page.keyboard.press("Enter")
    for key in "sdu":
        page.keyboard.press(key)
    dialog = page.locator("#compare")
    expect(dialog.locator("h2")).to_have_text("Pair 3 of 8")
    page.keyboard.press("z")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert len(labels(saved(page, tmp_path))) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b,maybe\n", 'row 1: the third column is "maybe"'),
        ("image_a,image_b,label\na,b\n", "row 2: it has 2 columns"),
        ("a,a,same\n", "row 1: it needs the names of two images"),
        ("", "there is no pair in this file"),
        ("a,b,same\nstreet.jpg,square.jpg,same\n", "2 marks loaded; 1 of them of images that are not in this report."),
    ],
)
def test_a_file_of_marks_that_is_wrong_is_refused_with_the_row(
    page: Page, tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "marks.csv"
    path.write_text(text)
    page.locator("#load").set_input_files(path)
    expect(page.locator("#said")).to_contain_text(told)


def test_marks_of_a_run_tell_its_radius(browser: Browser, tmp_path: Path) -> None:
    pictures, verdicts = tmp_path / "pictures", tmp_path / "verdicts.jsonl"
    pictures.mkdir()
    for name, data in {"a.jpg": photo(1), "b.jpg": photo(1, size=(160, 120)), "=c.jpg": photo(2)}.items():
        (pictures / name).write_bytes(data)
    path = tmp_path / "report.html"
    for arguments in (["folder", pictures, "--output", verdicts], ["report", verdicts, "--output", path]):
        assert run(["-m", "neardup", *map(str, arguments)]).returncode == 0
    with visit(browser, path) as visited:
        visited.page.locator("#tab-pairs").click()
        visited.page.locator("#judge").click()
        visited.page.keyboard.press("s")
        visited.page.keyboard.press("d")
        visited.page.keyboard.press("Escape")
        marked = saved(visited.page, tmp_path)
    assert "./=c.jpg" in marked.read_text("utf-8")
    told = run(["-m", "neardup", "calibrate", "--run", str(verdicts), "--pairs", str(marked)])
    assert told.returncode == 0, told.stderr
    assert "1 pair same, 1 different" in told.stdout


# What it never does


def test_it_asks_for_nothing_even_when_told_to(opened: Visit, browser: Browser, report: Path) -> None:
    attempts = """async () => {
        new Image().src = "http://127.0.0.1:9/x.png";
        document.body.append(Object.assign(document.createElement("script"), { textContent: "window.hurt = 1" }));
        const refused = (asked) => asked.then(() => false, () => true);
        return [await refused(fetch("http://127.0.0.1:9/")), window.hurt === undefined];
    }"""
    with visit(browser, report, quiet=False) as visited:
        assert visited.page.evaluate(attempts) == [True, True]
        assert len([each for each in visited.complaints if "Content Security Policy" in each]) >= 3
    for tab in TABS:
        opened.page.locator(f"#tab-{tab}").click()  # and by itself it tries nothing: `opened` sees to that


def test_names_are_text_wherever_they_are_shown(browser: Browser, tmp_path: Path) -> None:
    with visit(browser, written(hostile(), tmp_path)) as visited:
        page = visited.page
        for tab in TABS:
            page.locator(f"#tab-{tab}").click()
        page.locator("#map").focus()
        for _ in range(9):
            page.keyboard.press("ArrowRight")
        page.locator("#tab-pairs").click()
        page.locator("#judge").click()
        for key in "ddddddddxbf":
            page.keyboard.press(key)
        page.keyboard.press("Escape")
        assert page.evaluate("[...document.querySelectorAll('#data ~ script, body > img, [onerror]')].length") == 3
        assert HOSTILE[0] in page.locator("h1").inner_text()
        found = {name for one, two, _ in labels(saved(page, tmp_path)) for name in (one, two)}
        assert found <= {f"./{name}" if name.startswith("=") else name for name in hostile()["images"]["name"]}
        assert any(name.startswith("./=") for name in found)


# For everyone


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, report: Path, scheme: Any) -> None:  # noqa: ANN401 - Playwright's literal
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - half a megabyte of script

    with visit(browser, report, color_scheme=scheme) as visited:
        page = visited.page
        found = {}
        for tab in TABS:
            page.locator(f"#tab-{tab}").click()
            found[tab] = Axe().run(page).response["violations"]
        page.locator("#keys-button").click()
        found["keys"] = Axe().run(page).response["violations"]
        page.keyboard.press("Escape")
        page.locator("#tab-groups").click()
        for key in "bfx":
            open_pair(page, "lake-moved")
            page.keyboard.press(key)
            found[key] = Axe().run(page).response["violations"]
            page.keyboard.press("Escape")
    told = {where: [(each["id"], each["nodes"][0]["html"][:200]) for each in each_] for where, each_ in found.items()}
    assert {where: each for where, each in told.items() if each} == {}


def test_the_button_turns_light_to_dark(page: Page) -> None:
    lit = light(seen(page.locator("body")))
    page.get_by_role("button", name="Dark").click()
    assert light(seen(page.locator("body"))) < lit / 3


def test_nothing_is_wider_than_a_phone(browser: Browser, report: Path) -> None:
    with visit(browser, report, viewport=PHONE, has_touch=True) as visited:
        page = visited.page
        width = "document.documentElement.scrollWidth"
        for tab in TABS:
            page.locator(f"#tab-{tab}").tap()
            assert page.evaluate(width) <= PHONE["width"], tab
        page.locator("#tab-groups").tap()
        page.locator(".tile", has_text="lake-bright").tap()
        for mode in ("Side by side", "Flicker", "Difference"):
            page.locator("#compare").get_by_role("button", name=mode).tap()
            assert page.evaluate("document.querySelector('#compare').scrollWidth") <= PHONE["width"], mode
            assert page.evaluate(width) <= PHONE["width"], mode


def test_the_map_is_told_by_keys(page: Page) -> None:
    page.locator("#tab-map").click()
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#point")).to_contain_text("lake.jpg")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#only")).to_have_value("0")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#point")).to_contain_text("street-copy.jpg")
    page.keyboard.press("Enter")
    expect(page.locator("#compare")).to_contain_text("street.jpg")


def test_bad_input_and_clusters_are_listed(page: Page) -> None:
    page.locator("#tab-bad").click()
    expect(page.locator("details.reason summary")).to_have_text(["truncated · 2 files", "not-an-image · 1 file"])
    expect(page.locator(".bad-file")).to_contain_text(["cut-1.jpg", "cut-2.jpg", "notes.txt"])
    page.locator("#tab-clusters").click()
    page.get_by_role("button", name="Show cluster 1 on the map").click()
    expect(page.locator("#only")).to_have_value("1")


def test_an_empty_report_says_so(browser: Browser, tmp_path: Path) -> None:
    with visit(browser, written(document([]), tmp_path)) as visited:
        for tab, told in zip(
            TABS, ("No duplicates", "no pairs", "no map", "no clusters", "could be read"), strict=True
        ):
            visited.page.locator(f"#tab-{tab}").click()
            expect(visited.page.locator(f"#panel-{tab}")).to_contain_text(told)
        expect(visited.page.locator("#no-histogram")).to_be_visible()


def test_the_setting_is_copied(browser: Browser, report: Path) -> None:
    with visit(browser, report, permissions=["clipboard-read", "clipboard-write"]) as visited:
        page = visited.page
        set_radius(page, 0.41)
        page.locator("#copy").click()
        expect(page.locator("#said")).to_have_text("Copied: --radius 0.41")
        assert page.evaluate("() => navigator.clipboard.readText()") == "--radius 0.41"


def test_long_names_and_large_groups_fit_a_phone(browser: Browser, tmp_path: Path) -> None:
    name = "a-folder-of-a-name-without-any-blank" * 8 + "/" + "x" * 255
    copies: list[Document] = [{"name": f"{name}{i}", "verdict": 1, "nearest": 0, "distance": 0.3} for i in range(700)]
    made = document(
        [{"name": name}, *copies],
        title=name,
        notes=[name],
        bad=[{"reason": name, "count": 1, "files": [{"name": name, "detail": name}]}],
    )
    with visit(browser, written(made, tmp_path), viewport=PHONE) as visited:
        page = visited.page
        page.locator("#groups").evaluate("(groups) => groups.scrollIntoView()")  # else it is too far off to be filled
        expect(page.locator(".tile")).to_have_count(24)
        page.get_by_role("button", name="240 more of 677").click()
        expect(page.locator(".tile")).to_have_count(264)
        expect(page.locator(".tile").nth(24)).to_be_focused()
        for tab in TABS:
            page.locator(f"#tab-{tab}").click()
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], tab
        page.locator("#tab-pairs").click()
        page.locator("#judge").click()
        assert page.evaluate("document.querySelector('#compare').scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize(("typed", "taken"), [("7", "1.2"), ("-1", "0"), ("0.12345", "0.1235"), ("", "0.36")])
def test_a_number_out_of_range_is_taken_to_its_end(page: Page, typed: str, taken: str) -> None:
    page.locator("#number").fill(typed)
    page.locator("#number").blur()
    expect(page.locator("#setting")).to_have_text(f"--radius {taken}")
    expect(page.locator("#number")).to_have_value(taken)


# Many


def test_fifty_thousand_images_in_ten_thousand_groups(browser: Browser, tmp_path: Path) -> None:
    with visit(browser, written(large(), tmp_path)) as visited:
        page = visited.page
        assert counts(page)["groups"] == 10_000
        rendered = "document.querySelectorAll('.tile').length"
        assert 0 < page.evaluate(rendered) < 2000
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        last = page.locator(".group[aria-label^='Group 10000,']")
        last.wait_for()
        assert page.evaluate(rendered) < 2000
        set_radius(page, 0.2)
        assert counts(page)["duplicate"] == sum(each <= 0.2 for each in large()["images"]["distance"])
        page.locator("#tab-map").click()
        page.wait_for_selector("#map[data-drawn='50000']")
        box = page.locator("#map").bounding_box()
        assert box is not None
        page.locator("#map").hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
        expect(page.locator("#point")).to_contain_text("photo-")
        page.locator("#zoom-in").click()
        expect(page.locator("#point")).to_contain_text("photo-")
