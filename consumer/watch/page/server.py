"""Serves the page, what happens as server-sent events, and pictures. Needs aiohttp, extra `watch`."""

import asyncio
import json
import secrets
import sys
import threading
from collections.abc import Callable
from importlib.resources import files
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from consumer.verdicts.images import Images
from consumer.watch.page.document import document_of
from consumer.watch.page.kept import Thumbnails
from consumer.watch.page.pictures import Pictures, Side
from consumer.watch.settings import WatchSettings
from consumer.watch.tally import Tally
from consumer.watch.watcher import CLIENT_ID, CLOSING_S, Watcher, title_of, watcher_of, watching
from neardup.errors import Misconfigured
from neardup.settings.addresses import is_local

TURN_S = 0.5
MOST_LISTENERS = 50
"""Pages that are told what happens; a browser opens one connection for each tab."""
MOST_FETCHING = 4
"""Threads that wait for pictures, which come one at a time: while Kafka is away there would be one for each request."""
ASSETS = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Result = TypeVar("Result")


def show_page(settings: WatchSettings, address: tuple[str, int]) -> None:
    """Serve until the watcher stops, or until interrupted.

    Raises
    ------
    Misconfigured
        It cannot listen there, or Kafka can never be read with these settings.
    """
    tally, thumbnails = Tally(), Thumbnails()
    watcher = watcher_of(settings, tally, thumbnails.remember)
    pictures = Pictures(Images(settings, client_id=CLIENT_ID), thumbnails)
    page = Page(tally, pictures, watcher.stop, title_of(settings))
    try:
        with watching(watcher):
            asyncio.run(_serve(page, address, watcher))
    finally:
        pictures.close(CLOSING_S)


async def _serve(page: "Page", address: tuple[str, int], watcher: Watcher) -> None:
    host, port = address
    runner = web.AppRunner(page.application(local=is_local(host)), access_log=None, shutdown_timeout=CLOSING_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, OverflowError) as exc:
            raise Misconfigured(f"--page: cannot listen on {host}:{port}: {exc}") from exc
        _say_where(runner, host)
        await on_a_thread(watcher.stop.wait)
    finally:
        watcher.stop.set()
        await runner.cleanup()


def _say_where(runner: web.AppRunner, host: str) -> None:
    taken = runner.addresses[0][1]
    sys.stderr.write(f"watch: the page is on http://{f'[{host}]' if ':' in host else host}:{taken}/; Ctrl-C ends it\n")
    if not is_local(host):
        sys.stderr.write("watch: whoever reaches this address sees names and pictures: there is no login\n")
    sys.stderr.flush()


class Page:
    """What is answered to a browser.

    Parameters
    ----------
    tally, pictures
        What is shown.
    stop
        Ends what browsers listen to when set.
    title
        What is watched.
    """

    def __init__(self, tally: Tally, pictures: Pictures, stop: threading.Event, title: str) -> None:
        self._tally = tally
        self._pictures = pictures
        self._stop = stop
        self._title = title
        self._run = secrets.token_hex(4)  # a page that outlives its watch learns that pairs are numbered anew
        self._listeners = 0
        self._fetching = asyncio.Semaphore(MOST_FETCHING)

    def application(self, *, local: bool) -> web.Application:
        """Return the application; a local one answers only to the names of this machine."""
        made = web.Application(middlewares=[_for_this_machine] if local else [])
        made.on_response_prepare.append(_with_headers)
        for path in ASSETS:
            made.router.add_get(path, self._asset)
        made.router.add_get("/events", self._events)
        made.router.add_get(r"/pictures/{number:\d{1,15}}/{side:image|member}", self._picture)
        return made

    async def _asset(self, request: web.Request) -> web.Response:
        name, content_type = ASSETS[request.path]
        body = files("consumer.watch.page").joinpath("assets", name).read_bytes()
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._listeners >= MOST_LISTENERS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_LISTENERS} pages listen already\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._listeners += 1
        try:
            await response.prepare(request)
            await self._tell(response)
        except ConnectionError:  # the page was closed
            pass
        finally:
            self._listeners -= 1
        return response

    async def _tell(self, response: web.StreamResponse) -> None:
        told: tuple[int, int] | None = None
        while not self._stop.is_set():
            seen = self._tally.seen()
            if (seen.version, int(seen.seconds)) != told:  # the rate is another every second
                told = seen.version, int(seen.seconds)
                document = {"run": self._run, **document_of(seen, self._title)}
                await response.write(f"data: {json.dumps(document)}\n\n".encode())
            await asyncio.sleep(TURN_S)

    async def _picture(self, request: web.Request) -> web.Response:
        told = self._tally.pair(int(request.match_info["number"]))
        if told is None:
            raise web.HTTPNotFound(text="no longer among the newest pairs")
        side = Side(request.match_info["side"])
        async with self._fetching:
            picture = await on_a_thread(lambda: self._pictures.of(told, side))
        if not picture.data:  # that there is none is an answer, too: a browser would log an error as the page's fault
            return web.Response(text=picture.note)
        # A header takes no text beyond ASCII, and this note is ours.
        return web.Response(body=picture.data, content_type="image/jpeg", headers={"Neardup-Note": picture.note})


async def on_a_thread(work: Callable[[], Result]) -> Result:
    """Return what a function returns that may wait for Kafka; an end of the program does not wait for it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def told(result: Result | None, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: Result | None = None
        error: Exception | None = None
        try:
            result = work()
        except Exception as exc:  # noqa: BLE001 - raised again by whoever waits
            error = exc
        if not loop.is_closed():
            loop.call_soon_threadsafe(told, result, error)

    threading.Thread(target=run, name="picture", daemon=True).start()
    return await future


@web.middleware
async def _for_this_machine(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other names: a page from elsewhere may have its own name point here (DNS rebinding)."""
    if not is_local((request.url.host or "").lower()):
        raise web.HTTPMisdirectedRequest(text="ask for 127.0.0.1 or localhost\n")
    return await handler(request)


async def _with_headers(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers.update(HEADERS)
    response.headers["Server"] = "neardup"
