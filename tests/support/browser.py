"""A real browser that opens pages, from disk or from a server of ours, and notes whatever a quiet page would not do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from neardup.report.page import render

WIDE, PHONE = {"width": 1240, "height": 900}, {"width": 390, "height": 800}
_FLAGS = [
    "--no-sandbox",  # Chromium refuses to sandbox root, as which tests run in containers
    "--disable-dev-shm-usage",  # 64 MiB there, in a container
]
_TIMEOUT_MS = 60_000.0  # of a machine that does much else


@contextmanager
def open_browser(program: Path) -> Iterator[Browser]:
    """Give a browser without a window, and end it afterwards."""
    expect.set_options(timeout=_TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page that is open, and what went wrong on it.

    Attributes
    ----------
    page
        To be used as a person would.
    origin
        What may be asked for: the server's own; empty for a page from disk, which asks for nothing.
    complaints
        Errors and warnings of the console, broken policies among them, and exceptions that nobody caught.
    requests
        Addresses that were asked for, but the file's own and those of data inside of the page.
    """

    page: Page
    origin: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def asked(self, request: Request) -> None:
        ours = self.origin and request.url.startswith(self.origin)
        if not ours and request.url != self.page.url and not request.url.startswith(("data:", "blob:", "file:")):
            self.requests.append(request.url)


@contextmanager
def visit(browser: Browser, place: Path | str, *, quiet: bool = True, **options: Any) -> Iterator[Visit]:  # noqa: ANN401 - of Playwright
    """Open a page, from disk or of a server, and hand it over once it is ready; in the end see that it was quiet.

    Parameters
    ----------
    browser, place
        What opens what.
    quiet
        Whether any complaint or request fails the test.
    options
        Of the browser's context: `viewport`, `color_scheme`, ...
    """
    context = browser.new_context(viewport=options.pop("viewport", WIDE), accept_downloads=True, **options)
    try:
        with _opened(context, place) as visited:
            yield visited
        if quiet:
            assert visited.complaints + visited.requests == []
    finally:
        context.close()


@contextmanager
def _opened(context: BrowserContext, place: Path | str) -> Iterator[Visit]:
    context.set_default_timeout(_TIMEOUT_MS)
    page = context.new_page()
    visited = Visit(page, place if isinstance(place, str) else "")
    page.on("console", visited.heard)
    page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    context.on("request", visited.asked)
    page.goto(place if isinstance(place, str) else place.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield visited


def written(document: Mapping[str, Any], folder: Path) -> Path:
    """Write the page of a document."""
    path = folder / "report.html"
    path.write_text(render(document), "utf-8")
    return path
