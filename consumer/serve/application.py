"""The paths of the look-up service, and what each answers."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from consumer.health import Health
from consumer.metrics import Metrics
from consumer.serve.admission import Admission, Ticket
from consumer.serve.documents import Document
from consumer.serve.judging import Judging
from consumer.serve.pages import Pages
from consumer.serve.problems import AWAY_S, Problem, answer, bad_image, come_again
from consumer.serve.settings import ServeSettings
from consumer.serve.tokens import TokenFile
from consumer.serve.uploads import KEY_HEADER, LOOKUP, NAMESPACE, Upload, key_of, limit_of, read_upload
from neardup.errors import BadInput, Misconfigured
from neardup.wire import verdict_document

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
Work = Callable[[Judging, Upload, Ticket], Awaitable[Document]]

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Server": "neardup",
}
"""Of every response. Nothing here is for a browser to run, and the versions of what answers are nobody's business."""
_OPEN = {"/", "/openapi.json", "/healthz", "/readyz"}
"""Paths that need no token: those who ask whether a service lives have none."""
_BUSY = {HTTPStatus.SERVICE_UNAVAILABLE.value}
_log = logging.getLogger(__name__)


class Application:
    """Answers requests; until `judging` is there it says that it is not ready.

    Parameters
    ----------
    settings
        Its limits.
    tokens
        Who is let in; None lets anybody in.
    metrics, health
        What ``/metrics``, ``/healthz`` and ``/readyz`` show.

    Attributes
    ----------
    judging
        The index; None until it is open.
    admission
        What is in work.
    ending
        Whether nothing new is taken any more.
    idle
        Set while no request is in hand.
    """

    def __init__(self, settings: ServeSettings, tokens: TokenFile | None, metrics: Metrics, health: Health) -> None:
        self._settings, self._tokens = settings, tokens
        self._metrics, self._health = metrics, health
        self._pages = Pages(settings)
        self.admission = Admission(settings.max_in_flight, settings.in_flight_bytes, metrics)
        self.judging: Judging | None = None
        self.ending = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._in_hand = 0

    def app(self) -> web.Application:
        """Return it as aiohttp runs it."""
        app = web.Application(middlewares=[self._answered, self._let_in])
        app.add_routes(
            [
                web.post("/judge", self._judge),
                web.post("/lookup", self._look_up),
                web.get("/metrics", self._show_metrics),
                web.get("/healthz", self._show_health),
                web.get("/readyz", self._show_readiness),
                web.get("/openapi.json", self._pages.openapi),
                web.get("/", self._pages.page),
            ]
        )
        return app

    # -- around every request -----------------------------------------------------------------------------------------

    @web.middleware
    async def _answered(self, request: web.Request, handler: Handle) -> web.StreamResponse:
        """Answer with a problem where the request, or we, went wrong; count and time it."""
        began_s = time.perf_counter()
        self._in_hand += 1
        self.idle.clear()
        try:
            response = await handler(request)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and the next is answered
            response = _problem_of(error).response(request.path)
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self.idle.set()
        response.headers.update(HEADERS)
        if self.ending:
            response.force_close()
        self._count(request, response.status, time.perf_counter() - began_s)
        return response

    def _count(self, request: web.Request, status: int, took_s: float) -> None:
        endpoint = {"/judge": "judge", "/lookup": "lookup"}.get(request.path, "other")
        self._metrics.http_requests.labels(endpoint, str(status)).inc()
        if status not in _BUSY:
            self._metrics.http_request_seconds.labels(endpoint).observe(took_s)

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handle) -> web.StreamResponse:
        """Refuse those who show no token, and pages in a browser that send what their reader does not know of."""
        if request.path in _OPEN:
            return await handler(request)
        if self._tokens is None:
            if "Origin" in request.headers:
                raise Problem(HTTPStatus.FORBIDDEN, "Origin: without tokens nothing is answered to pages in a browser")
        elif not self._tokens.lets_in(request.headers.get("Authorization")):
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "Authorization: send Bearer and a token of --token-file",
                headers={"WWW-Authenticate": 'Bearer realm="neardup"'},
            )
        return await handler(request)

    # -- images -------------------------------------------------------------------------------------------------------

    async def _judge(self, request: web.Request) -> web.Response:
        key = key_of(request)

        async def work(judging: Judging, upload: Upload, ticket: Ticket) -> Document:
            outcome = await judging.judge(upload.message(f"{NAMESPACE}{key}"), ticket)
            if outcome.error is not None:
                raise outcome.error
            assert outcome.judged is not None  # noqa: S101 - it is the one or the other
            return verdict_document(outcome.judged)

        try:
            document = await self._worked(request, work)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - as around every request
            # Whoever sent no key can send the image again under this one, and it is not its own duplicate.
            problem = _problem_of(error)
            problem.headers[KEY_HEADER] = key
            raise problem from None
        return answer(HTTPStatus.OK, document, headers={KEY_HEADER: key})

    async def _look_up(self, request: web.Request) -> web.Response:
        limit = limit_of(request)

        async def work(judging: Judging, upload: Upload, ticket: Ticket) -> Document:
            return await judging.look_up(upload.message(LOOKUP), limit, ticket)

        return answer(HTTPStatus.OK, await self._worked(request, work))

    async def _worked(self, request: web.Request, work: Work) -> Document:
        """Read what a request carries and have it worked on, within the limits of room and time."""
        timeout_s, max_bytes = self._settings.request_timeout_s, self._settings.max_image_bytes
        judging = self._ready_index()
        ticket = Ticket(self.admission)
        try:
            upload = await read_upload(request, ticket, max_bytes, timeout_s)
            ticket.enter()
        except BaseException:
            ticket.close()
            raise
        task = asyncio.ensure_future(work(judging, upload, ticket))
        # It takes its room until it is done, whoever has given up waiting for it.
        task.add_done_callback(lambda done: _leave(ticket, done))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(task)
        except BadInput as error:
            raise bad_image(error) from error
        except TimeoutError:
            raise come_again(f"the answer took longer than {timeout_s:g} s (--request-timeout-s): ask again") from None

    def _ready_index(self) -> Judging:
        missing = "stopping" if self.ending else self._health.missing
        if self.judging is None or missing:
            raise come_again(f"nothing is answered now: {missing}; send it again later", AWAY_S)
        return self.judging

    # -- the service itself -------------------------------------------------------------------------------------------

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _show_health(self, _: web.Request) -> web.Response:
        return _state(*self._health.liveness())

    async def _show_readiness(self, _: web.Request) -> web.Response:
        return _state(*self._health.readiness())


