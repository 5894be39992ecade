"""The page of the live view in a real browser, beside a real consumer: what it shows, and what it never does."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import PHONE, open_browser, visit
from tests.support.processes import eventually, photo
from tests.support.stage import Stage, bootstrap, fresh, seed_folder
from tests.support.watched import page as watched_page
from tests.support.watched import publish_pair

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>.jpg"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with open_browser(chromium) as opened:
        yield opened


@pytest.fixture(scope="module")
def stage(kafka_address: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    name = f"watch-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path_factory.mktemp("watch-page") / "seeds"), redis_url, name)
    made = Stage(kafka_address, redis_url, name, partitions=1)
    with made.stack, made.service("--decode-workers", "1") as service:
        eventually(service.is_ready, "the consumer")
        publish_pair(made, "first")
        number = fresh()
        made.publish(photo(number), headers=[("image_id", MARKUP.encode())])
        made.publish(photo(number, quality=50), headers=[("image_id", f"copy of {MARKUP}".encode())])
        made.publish(photo(1, quality=50), headers=[("image_id", b"like-a-seed.jpg")])
        made.publish(b"garbage", headers=[("image_id", MARKUP.encode())])
        made.flush()
        made.await_outcomes()
        yield made


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    with watched_page(stage) as (_, found):
        yield found


def cards(page: Page) -> Any:  # noqa: ANN401 - a locator
    return page.locator("#pairs > li")


def test_pairs_are_shown_with_their_pictures_and_follow_the_stream(
    stage: Stage, address: str, browser: Browser
) -> None:
    with visit(browser, address) as visited:
        page = visited.page
        expect(page.locator("#state")).to_have_text("watching")
        expect(page.locator("#lag")).to_have_text("0")
        card = cards(page).filter(has_text="first-copy.jpg")
        expect(card).to_contain_text("is a duplicate of")
        expect(card.locator("img")).to_have_count(2)
        natural = card.locator("img").evaluate_all(
            "all => Promise.all(all.map(each => each.decode().then(() => each.naturalWidth)))"
        )
        assert natural == [320, 320]
        expect(cards(page).filter(has_text="like-a-seed.jpg")).to_contain_text(
            "No picture: seed-01.jpg came by no message"
        )
        before = cards(page).count()
        publish_pair(stage, "second")
        expect(cards(page)).to_have_count(before + 1)
        expect(cards(page).first).to_contain_text("second-copy.jpg")
        expect(page.locator("#duplicate")).to_have_text("1")
        expect(page.locator("#unique")).to_have_text("1")
        expect(page.locator("#mix")).to_have_attribute("aria-label", "50 % unique, 50 % duplicates, 0 % dead letters")


def test_names_are_text_whatever_they_say(address: str, browser: Browser) -> None:
    with visit(browser, address) as visited:
        page = visited.page
        expect(cards(page).filter(has_text=f"copy of {MARKUP}").locator("figcaption span").last).to_have_text(MARKUP)
        expect(page.locator("#letters tr").first.locator("td").first).to_have_text(MARKUP)
        assert page.title() == "neardup watch"
        assert page.locator("img[src=x]").count() == 0


def test_a_key_pauses_the_pairs_and_lets_them_go_on(stage: Stage, address: str, browser: Browser) -> None:
    with visit(browser, address) as visited:
        page = visited.page
        button = page.get_by_role("button", name="Pause")
        expect(page.locator("#state")).to_have_text("watching")
        expect(page.locator("#lag")).to_have_text("0")
        expect(cards(page).locator(".frame:empty")).to_have_count(0)  # pictures have come, or why there are none
        page.keyboard.press("p")
        expect(button).to_have_attribute("aria-pressed", "true")
        counted = int(page.locator("#duplicate").inner_text())
        before = cards(page).all_inner_texts()
        publish_pair(stage, "paused")
        expect(page.locator("#duplicate")).to_have_text(str(counted + 1))  # figures go on
        assert cards(page).all_inner_texts() == before
        page.keyboard.press("Tab")
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-pressed", "false")
        expect(cards(page).first).to_contain_text("paused-copy.jpg")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(address: str, browser: Browser, scheme: Any) -> None:  # noqa: ANN401 - Playwright's literal
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - half a megabyte of script

    # axe puts its own script into the page, which a strict policy keeps out.
    with visit(browser, address, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce") as visited:
        expect(cards(visited.page).locator("img").first).to_be_visible()
        found = Axe().run(visited.page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def test_a_phone_needs_no_sideways_scroll(address: str, browser: Browser) -> None:
    with visit(browser, address, viewport=PHONE) as visited:
        expect(cards(visited.page).locator("img").first).to_be_visible()
        assert visited.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_policy_lets_nothing_else_run(address: str, browser: Browser) -> None:
    with visit(browser, address, quiet=False) as visited:
        visited.page.evaluate(
            "() => { const script = document.createElement('script'); script.textContent = \"document.title='owned'\";"
            " document.head.append(script); const far = document.createElement('img'); far.src = 'http://127.0.0.1:1/x';"
            " document.body.append(far); }"
        )
        expect(visited.page).to_have_title("neardup watch")
        assert sum("Content Security Policy" in each for each in visited.complaints) == 2


def test_a_watch_that_ends_is_told(stage: Stage, browser: Browser) -> None:
    with watched_page(stage) as (program, address), visit(browser, address, quiet=False) as visited:
        state = visited.page.locator("#state")
        expect(state).to_have_text("watching")
        assert program.stop() == 0
        expect(state).to_contain_text("has ended")