def _leave(ticket: Ticket, done: "asyncio.Future[Document]") -> None:
    ticket.close()
    if not done.cancelled():
        done.exception()  # seen, even if nobody waits for it any more


def _state(good: bool, detail: str) -> web.Response:  # noqa: FBT001 - as `liveness` and `readiness` return it
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return answer(status, {"ok": good, "detail": detail})


def _problem_of(error: Exception) -> Problem:
    """Return what to say of an error; a defect goes to the log, once."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, web.HTTPException):
        return _of_aiohttp(error)
    if isinstance(error, Misconfigured):  # the service ends because of it, and says why itself
        return come_again("the service is ending: send it again later", AWAY_S)
    _log.error("a request was not answered", exc_info=error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a defect of the service; its log has more")


def _of_aiohttp(error: web.HTTPException) -> Problem:
    """Return what the library refuses, in our words."""
    status = HTTPStatus(error.status)
    told = {
        HTTPStatus.NOT_FOUND: "there is no such path: POST to /judge or /lookup; /openapi.json has all of them",
        HTTPStatus.METHOD_NOT_ALLOWED: "the path has other methods: Allow names them",
    }
    allow = error.headers.get("Allow")
    return Problem(status, told.get(status, status.description), headers={"Allow": allow} if allow else {})
